"""Encode a folder of pairs with an encoder whose features are easy to predict."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from mcmfh_lightning.datamodules import PairDataModule
from mcmfh_lightning.encoders import Encoder, FeatureExtractor


def tokenize(texts: list[str]) -> dict[str, Tensor]:
    lengths = torch.tensor([len(text) for text in texts])
    return {"length": lengths, "truncated": lengths > 15}


class Simple(Encoder):
    """Image: mean gray, 1. Text: its length."""

    image_dim, text_dim = 2, 1
    preprocess = staticmethod(pil_to_tensor)
    tokenize = staticmethod(tokenize)

    def __init__(self) -> None:
        super().__init__()
        self.identity = {"name": "simple"}

    def encode_image(self, image: Tensor) -> Tensor:
        gray = image.float().mean(dim=(1, 2, 3))
        return torch.stack([gray, torch.ones_like(gray)], dim=1)

    def encode_text(self, text: dict[str, Tensor]) -> Tensor:
        return text["length"].float()[:, None]


def encode(
    pairs: Path, features: Path, encoder: Encoder | None = None, *, return_predictions: bool = False, **options: Any
) -> Any:
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, **options)
    module = FeatureExtractor(encoder or Simple(), str(features))
    data = PairDataModule(str(pairs), batch_size=2, num_workers=0)  # in this process, where it can be watched
    return trainer.predict(module, datamodule=data, return_predictions=return_predictions)
