"""Rankings by the cosine of real-valued embeddings."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mcmfh_lightning.metrics.levels import LevelHistogram

STEPS = 1024
"""Steps of the cosine between 0 and 1: items closer than a step to one another may tie."""
NUM_LEVELS = 2 * STEPS + 1


class CosineHistogram(LevelHistogram):
    """Counts of a ranking by cosine similarity, rounded to steps of 1/1024; items of one step are tied.

    Unlike Hamming distances cosines are rounded numbers: batch sizes and devices may move an item by one step.

    Args:
        graded: Whether to count how many labels are shared, not only whether any is.
        **kwargs: Settings of `torchmetrics.Metric`.

    Example:
        >>> metric = CosineHistogram()
        >>> labels = torch.tensor([[1]], dtype=torch.uint8)
        >>> metric.set_embedded_queries(torch.tensor([[2.0, 0.0]]), labels, groups=torch.tensor([0]))
        >>> metric.update_embedded(torch.tensor([[0.0, 3.0]]), labels, groups=torch.tensor([1]))
        >>> metric.compute().relevant[0].nonzero().item()  # at cosine 0
        1024
    """

    query_embeddings: Tensor

    def __init__(self, *, graded: bool = False, **kwargs: object) -> None:
        super().__init__(NUM_LEVELS, graded=graded, **kwargs)
        self.register_buffer("query_embeddings", torch.zeros(0, 0), persistent=False)

    def set_embedded_queries(
        self, embeddings: Tensor, labels: Tensor, groups: Tensor, index: Tensor | None = None
    ) -> None:
        """Announce the queries; see `LevelHistogram.set_queries`.

        Args:
            embeddings: (Q, d).
            labels: (Q, W) uint8, packed label sets, or multi-hot.
            groups: (Q,) int64.
            index: (Q,) int64.
        """
        self.set_queries(labels, groups, index)
        self.query_embeddings = normalize(embeddings.float(), dim=-1)

    def update_embedded(self, embeddings: Tensor, labels: Tensor, groups: Tensor) -> None:
        """Count a batch of the database and forget it.

        Args:
            embeddings: (n, d); a row of zeros has cosine 0 to everything.
            labels: (n, W) uint8, packed label sets, or multi-hot.
            groups: (n,) int64.
        """
        cosine = self.query_embeddings @ normalize(embeddings.float(), dim=-1).T
        self.update(((1 - cosine) * STEPS).round().clamp(0, NUM_LEVELS - 1).long(), labels, groups)
