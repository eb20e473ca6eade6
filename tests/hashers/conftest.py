from functools import partial
from inspect import signature

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mcmfh_lightning.hashers import get_method, list_methods

IMAGE_DIM, TEXT_DIM, NUM_LABELS = 10, 6, 4
PLAIN = {"hashing_loss": "info_nce", "image_dropout": 0.0, "text_dropout": 0.0}
"""One loss and whole embeddings, unless a test asks for more."""


@pytest.fixture(scope="session")
def make_batch():
    """Feature batches of a few classes that both modalities show; one group a pair."""

    def make(rows=12, seed=0, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)
        shown = torch.randn(NUM_LABELS, IMAGE_DIM + TEXT_DIM, generator=torch.Generator().manual_seed(99))
        classes = torch.randint(NUM_LABELS, (rows,), generator=generator)
        both = shown[classes] + 0.5 * torch.randn(rows, IMAGE_DIM + TEXT_DIM, generator=generator)
        dense = torch.nn.functional.one_hot(classes, NUM_LABELS).numpy().astype(np.uint8)
        return {
            "image": both[:, :IMAGE_DIM].to(dtype),
            "text": both[:, IMAGE_DIM:].to(dtype),
            "labels": torch.from_numpy(np.packbits(dense, axis=1)),
            "group": 500 + torch.arange(rows),
            "text_hash": torch.arange(rows),
            "index": 100 + torch.arange(rows),
        }

    return make


def small(name, **options):
    """Make a small hasher of the registry; its weights depend on ``init_seed`` alone."""
    torch.manual_seed(options.pop("init_seed", 0))
    method = get_method(name)
    sizes = {"num_bits": 8, "image_dim": IMAGE_DIM, "text_dim": TEXT_DIM, "num_labels": NUM_LABELS, "d_model": 8}
    sizes |= {"num_heads": 2} if method.by_gradients else {"num_bits": 4}  # a closed form has at most TEXT_DIM bits
    accepted = signature(method.hasher).parameters
    plain = PLAIN if "objective" in accepted else {}
    return method.hasher(**{key: value for key, value in sizes.items() if key in accepted} | plain | options)


@pytest.fixture
def make_mcmfh():
    return partial(small, "mcmfh")


@pytest.fixture
def make_two_tower():
    return partial(small, "two_tower")


@pytest.fixture
def make_ucmfh():
    return partial(small, "ucmfh")


@pytest.fixture
def make_dscph():
    return partial(small, "dscph")


@pytest.fixture
def make_ddbh():
    return partial(small, "ddbh")


@pytest.fixture
def make_dchmt():
    return partial(small, "dchmt")


@pytest.fixture
def make_tripah():
    return partial(small, "tripah")


@pytest.fixture(scope="module", params=[one.name for one in list_methods() if one.hashes and one.by_gradients])
def make_hasher(request):
    """Maker of each method that hashes and learns by gradients."""
    return partial(small, request.param)


def flat(output):
    """The codes of `EvaluationOutput` by name, those of queries as ``query/<search>``."""
    queries = {f"query/{search}": code for search, code in output.get("queries", {}).items()}
    return {name: value for name, value in output.items() if name != "queries"} | queries


@pytest.fixture(params=["two_tower", "ddbh", "dscph", "dchmt", "mcmfh"])
def make_with_query_heads(request):
    """Maker of each method that can have query heads, with them."""
    return partial(small, request.param, query_heads=True)


@pytest.fixture(params=[method.name for method in list_methods()])
def make_any(request):
    """Maker of each method."""
    return partial(small, request.param)


class Data(pl.LightningDataModule):
    """Datamodule of given batches."""

    def __init__(self, batches, encoder, label_vocabulary):
        super().__init__()
        self.batches = batches
        self.encoder = encoder
        self.label_vocabulary = label_vocabulary

    def train_dataloader(self):
        return DataLoader(self.batches, batch_size=None)

    test_dataloader = train_dataloader
    val_dataloader = train_dataloader


@pytest.fixture(scope="session")
def make_data(make_batch):
    def make(num_batches=2, encoder="tower A", label_vocabulary=("normal", "effusion")):
        batches = [make_batch(seed=seed) for seed in range(num_batches)]
        return Data(batches, {"name": encoder}, list(label_vocabulary))

    return make


def quiet_trainer(folder, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    plain = {"accelerator": "cpu", "enable_checkpointing": False, "limit_val_batches": 0}
    return pl.Trainer(**{"default_root_dir": folder} | quiet | plain | options)


@pytest.fixture
def make_trainer(tmp_path):
    return partial(quiet_trainer, tmp_path)
