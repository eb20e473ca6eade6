"""Real-valued search, which shows what hashing costs."""

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn
from torch.nn.functional import normalize

from mcmfh_lightning.errors import check_choice
from mcmfh_lightning.hashers.base import Objective
from mcmfh_lightning.hashers.two_tower import Towers
from mcmfh_lightning.layers import Projection
from mcmfh_lightning.losses import Supervision, info_nce
from mcmfh_lightning.losses.contrastive import check_temperature
from mcmfh_lightning.types import EvaluationOutput, FeatureBatch


class RealValued(Towers):
    """Projection and MLP per modality, ranked by cosine: the contrastive objective of `TwoTower` without its codes.

    Args:
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of the projections and of the result.
        supervision: ``pairs`` (a pair and its group) or ``labels`` (pairs that share a label as well) are positives.
        temperature: Temperature of InfoNCE.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.

    Raises:
        ValueError: If the word is unknown or the temperature is not positive.
    """

    distance = "cosine"

    def __init__(
        self,
        image_dim: int,
        text_dim: int,
        d_model: int = 256,
        supervision: Supervision = "labels",
        temperature: float = 0.5,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__({"image_dim": image_dim, "text_dim": text_dim, "d_model": d_model}, optimizer, lr_scheduler)
        check_choice("supervision", supervision, Supervision)
        check_temperature(temperature)
        self.save_hyperparameters()
        self.supervision = supervision
        self.temperature = temperature
        self.image_tower = _tower(image_dim, d_model)
        self.text_tower = _tower(text_dim, d_model)

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute InfoNCE between the modalities, on the global batch."""
        image, text = self.global_codes(batch)  # (B, d_model) each
        positives, ignored = self.related(batch)  # (B, B) each
        return Objective({"contrastive": info_nce(image, text, positives, self.temperature, ignored)}, {})

    def evaluate(self, batch: FeatureBatch) -> EvaluationOutput:
        """Compute embeddings of length 1 and, for a case, the mean of both."""
        image = normalize(self.image_tower(batch["image"]), dim=-1)
        text = normalize(self.text_tower(batch["text"]), dim=-1)
        return {"image": image, "text": text, "case": (image + text) / 2}


def _tower(input_dim: int, d_model: int) -> nn.Sequential:
    return nn.Sequential(
        Projection(input_dim, d_model), nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, d_model)
    )
