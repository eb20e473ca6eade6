"""DDBH: codes on the right side of their boundary points."""

from functools import partial

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from mcmfh_lightning.hashers.base import Objective
from mcmfh_lightning.hashers.checkpoints import use_present_names
from mcmfh_lightning.hashers.two_tower import HashTowers
from mcmfh_lightning.losses import boundary_point_loss, similarity_quantization
from mcmfh_lightning.types import FeatureBatch


class DDBH(HashTowers):
    """Deep Discriminative Boundary Hashing (IEEE TCSVT 2025), supervised, on `HashTowers`.

    Loss terms: ``image``, ``text`` and ``cross``, the `boundary_point_loss` within each modality and from images to
    texts, and ``quantisation``, the `similarity_quantization` of both modalities. Query heads, which are not published,
    take the place of the queries; ``cross`` is then the mean of both directions, and ``case`` that of the searches of
    cases.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of the projections and of the hash heads.
        quantization_weight: Weight of ``quantisation``.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
        query_heads: Give each search and the case an MLP of their own; see `HashTowers`.
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
        *,
        query_heads: bool = False,
        **former: float,
    ) -> None:
        super().__init__(num_bits, image_dim, text_dim, d_model, optimizer, lr_scheduler, query_heads=query_heads)
        use_present_names(former)
        quantization_weight = former.pop("quantization_weight", quantization_weight)
        if former:
            raise TypeError(f"DDBH has no arguments {', '.join(former)}")
        self.save_hyperparameters()
        self.quantization_weight = quantization_weight

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute the terms of the class description, on the global batch."""
        similar, ignored = self.related(batch)  # (B, B) each
        loss = partial(boundary_point_loss, similar=similar, dissimilar=~similar & ~ignored)
        terms, codes = self.terms_of_searches(self.global_codes_of_batch(batch), loss)
        error = torch.stack([similarity_quantization(code, similar) for code in codes]).mean() * 2
        terms["quantisation"] = self.quantization_weight * error  # a column of metrics.csv, which keeps its name
        return Objective(terms, {})
