import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mcmfh_lightning.hashers import DDBH, MCMFH, UCMFH, DScPH, TwoTower

IMAGE_DIM, TEXT_DIM, NUM_LABELS = 10, 6, 4
PLAIN = {"hashing_loss": "info_nce", "input_dropout": 0.0}
"""One loss and embeddings as they are, unless a test asks for more."""


@pytest.fixture
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


@pytest.fixture
def make_mcmfh():
    def make(**options):
        torch.manual_seed(options.pop("init_seed", 0))
        small = {"num_bits": 8, "image_dim": IMAGE_DIM, "text_dim": TEXT_DIM, "d_model": 8, "num_heads": 2}
        return MCMFH(**small | PLAIN | options)

    return make


@pytest.fixture
def make_two_tower():
    def make(**options):
        torch.manual_seed(options.pop("init_seed", 0))
        small = {"num_bits": 8, "image_dim": IMAGE_DIM, "text_dim": TEXT_DIM, "d_model": 8}
        return TwoTower(**small | PLAIN | options)

    return make


def _baseline(hasher, **more):
    def make(**options):
        torch.manual_seed(options.pop("init_seed", 0))
        return hasher(**{"num_bits": 8, "image_dim": IMAGE_DIM, "text_dim": TEXT_DIM, "d_model": 8} | more | options)

    return make


@pytest.fixture
def make_ucmfh():
    return _baseline(UCMFH)


@pytest.fixture
def make_dscph():
    return _baseline(DScPH, num_labels=NUM_LABELS)


@pytest.fixture
def make_ddbh():
    return _baseline(DDBH)


@pytest.fixture(params=["mcmfh", "two_tower", "ucmfh", "dscph", "ddbh"])
def make_hasher(request):
    return request.getfixturevalue(f"make_{request.param}")


class Data(pl.LightningDataModule):
    """A datamodule of batches that exist already."""

    def __init__(self, batches, encoder, label_vocabulary):
        super().__init__()
        self.batches = batches
        self.encoder = encoder
        self.label_vocabulary = label_vocabulary

    def train_dataloader(self):
        return DataLoader(self.batches, batch_size=None)

    test_dataloader = train_dataloader


@pytest.fixture
def make_data(make_batch):
    def make(num_batches=2, encoder="tower A", label_vocabulary=("normal", "effusion")):
        batches = [make_batch(seed=seed) for seed in range(num_batches)]
        return Data(batches, {"name": encoder}, list(label_vocabulary))

    return make


@pytest.fixture
def make_trainer(tmp_path):
    def make(**options):
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        plain = {"accelerator": "cpu", "enable_checkpointing": False, "default_root_dir": tmp_path}
        return pl.Trainer(**quiet | plain | options)

    return make
