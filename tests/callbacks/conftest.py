"""A small world for the ranking callback: raw pairs, a datamodule, a module, and an evaluator written from scratch."""

import contextlib
import io
from math import nan
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from tests.callbacks.ranking_runs import rows_of, run_test

BITS, IMAGE_DIM, TEXT_DIM, LABELS = 10, 6, 5, 9
VOCABULARY = ["oedema", "normal", *(f"finding {i}" for i in range(LABELS - 2))]


FIELDS = ("image", "text", "labels", "group", "text_hash", "present", "index")


def make_split(count, seed, start):
    """Pairs whose embeddings say something of their labels; groups of one to three, texts that recur."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, LABELS)) < 0.2).astype(np.uint8)
    labels[:, 1] = labels.sum(1) - labels[:, 1] == 0  # normal: no other label
    base = np.random.default_rng(99)
    return {
        "image": (labels @ base.normal(size=(LABELS, IMAGE_DIM)) + rng.normal(size=(count, IMAGE_DIM))).astype(
            "float32"
        ),
        "text": (labels @ base.normal(size=(LABELS, TEXT_DIM)) + rng.normal(size=(count, TEXT_DIM))).astype("float32"),
        "labels": np.packbits(labels, axis=1),
        "group": start + np.sort(rng.integers(0, count // 2, count)),
        "text_hash": rng.integers(0, 60, count),
        "present": np.ones((count, 2), dtype=bool),
        "index": np.arange(count),
    }


def strip(split, seed):
    """A copy in which some items have no image and others no text, as feature shards hold them."""
    kinds = np.random.default_rng(seed).choice(3, len(split["index"]), p=(0.5, 0.3, 0.2))
    present = np.stack([kinds != 1, kinds != 2], axis=1)
    changes = {"image": split["image"] * present[:, :1], "text": split["text"] * present[:, 1:]}
    return split | changes | {"text_hash": split["text_hash"] * present[:, 1], "present": present}


def having(table, side):
    """The items of a table that have what a side of the database needs."""
    image, text = table["present"].T
    kept = {"image": image, "text": text, "both": image & text}[side]
    return {name: column[kept] for name, column in table.items()}


class Data(pl.LightningDataModule):
    """Serves the three splits as `FeatureDataModule` does: all queries on every rank, databases in shares."""

    def __init__(self, splits, normal_label="normal", batch_size=16, shares=None):
        super().__init__()
        self.splits, self.normal_label, self.batch_size, self.shares = splits, normal_label, batch_size, shares
        self.label_vocabulary = VOCABULARY
        self.encoder = {"kind": "fake", "width": 6}
        self.allow_zero_length_dataloader_with_multiple_devices = True

    def evaluation_loaders(self, stage):
        return {"validate": ["query", "unseen"], "test": ["query", "unseen", "train+val"]}[stage]

    def reader(self, split):
        table = self.splits[split]
        columns = {"labels": "labels", "groups": "group", "text_hashes": "text_hash", "present": "present"}
        return SimpleNamespace(
            **{name: table[column] for name, column in columns.items()},
            ids=[f"{split} ä{index}" for index in table["index"]],
            group_names=[f"P-{group}" for group in table["group"]],
        )

    def loader(self, *names, share=slice(None)):
        return self.batches({key: np.concatenate([self.splits[n][key] for n in names])[share] for key in FIELDS})

    def batches(self, table):
        starts = range(0, len(table["index"]), self.batch_size)
        batches = [
            {key: torch.from_numpy(value[start : start + self.batch_size]) for key, value in table.items()}
            for start in starts
        ]
        return torch.utils.data.DataLoader(batches, batch_size=None)

    def database(self, *names):
        return self.loader(*names, share=self.shares[self.trainer.global_rank] if self.shares else slice(None))

    def train_dataloader(self):
        return self.loader("train")

    def queries(self, name):
        return self.batches(having(self.splits[name], "both"))

    def val_dataloader(self):
        return [self.queries("val"), self.database("val")]

    def test_dataloader(self):
        return [self.queries("test"), self.database("test"), self.database("train", "val")]


class Module(pl.LightningModule):
    """Linear codes; ``partner_shift`` moves the fused codes only, ``fuses`` says whether there are any."""

    def __init__(self, fuses=True, partner_shift=0.0):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.image = torch.nn.Parameter(torch.randn(IMAGE_DIM, BITS, generator=generator))
        self.text = torch.nn.Parameter(torch.randn(TEXT_DIM, BITS, generator=generator))
        self.fuses, self.partner_shift = fuses, partner_shift

    def codes(self, batch):
        image, text = batch["image"] @ self.image, batch["text"] @ self.text
        outputs = {"image": image, "text": text, "case": image + text}
        if self.fuses:
            outputs |= {"fused_image": image + 0.5 * text + self.partner_shift, "fused_text": text + 0.5 * image}
        return outputs

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        return self.codes(batch)

    test_step = validation_step

    def training_step(self, batch, batch_idx):
        return self.codes(batch)["image"].square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


def expected_average_precision(levels, relevant, k=None):
    """McSherry and Najork's double sum, term by term."""
    k = len(levels) if k is None else k
    divisor = min(int(relevant.sum()), k)
    if divisor == 0:
        return nan
    total = before = hits = 0
    for level in np.unique(levels):
        n, p = int((levels == level).sum()), int(relevant[levels == level].sum())
        for t in range(before + 1, min(before + n, k) + 1):
            inside = (t - before - 1) * (p - 1) / (n - 1) if n > 1 else 0
            total += p / n * (hits + 1 + inside) / t
        before, hits = before + n, hits + p
    return total / divisor


def ranked(queries, database, levels_of, k=None):
    """AP of each query; ``levels_of(query)`` gives the levels of all items."""
    query_labels, labels = (np.unpackbits(side["labels"], axis=1) for side in (queries, database))
    values = []
    for row in range(len(queries["index"])):
        kept = database["group"] != queries["group"][row]
        relevant = (labels & query_labels[row]).any(1)[kept]
        values.append(expected_average_precision(levels_of(row)[kept], relevant, k))
    return np.array(values)


def hamming(query_codes, codes, row):
    return ((query_codes[row] >= 0) != (codes >= 0)).sum(1)


def hamming_ranked(queries, database, query_codes, codes, k=None):
    return ranked(queries, database, lambda row: hamming(query_codes, codes, row), k)


@pytest.fixture(scope="session")
def splits():
    return {
        "train": make_split(50, seed=1, start=1000),
        "val": make_split(20, seed=2, start=2000),
        "test": make_split(26, seed=3, start=3000),
    }


@pytest.fixture(scope="session")
def databases(splits):
    return make_databases(splits)


def make_databases(splits):
    both = {key: np.concatenate([splits["train"][key], splits["val"][key]]) for key in splits["train"]}
    return {"unseen": splits["test"], "train+val": both}


def make_world(splits, databases, folder):
    """Everything above, and trainers that work in the folder."""

    def trainer(*callbacks, **settings):
        settings = {
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "use_distributed_sampler": False,
            "default_root_dir": folder,
        } | settings
        return pl.Trainer(callbacks=list(callbacks), **settings)

    def codes(module, table):
        with torch.no_grad():
            outputs = module.codes({name: torch.from_numpy(table[name]) for name in ("image", "text")})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return SimpleNamespace(
        Data=Data,
        Module=Module,
        bits=BITS,
        trainer=trainer,
        codes=codes,
        ranked=ranked,
        having=having,
        hamming=hamming,
        hamming_ranked=hamming_ranked,
        splits=splits,
        databases=databases,
        folder=folder,
    )


@pytest.fixture(scope="session")
def mixed_world(splits, tmp_path_factory):
    """For runs over databases that hold images without a text and texts without an image."""
    stripped = {name: strip(split, seed) for seed, (name, split) in enumerate(splits.items())}
    return make_world(stripped, make_databases(stripped), tmp_path_factory.mktemp("mixed"))


@pytest.fixture
def world(splits, databases, tmp_path):
    return make_world(splits, databases, tmp_path)


@pytest.fixture(scope="session")
def report(splits, databases, tmp_path_factory):
    """One test run with everything on, that many tests read."""
    return make_report(make_world(splits, databases, tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="session")
def mixed_report(mixed_world):
    """The same over databases that hold images without a text and texts without an image."""
    return make_report(mixed_world)


def make_report(world):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        trainer = run_test(world)
    return SimpleNamespace(
        rows=rows_of(world.folder),
        logged=trainer.callback_metrics,
        printed=printed.getvalue(),
        folder=world.folder,
        world=world,
    )
