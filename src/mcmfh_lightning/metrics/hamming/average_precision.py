"""Mean average precision."""

from torch import Tensor

from mcmfh_lightning.metrics.functional.average_precision import average_precision
from mcmfh_lightning.metrics.functional.averages import mean_over_queries
from mcmfh_lightning.metrics.hamming.base import HammingMetric, check_depth
from mcmfh_lightning.metrics.ranking import RankingCounts, RankingScore


class HammingMeanAveragePrecision(HammingMetric, RankingScore):
    """Tie-aware mAP@k of binary codes: AP@k divides by min(k, R); queries without relevant items are left out.

    Args:
        num_bits: K.
        k: Depth; None ranks the whole database (mAP@all).
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: num_bits or k is less than 1.

    Example:
        >>> import torch
        >>> codes = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        >>> labels = torch.tensor([[1, 0], [0, 1], [1, 1]])
        >>> groups = torch.tensor([0, 1, 2])
        >>> metric = HammingMeanAveragePrecision(num_bits=2)
        >>> metric.set_queries(codes, labels, groups)
        >>> metric.update(codes[:2], labels[:2], groups[:2])
        >>> metric.update(codes[2:], labels[2:], groups[2:])
        >>> metric.compute()
        tensor(0.7500, dtype=torch.float64)
    """

    def __init__(self, num_bits: int, k: int | None = None, **kwargs: object) -> None:
        super().__init__(num_bits, **kwargs)
        check_depth(k)
        self.k = k

    def score(self, counts: RankingCounts) -> Tensor:
        """Mean AP@k over the queries that have relevant items."""
        return mean_over_queries(average_precision(counts.total, counts.relevant, self.k))
