"""DDBH: codes on the right side of their boundary points."""

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from mcmfh_lightning.hashers.base import Objective, use_present_names
from mcmfh_lightning.hashers.two_tower import HashTowers
from mcmfh_lightning.losses import boundary_point_loss, similarity_quantization
from mcmfh_lightning.types import FeatureBatch


class DDBH(HashTowers):
    """Deep Discriminative Boundary Hashing (IEEE TCSVT 2025), supervised, on `HashTowers`.

    Loss terms: ``image``, ``text`` and ``cross``, the `boundary_point_loss` within each modality and from images to
    texts, and ``quantisation``, the `similarity_quantization` of both modalities.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of the projections and of the hash heads.
        quantization_weight: Weight of ``quantisation``.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
        former: Arguments by the names of the version before.
    """

    supervision = "labels"

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        d_model: int = 256,
        quantization_weight: float = 0.1,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
        **former: float,
    ) -> None:
        super().__init__(num_bits, image_dim, text_dim, d_model, optimizer, lr_scheduler)
        use_present_names(former)
        quantization_weight = former.pop("quantization_weight", quantization_weight)
        if former:
            raise TypeError(f"DDBH has no arguments {', '.join(former)}")
        self.save_hyperparameters()
        self.quantization_weight = quantization_weight

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute the terms of the class description, on the global batch."""
        image, text = self.global_codes(batch)  # (B, num_bits) each
        similar, ignored = self.related(batch)  # (B, B) each
        dissimilar = ~similar & ~ignored
        error = similarity_quantization(image, similar) + similarity_quantization(text, similar)
        terms = {
            "image": boundary_point_loss(image, image, similar, dissimilar),
            "text": boundary_point_loss(text, text, similar, dissimilar),
            "cross": boundary_point_loss(image, text, similar, dissimilar),
            "quantisation": self.quantization_weight * error,  # a column of metrics.csv, which keeps its name
        }
        return Objective(terms, {})
