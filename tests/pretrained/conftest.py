from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning import load
from mcmfh_lightning.cli.train import main as train
from mcmfh_lightning.pretrained import PairHasher
from tests.conftest import MakeFeatures

from .planted import Planted

TEXTS = ["enlarged heart", "no finding", "a small nodule, and a catheter"]


@pytest.fixture(scope="session")
def films() -> list[Image.Image]:
    rng = np.random.default_rng(5)
    return [Image.fromarray(rng.integers(0, 256, (12, 18), dtype=np.uint8)) for _ in range(3)]


@pytest.fixture(scope="session")
def run(make_features: MakeFeatures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ``mcmfh`` fitted for an epoch and tested, on planted features."""
    folder = tmp_path_factory.mktemp("run")
    features = make_features(folder / "features", train=128, evaluated=40)
    flags = ["--data.root", str(features), "--run_dir", str(folder / "run"), "--data.global_batch_size", "32"]
    flags += ["--trainer.enable_progress_bar", "false"]
    fit = ["--trainer.max_epochs", "1", "--model.d_model", "32"]
    train(["fit", "--config", "experiments/query_towers.yaml", *flags, *fit])
    train(["test", "--config", "experiments/query_towers.yaml", *flags, *fit[2:]])
    return folder / "run"


@pytest.fixture(scope="session")
def hasher(run: Path) -> PairHasher:
    return load(run, encoder=Planted())


@pytest.fixture(scope="session")
def all_codes(films: list[Image.Image]) -> Callable[[PairHasher], np.ndarray]:
    """Codes of the films, the texts and their pairs, as items and as queries of every search."""

    def compute(hasher: PairHasher) -> np.ndarray:
        codes = [hasher.encode_pairs(films, TEXTS), hasher.encode_images(films), hasher.encode_texts(TEXTS)]
        codes += [hasher.encode_images(films, search=search) for search in ("i2t", "i2i", "i2case")]
        codes += [hasher.encode_texts(TEXTS, search=search) for search in ("t2i", "t2t", "t2case")]
        return np.stack(codes)

    return compute
