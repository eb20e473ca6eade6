from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mcmfh_lightning.datamodules.shards import DatasetInfo, FeatureShardWriter, merge_feature_parts, pack_bits

# A forked process hangs in a pool of OpenMP threads that it did not inherit; tests that fork need no pool to exist.
torch.set_num_threads(1)

REPOSITORY = Path(__file__).parents[1]
LABELS = ("normal", "Cardiomegaly", "Effusion", "Nodule", "Opacity", "Scoliosis", "Catheter", "Emphysema")
IMAGE_DIM, TEXT_DIM = 24, 16

MakeFeatures = Callable[..., Path]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real collections that lie beside a developer's checkout; they are never copied into it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real collections (../shared/data) are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


def _write_features(folder: Path, *, shuffled: int | None = None, encoder: str = "planted", train: int = 512) -> Path:
    """Feature shards whose image and text embeddings are noisy sums of one direction per label.

    ``shuffled`` is a seed by which images change pairs, so that they say nothing about texts and labels.
    """
    rng = np.random.default_rng(7)
    image_directions = rng.normal(size=(len(LABELS), IMAGE_DIM))
    text_directions = rng.normal(size=(len(LABELS), TEXT_DIM))
    writer = FeatureShardWriter(folder, rank=0)
    ids: dict[str, list[str]] = {}
    first = 0
    for split, pairs in (("train", train), ("val", 160), ("test", 160)):
        labels = np.zeros((pairs, len(LABELS)), dtype=bool)
        labels[np.arange(pairs), rng.integers(len(LABELS), size=pairs)] = True
        abnormal = ~labels[:, 0]
        labels[abnormal, 1:] |= rng.random((abnormal.sum(), len(LABELS) - 1)) < 0.08
        image = labels @ image_directions + 0.8 * rng.normal(size=(pairs, IMAGE_DIM))
        text = labels @ text_directions + 0.8 * rng.normal(size=(pairs, TEXT_DIM))
        if shuffled is not None:
            image = image[np.random.default_rng([shuffled, first]).permutation(pairs)]
        ids[split] = [f"{split}{i:04d}" for i in range(pairs)]
        groups = first + np.arange(pairs) // 2  # two pairs a study
        hashes = first + np.arange(pairs)
        writer.write(split, ids[split], image, text, pack_bits(labels), groups, hashes)
        first += pairs
    writer.close()
    info = DatasetInfo(
        format="mcmfh-features",
        name="planted",
        source="tests/conftest.py",
        licence="CC0",
        settings={},
        label_vocabulary=LABELS,
        normal_label="normal",
        splits={},
        encoder={"name": encoder},
        image_dim=IMAGE_DIM,
        text_dim=TEXT_DIM,
    )
    merge_feature_parts(folder, info, 1, expected_ids=ids)
    return folder


@pytest.fixture(scope="session")
def make_features() -> MakeFeatures:
    """Writes planted feature shards into a folder; see ``_write_features``."""
    return _write_features


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of planted feature shards: 512, 160 and 160 pairs, 8 labels."""
    return _write_features(tmp_path_factory.mktemp("planted") / "features")
