"""Points of the precision and recall curves."""

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.averages import mean_over_queries
from mcmfh_lightning.metrics.functional.curves import precision_at, recall_at
from mcmfh_lightning.metrics.hamming.base import HammingMetric, check_depth
from mcmfh_lightning.metrics.ranking import RankingCounts, RankingScore


class HammingPrecision(HammingMetric, RankingScore):
    """Expected P@k of binary codes; the divisor is k.

    Args:
        num_bits: K.
        k: Depth.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: num_bits or k is less than 1.

    Example:
        >>> labels = torch.tensor([[1], [2], [1]], dtype=torch.uint8)
        >>> codes = torch.zeros(3, 1, dtype=torch.uint8)
        >>> metric = HammingPrecision(num_bits=4, k=1)
        >>> metric.set_queries(codes[:1], labels[:1], groups=torch.tensor([0]))
        >>> metric.update(codes, labels, groups=torch.tensor([0, 1, 2]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    def __init__(self, num_bits: int, k: int, **kwargs: object) -> None:
        super().__init__(num_bits, **kwargs)
        check_depth(k)
        self.k = k

    def score(self, counts: RankingCounts) -> Tensor:
        """Mean P@k over the queries that have relevant items."""
        return mean_over_queries(precision_at(counts.total, counts.relevant, torch.tensor([self.k]))[:, 0])


class HammingRecall(HammingMetric, RankingScore):
    """Expected R@k of binary codes: the share of a query's relevant items among the first k.

    Args:
        num_bits: K.
        k: Depth.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: num_bits or k is less than 1.

    Example:
        >>> labels = torch.tensor([[1], [2], [1]], dtype=torch.uint8)
        >>> codes = torch.tensor([[0b0000], [0b0000], [0b1000]], dtype=torch.uint8) << 4
        >>> metric = HammingRecall(num_bits=4, k=1)
        >>> metric.set_queries(codes[:1], labels[:1], groups=torch.tensor([9]))
        >>> metric.update(codes, labels, groups=torch.tensor([0, 1, 2]))
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)
    """

    def __init__(self, num_bits: int, k: int, **kwargs: object) -> None:
        super().__init__(num_bits, **kwargs)
        check_depth(k)
        self.k = k

    def score(self, counts: RankingCounts) -> Tensor:
        """Mean R@k over the queries that have relevant items."""
        return mean_over_queries(recall_at(counts.total, counts.relevant, torch.tensor([self.k]))[:, 0])
