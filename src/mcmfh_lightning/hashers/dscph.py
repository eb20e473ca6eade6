"""DScPH: codes near the proxies of their classes."""

from collections.abc import Mapping

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from mcmfh_lightning.hashers.base import Objective
from mcmfh_lightning.hashers.two_tower import HashTowers
from mcmfh_lightning.layers import HouseholderRotation
from mcmfh_lightning.losses import bit_variance, class_proxy_loss, gather_rows, semi_hard_triplet
from mcmfh_lightning.losses.supervised import OFFSET, THRESHOLD
from mcmfh_lightning.metrics.functional import unpack_bits
from mcmfh_lightning.types import FeatureBatch

TRIPLET_MARGIN = 0.25


class DScPH(HashTowers):
    """Deep Semantic-consistent Penalizing Hashing (IEEE TMM 2025), supervised, on `HashTowers`.

    The defaults are those of the authors' collection of methods. Loss terms, each the sum over both modalities, or with
    query heads, which are not published, twice the mean over the codes of all queries and items:

    - ``proxy``: `class_proxy_loss` against one learned proxy a class, shared by the modalities, over the rows that have
      labels.
    - ``bit_variance``: `bit_variance` of the codes after a learned `HouseholderRotation`.
    - ``triplet``: `semi_hard_triplet` with a fixed margin of 0.25, off by default. The authors' first repository has
      such a term, with a margin that it estimates again in each epoch; the collection has none.

    Args:
        num_bits: Bits of a code.
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        num_labels: Classes. A model may be tested on data of other classes: the proxies are not used there.
        d_model: Width of the projections and of the hash heads.
        negative_threshold: Cosine up to which the proxy of another class costs nothing (tau of the formula).
        negative_offset: What is subtracted from the cosine of one that costs (psi of the formula).
        bit_variance_weight: Weight of ``bit_variance``.
        triplet_weight: Weight of ``triplet``; 0 leaves it out.
        optimizer: Makes the optimizer from the parameters.
        lr_scheduler: Makes a scheduler that is stepped once an epoch.
        query_heads: Give each search and the case an MLP of their own; see `HashTowers`.

    Raises:
        ValueError: If ``negative_offset`` is greater than ``negative_threshold``.
    """

    supervision = "labels"

    def __init__(
        self,
        num_bits: int,
        image_dim: int,
        text_dim: int,
        num_labels: int,
        d_model: int = 256,
        negative_threshold: float = THRESHOLD,
        negative_offset: float = OFFSET,
        bit_variance_weight: float = 1.0,
        triplet_weight: float = 0.0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
        *,
        query_heads: bool = False,
    ) -> None:
        super().__init__(num_bits, image_dim, text_dim, d_model, optimizer, lr_scheduler, query_heads=query_heads)
        if negative_offset > negative_threshold:
            raise ValueError(
                f"negative_offset={negative_offset} is greater than negative_threshold={negative_threshold}: a "
                "negative between them would lower the loss; give an offset up to the threshold"
            )
        self.save_hyperparameters()
        self.negative_threshold = negative_threshold
        self.negative_offset = negative_offset
        self.bit_variance_weight = bit_variance_weight
        self.triplet_weight = triplet_weight
        self.proxies = nn.Parameter(torch.randn(num_labels, num_bits))
        self.rotation = HouseholderRotation(num_bits)

    def objective(self, batch: FeatureBatch) -> Objective:
        """Compute the terms of the class description, on the global batch."""
        queries, items = self.global_codes_of_batch(batch)  # (B, num_bits) each
        codes = [items["image"], items["text"]]
        if self.query_heads is not None:
            codes = [*items.values(), *queries.values()]
        labels = unpack_bits(gather_rows(batch["labels"]))[:, : len(self.proxies)]  # (B, classes)
        known = labels.bool().any(dim=1)  # a pair without labels may still be of one of the classes
        limits = self.negative_threshold, self.negative_offset
        proxy = [class_proxy_loss(code[known], self.proxies, labels[known], *limits) for code in codes]
        variance = [bit_variance(self.rotation(code)) for code in codes]
        terms = {
            "proxy": 2 * torch.stack(proxy).mean(),
            "bit_variance": self.bit_variance_weight * 2 * torch.stack(variance).mean(),
        }
        if self.triplet_weight:
            similar, ignored = self.related(batch)
            triplets = [semi_hard_triplet(code, similar, ~similar & ~ignored, TRIPLET_MARGIN) for code in codes]
            terms["triplet"] = self.triplet_weight * 2 * torch.stack(triplets).mean()
        return Objective(terms, {})

    def adapt(self, state: Mapping[str, Tensor]) -> None:
        """Take as many proxies as the checkpoint has: proxies have no part in codes."""
        self.proxies = nn.Parameter(torch.empty_like(state["proxies"]))
