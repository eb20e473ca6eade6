import pickle
from collections import Counter
from dataclasses import replace
from functools import cache

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from mcmfh_lightning.datamodules import PairDataModule
from mcmfh_lightning.datamodules.order import BatchSequence
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import pack_labels, text_hash

SIZES = {"train": 9, "test": 5}


class GrayEncoder:
    """Knows a picture by its gray value and a text by its length."""

    @staticmethod
    def preprocess(image):
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()

    @staticmethod
    def tokenize(texts):
        return {"length": torch.tensor([len(text) for text in texts])}


class Recorder(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = GrayEncoder()
        self.batches = []

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        self.batches.append((dataloader_idx, batch))
        return batch_idx  # Lightning warns of None


@pytest.fixture(scope="module")
def folder(pair_writer, make_pair, tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    with pair_writer(root) as writer:
        for split, size in SIZES.items():
            for number in range(size):
                writer.write(split, make_pair(number, split))
    return root


@pytest.fixture
def trainer(tmp_path):
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )


@pytest.mark.parametrize("num_workers", [0, 2])
def test_predict_sees_every_pair_once_prepared_by_the_encoder(folder, trainer, make_pair, num_workers):
    module = Recorder()
    data = PairDataModule(str(folder), batch_size=4, num_workers=num_workers)
    trainer.predict(module, data, return_predictions=False)
    seen = [(loader, batch["index"].tolist()) for loader, batch in module.batches]
    assert seen == [(0, [0, 1, 2, 3]), (0, [4, 5, 6, 7]), (0, [8]), (1, [0, 1, 2, 3]), (1, [4])]
    for loader, batch in module.batches:
        split = data.splits[loader]
        for row, index in enumerate(batch["index"].tolist()):
            assert data.reader(split).ids[index] == f"{split}-{index}"
            assert batch["image"].shape[1:] == (3, 8, 8)
            assert (batch["image"][row] == index).all()
            assert batch["text"]["length"][row] == len(make_pair(index).text)


@pytest.mark.parametrize("world_size", [1, 2, 4, 7])
def test_ranks_have_every_pair_once_in_order(folder, trainer, monkeypatch, world_size):
    rows = {"train": [], "test": []}
    for rank in range(world_size):
        data = PairDataModule(str(folder), batch_size=2, num_workers=0)
        data.trainer = trainer
        monkeypatch.setattr(PairDataModule, "rank", rank)
        monkeypatch.setattr(PairDataModule, "world_size", world_size)
        monkeypatch.setattr(PairDataModule, "_encoder", lambda _: GrayEncoder())
        for number, loader in enumerate(data.predict_dataloader()):
            batches = list(loader)
            assert len(batches) == len(loader)
            rows[data.splits[number]] += [i for batch in batches for i in batch["index"].tolist()]
    assert rows == {split: list(range(size)) for split, size in SIZES.items()}


def test_streams_can_be_pickled(folder, monkeypatch):
    monkeypatch.setattr(PairDataModule, "_encoder", lambda _: GrayEncoder())
    stream = PairDataModule(str(folder)).predict_dataloader()[0].dataset
    copy = pickle.loads(pickle.dumps(stream))
    torch.testing.assert_close(copy.batch(0)["image"], stream.batch(0)["image"])


def test_a_damaged_picture_is_named(pair_writer, make_pair, tmp_path, monkeypatch):
    pair = make_pair(0)
    with pair_writer(tmp_path) as writer:
        writer.write("train", replace(pair, image=pair.image[:45]))
    monkeypatch.setattr(PairDataModule, "_encoder", lambda _: GrayEncoder())
    with pytest.raises(DataError, match=r"train-000-00000\.tar, pair pair-0: .*cannot be decoded"):
        next(iter(PairDataModule(str(tmp_path)).predict_dataloader()[0]))


LACKS = {2: "image", 5: "text", 6: "text", 11: "image"}


@pytest.fixture(scope="module")
def partial(pair_writer, make_pair, tmp_path_factory):
    """Splits of 14 items, four of which lack a modality."""
    root = tmp_path_factory.mktemp("partial")
    with pair_writer(root) as writer:
        for split in ("train", "val", "test"):
            for number in range(14):
                writer.write(split, make_pair(number, split, LACKS.get(number)))
    return root


class Learner(pl.LightningModule):
    """Trains an "encoder" end to end, and remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.encoder = GrayEncoder()
        self.line = torch.nn.Linear(1, 1)
        self.batches = {}

    def note(self, stage, batch, loader=0):
        self.batches.setdefault((stage, loader), []).append(batch)

    def training_step(self, batch, batch_idx):
        self.note("train", batch)
        return self.line(batch["image"].mean((1, 2, 3))[:, None] + batch["text"]["length"][:, None]).mean()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.note("validate", batch, dataloader_idx)

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        self.note("test", batch, dataloader_idx)

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        self.note("predict", batch, dataloader_idx)
        return batch_idx

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-6)

    def rows(self, stage, loader=0):
        return [row for batch in self.batches[stage, loader] for row in batch["index"].tolist()]


@pytest.fixture(scope="module")
def learn(partial, tmp_path_factory):
    """Fits, tests and predicts end to end on the pairs; once for equal settings."""

    @cache
    def run(**settings):
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=2,
            num_sanity_val_steps=0,
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=tmp_path_factory.mktemp("run"),
        )
        module, data = Learner(), PairDataModule(str(partial), batch_size=3, global_batch_size=4, **settings)
        trainer.fit(module, data)
        trainer.test(module, data, verbose=False)
        trainer.predict(module, data, return_predictions=False)
        return module

    return run


WHOLE = [row for row in range(14) if row not in LACKS]


@pytest.mark.parametrize(("num_workers", "unique_groups"), [(0, False), (2, True)])
def test_pairs_train_end_to_end_by_the_same_sequence(learn, num_workers, unique_groups):
    module = learn(num_workers=num_workers, unique_groups=unique_groups)
    groups = np.array(WHOLE) // 2 if unique_groups else None
    sequence = BatchSequence(np.array(WHOLE), groups, seed=0, global_batch_size=4)
    assert [batch["index"].tolist() for batch in module.batches["train", 0]] == [
        sequence.batch(number).tolist() for number in range(4)
    ]
    for batch in module.batches["train", 0]:
        assert batch["present"].all()
        assert len(batch["image"]) == len(batch["text"]["length"]) == 4
        assert not unique_groups or len(set(batch["group"].tolist())) == 4


def test_queries_are_whole_and_databases_hold_every_item(learn):
    module = learn(num_workers=0, unique_groups=False)
    assert module.rows("validate", 0) == WHOLE * 2, "in both epochs"
    assert module.rows("test", 0) == WHOLE
    assert module.rows("test", 1) == list(range(14))
    assert module.rows("test", 2) == list(range(28)), "train, then val"
    assert [module.rows("predict", loader) for loader in range(3)] == [list(range(14))] * 3


def test_a_pair_batch_says_what_is_known(learn, make_pair, partial):
    module = learn(num_workers=0, unique_groups=False)
    vocabulary = PairDataModule(str(partial)).label_vocabulary
    seen = Counter()
    for batch in module.batches["predict", 1]:
        pairs = [make_pair(row, "val", LACKS.get(row)) for row in batch["index"].tolist()]
        assert batch["present"].tolist() == [[p.image is not None, p.text is not None] for p in pairs]
        assert batch["group"].tolist() == [p.group for p in pairs]
        assert batch["text_hash"].tolist() == [0 if p.text is None else text_hash(p.text) for p in pairs]
        assert (batch["labels"].numpy() == pack_labels([p.labels for p in pairs], vocabulary)).all()
        grays = [row for row, p in zip(batch["index"].tolist(), pairs, strict=True) if p.image is not None]
        assert batch["image"].shape == (len(grays), 3, 8, 8)
        assert batch["image"][:, 0, 0, 0].tolist() == grays
        assert batch["text"]["length"].tolist() == [len(p.text) for p in pairs if p.text is not None]
        seen.update(batch["index"].tolist())
    assert seen == Counter(range(14))


@pytest.mark.parametrize(("lacks", "images", "text"), [("image", 0, {"length": 2}), ("text", 2, {})])
def test_batches_without_any_image_or_text(pair_writer, make_pair, tmp_path, monkeypatch, lacks, images, text):
    with pair_writer(tmp_path) as writer:
        for number in range(2):
            writer.write("train", make_pair(number, lacks=lacks))
    monkeypatch.setattr(PairDataModule, "_encoder", lambda _: GrayEncoder())
    (batch,) = PairDataModule(str(tmp_path)).predict_dataloader()[0]
    assert len(batch["image"]) == images
    assert {name: len(tensor) for name, tensor in batch["text"].items()} == text


def test_all_cores_decode_by_default(folder, trainer, monkeypatch):
    """Here 7 cores and 2 ranks: Lightning leaves a core to each rank."""
    monkeypatch.setattr("lightning.fabric.utilities.data._num_cpus_available", lambda: 7)
    monkeypatch.setattr(pl.Trainer, "num_devices", 2)
    monkeypatch.setattr(PairDataModule, "_encoder", lambda _: GrayEncoder())
    for num_workers, expected in ((None, 2), (0, 0), (1, 1)):
        data = PairDataModule(str(folder), num_workers=num_workers)
        data.trainer = trainer
        assert [loader.num_workers for loader in data.predict_dataloader()] == [expected] * 2


def test_an_encoder_is_needed(folder):
    with pytest.raises(ValueError, match=r"run Trainer\.predict"):
        PairDataModule(str(folder)).predict_dataloader()


def test_features_are_not_pairs(write_features, tmp_path):
    data = PairDataModule(str(write_features(tmp_path, {"train": 3})))
    with pytest.raises(DataError, match="mcmfh-features, not pairs"):
        data.setup("predict")


@pytest.mark.parametrize("change", [{"batch_size": 0}, {"num_workers": -1}, {"global_batch_size": 0}, {"seed": -1}])
def test_numbers_out_of_range(folder, change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} is"):
        PairDataModule(str(folder), **change)
