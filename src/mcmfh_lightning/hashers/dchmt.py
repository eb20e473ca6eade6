"""DCHMT: similar codes near each other, dissimilar ones a margin apart."""

from functools import partial

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from mcmfh_lightning.hashers.base import Objective
from mcmfh_lightning.hashers.two_tower import HashTowers
from mcmfh_lightning.layers import SelectingHead
from mcmfh_lightning.losses import bounded_distance_loss
from mcmfh_lightning.types import FeatureBatch


class DCHMT(HashTowers):
    """Differentiable Cross-modal Hashing via Multimodal Transformers (ACM MM 2022), supervised, on `HashTowers`.

    Published with both transformers of CLIP ViT-B/32, fine-tuned; here the embeddings are frozen, of any encoder, as
    for every method. The head is the published one, `SelectingHead`, at the width of the other methods' heads.

    Loss terms: ``image``, ``text`` and ``cross``, the `bounded_distance_loss` within each modality and between them,
    and ``quantization``, the mean over both modalities of 1 - mean h^2. The authors' first code has no such term, that
    of their later collection of methods has, and the defaults are those of the collection. Query heads, which are not
    published, take the place of the queries; ``cross`` is then the mean of both directions, and ``case`` that of the
    searches of cases.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        d_model: Width of the projections and of the hash heads.
        margin_share: Share of the bits by which dissimilar codes should differ (vartheta of the authors).
        quantization_weight: Weight of ``quantization``.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
        query_heads: Give each search and the case a head of their own; see `HashTowers`.

    Raises:
        ValueError: If ``margin_share`` is not in (0, 1].
    """

    supervision = "labels"

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        d_model: int = 256,
        margin_share: float = 0.75,
        quantization_weight: float = 0.001,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
        *,
        query_heads: bool = False,
    ) -> None:
        sizes = num_bits, image_dim, text_dim, d_model
        super().__init__(*sizes, optimizer, lr_scheduler, query_heads=query_heads, make_head=SelectingHead)
        if not 0.0 < margin_share <= 1.0:
            raise ValueError(f"margin_share={margin_share} is outside (0, 1]")
        self.save_hyperparameters()
        self.margin_share = margin_share
        self.quantization_weight = quantization_weight

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute the terms of the class description, on the global batch."""
        similar, ignored = self.related(batch)  # (B, B) each
        loss = partial(
            bounded_distance_loss,
            similar=similar,
            dissimilar=~similar & ~ignored,
            margin_share=self.margin_share,
        )
        terms, codes = self.terms_of_searches(self.global_codes_of_batch(batch), loss)
        error = torch.stack([1 - code.square().mean() for code in codes]).mean()
        return Objective(terms | {"quantization": self.quantization_weight * error}, {})
