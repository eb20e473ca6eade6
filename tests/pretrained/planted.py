"""The encoder that planted features are said to be of; it imports nothing of the other tests."""

import numpy as np
import torch
from PIL import Image

from mcmfh_lightning.encoders import Encoder


class Planted(Encoder):
    """Mean grays of 24 tiles of a picture, and counts of 16 letters."""

    image_dim, text_dim = 24, 16

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
