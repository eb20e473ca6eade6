"""Rankings by given levels, such as those of a constant score, and by the cosine of embeddings."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mcmfh_lightning.metrics.functional.histogram import add_levels
from mcmfh_lightning.metrics.functional.packing import as_packed_labels
from mcmfh_lightning.metrics.ranking import RankingCounts, RankingMetric, check_rows


class LevelHistogram(RankingMetric):
    """Counts of a ranking by given levels, such as those of a constant score.

    Args:
        num_levels: L.
        graded: Whether to count how many labels are shared, not only whether any is.
        **kwargs: Settings of `torchmetrics.Metric`.

    Example:
        >>> metric = LevelHistogram(num_levels=2)
        >>> labels = torch.tensor([[1], [2]], dtype=torch.uint8)
        >>> metric.set_queries(labels, groups=torch.tensor([0, 1]))
        >>> metric.update(torch.tensor([0, 1]), labels, groups=torch.tensor([2, 3]))
        >>> metric.compute().relevant
        tensor([[1, 0],
                [0, 1]])
    """

    higher_is_better: bool | None = None

    def __init__(self, num_levels: int, *, graded: bool = False, **kwargs: object) -> None:
        super().__init__(num_levels, **kwargs)
        self.graded = graded

    def set_queries(self, labels: Tensor, groups: Tensor, index: Tensor | None = None) -> None:
        """Announce the queries, the same on every process, and reset the counts.

        Args:
            labels: (Q, W) uint8, packed label sets, or multi-hot as `as_packed_labels` takes them.
            groups: (Q,) int64; database items of the same group will not count.
            index: (Q,) int64, distinct: the order in which queries enter the final arithmetic; None is the given order.

        Raises:
            ValueError: If shapes do not agree, or an index occurs twice.
        """
        self._announce(as_packed_labels(labels), groups, index)

    def update(self, levels: Tensor, labels: Tensor, groups: Tensor) -> None:
        """Count a batch of the database and forget it.

        Args:
            levels: (n,), the same for every query, or (Q, n) integers in [0, L), the best level is 0.
            labels: (n, W) uint8, packed label sets, or multi-hot.
            groups: (n,) int64.

        Raises:
            RuntimeError: If queries were not announced.
            ValueError: If shapes do not agree.
        """
        self._require_queries()
        check_rows(levels=levels.movedim(-1, 0), labels=labels, groups=groups)
        counts = (self.total, self.relevant, self.gains, self.shared) if self.graded else (self.total, self.relevant)
        add_levels(counts, levels, self.query_labels, as_packed_labels(labels), self.query_groups, groups)
        self.database_size += len(labels)

    def compute(self) -> RankingCounts:
        """Sum the counts over all processes.

        Returns:
            Counts on the CPU, queries sorted by index.
        """
        return self.counts()


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
