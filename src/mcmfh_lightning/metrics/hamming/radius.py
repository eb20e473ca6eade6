"""Hash-table look-ups."""

from torch import Tensor

from mcmfh_lightning.metrics.functional.averages import mean_over_queries
from mcmfh_lightning.metrics.functional.radius import precision_within_radius
from mcmfh_lightning.metrics.hamming.base import HammingMetric
from mcmfh_lightning.metrics.ranking import RankingCounts, RankingScore


class HammingRadiusPrecision(HammingMetric, RankingScore):
    """P@H<=r of binary codes: precision of a hash-table look-up of radius r; one that finds nothing scores 0.

    Args:
        num_bits: K.
        radius: r.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: num_bits is less than 1 or the radius negative.

    Example:
        >>> import torch
        >>> codes = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1]])
        >>> labels = torch.tensor([[1], [2], [1]], dtype=torch.uint8)
        >>> metric = HammingRadiusPrecision(num_bits=4, radius=4)
        >>> metric.set_queries(codes[:1], labels[:1], groups=torch.tensor([0]))
        >>> metric.update(codes, labels, groups=torch.tensor([0, 1, 2]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    def __init__(self, num_bits: int, radius: int = 2, **kwargs: object) -> None:
        super().__init__(num_bits, **kwargs)
        if radius < 0:
            raise ValueError(f"radius must be at least 0, got {radius}")
        self.radius = radius

    def score(self, counts: RankingCounts) -> Tensor:
        """Mean P@H<=r over the queries that have relevant items."""
        return mean_over_queries(precision_within_radius(counts.total, counts.relevant, self.radius))
