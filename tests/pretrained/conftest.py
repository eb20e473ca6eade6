from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mcmfh_lightning import load
from mcmfh_lightning.cli.train import main as train
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.pretrained import PairHasher
from tests.conftest import IMAGE_DIM, TEXT_DIM, MakeFeatures

TEXTS = ["enlarged heart", "no finding", "a small nodule, and a catheter"]


class Planted(Encoder):
    """What the planted features are said to be of: mean grays of 24 tiles of a picture, and counts of 16 letters."""

    image_dim, text_dim = IMAGE_DIM, TEXT_DIM

    def __init__(self, name: str = "planted") -> None:
        super().__init__()
        self.identity = {"name": name}

    @staticmethod
    def preprocess(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image.convert("RGB").resize((6, 4)), np.float32)).permute(2, 0, 1) / 64 - 2

    @staticmethod
    def tokenize(texts: list[str]) -> dict[str, torch.Tensor]:
        counts = [[text.count(letter) for letter in "abcdefghilmnorst"] for text in texts]
        return {"counts": torch.tensor(counts)}

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean(1).flatten(1)

    def encode_text(self, text: dict[str, torch.Tensor]) -> torch.Tensor:
        return text["counts"].float() - 1


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
