"""Metrics of rankings by binary codes."""

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional import average_cumulative_gain, ndcg
from mcmfh_lightning.metrics.functional.average_precision import average_precision, mean_over_queries
from mcmfh_lightning.metrics.functional.curves import precision_at, precision_within_radius, recall_at
from mcmfh_lightning.metrics.hamming.base import DepthScore, HammingMetric, checked_depth
from mcmfh_lightning.metrics.ranking import RankingCounts, RankingScore


class HammingMeanAveragePrecision(HammingMetric, RankingScore):
    """Tie-aware mAP@k of binary codes: AP@k divides by min(k, R); queries without relevant items are left out.

    Args:
        num_bits: K.
        k: Depth; None ranks the whole database (mAP@all).
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If num_bits or k is less than 1.

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
        self.k = None if k is None else checked_depth(k)

    def score(self, counts: RankingCounts) -> Tensor:
        """Average AP@k over the queries that have relevant items."""
        return mean_over_queries(average_precision(counts.total, counts.relevant, self.k))


class HammingPrecision(DepthScore, HammingMetric):
    """Expected P@k of binary codes; the divisor is k.

    Args:
        num_bits: K.
        k: Depth.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If num_bits or k is less than 1.

    Example:
        >>> labels = torch.tensor([[1], [2], [1]], dtype=torch.uint8)
        >>> codes = torch.zeros(3, 1, dtype=torch.uint8)
        >>> metric = HammingPrecision(num_bits=4, k=1)
        >>> metric.set_queries(codes[:1], labels[:1], groups=torch.tensor([0]))
        >>> metric.update(codes, labels, groups=torch.tensor([0, 1, 2]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    def score(self, counts: RankingCounts) -> Tensor:
        """Average P@k over the queries that have relevant items."""
        return mean_over_queries(precision_at(counts.total, counts.relevant, torch.tensor([self.k]))[:, 0])


class HammingRecall(DepthScore, HammingMetric):
    """Expected R@k of binary codes: the share of a query's relevant items among the first k.

    Args:
        num_bits: K.
        k: Depth.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If num_bits or k is less than 1.

    Example:
        >>> labels = torch.tensor([[1], [2], [1]], dtype=torch.uint8)
        >>> codes = torch.tensor([[0b0000], [0b0000], [0b1000]], dtype=torch.uint8) << 4
        >>> metric = HammingRecall(num_bits=4, k=1)
        >>> metric.set_queries(codes[:1], labels[:1], groups=torch.tensor([9]))
        >>> metric.update(codes, labels, groups=torch.tensor([0, 1, 2]))
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)
    """

    def score(self, counts: RankingCounts) -> Tensor:
        """Average R@k over the queries that have relevant items."""
        return mean_over_queries(recall_at(counts.total, counts.relevant, torch.tensor([self.k]))[:, 0])


class HammingRadiusPrecision(HammingMetric, RankingScore):
    """P@H<=r of binary codes: precision of a hash-table look-up of radius r; one that finds nothing scores 0.

    Args:
        num_bits: K.
        radius: r.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If num_bits is less than 1 or the radius negative.

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
        """Average P@H<=r over the queries that have relevant items."""
        return mean_over_queries(precision_within_radius(counts.total, counts.relevant, self.radius))


class HammingHistogram(HammingMetric):
    """The ranking histogram itself, from which every functional of this package follows.

    Args:
        num_bits: K.
        graded: Whether to count how many labels are shared, which NDCG and ACG need.
        **kwargs: Settings of `torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> from mcmfh_lightning.metrics.functional import average_precision, pack_signs
        >>> codes = pack_signs(torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]))
        >>> labels = torch.tensor([[1], [2], [3]], dtype=torch.uint8)
        >>> metric = HammingHistogram(num_bits=2)
        >>> metric.set_queries(codes[:1], labels[:1], groups=torch.tensor([0]))
        >>> metric.update(codes, labels, groups=torch.tensor([0, 1, 2]))
        >>> counts = metric.compute()
        >>> counts.total, counts.relevant
        (tensor([[0, 1, 1]]), tensor([[0, 0, 1]]))
        >>> average_precision(counts.total, counts.relevant)
        tensor([0.5000], dtype=torch.float64)
    """

    higher_is_better: bool | None = None

    def __init__(self, num_bits: int, *, graded: bool = False, **kwargs: object) -> None:
        super().__init__(num_bits, **kwargs)
        self.graded = graded

    def compute(self) -> RankingCounts:
        """Sum the counts over all processes.

        Returns:
            Counts on the CPU, queries sorted by index.
        """
        return self.counts()


class HammingNDCG(HammingMetric, RankingScore):
    """Tie-aware NDCG@k of binary codes; the gain of an item is the number of labels it shares with the query.

    Args:
        num_bits: K.
        k: Depth; None ranks the whole database.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If num_bits or k is less than 1.

    Example:
        >>> import torch
        >>> codes = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
        >>> labels = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 0]])
        >>> metric = HammingNDCG(num_bits=2)
        >>> metric.set_queries(codes[:1], labels[:1], groups=torch.tensor([0]))
        >>> metric.update(codes, labels, groups=torch.tensor([0, 1, 2]))  # gains 1 and 2, the best order has 2 and 1
        >>> metric.compute()
        tensor(0.8597, dtype=torch.float64)
    """

    graded: bool = True

    def __init__(self, num_bits: int, k: int | None = None, **kwargs: object) -> None:
        super().__init__(num_bits, **kwargs)
        self.k = None if k is None else checked_depth(k)

    def score(self, counts: RankingCounts) -> Tensor:
        """Average NDCG@k over the queries that have relevant items."""
        gains, shared = counts.grades()
        return mean_over_queries(ndcg(counts.total, gains, shared, self.k))


class HammingACG(DepthScore, HammingMetric):
    """Expected average cumulative gain ACG@k of binary codes: labels shared with the query, averaged over k items.

    Args:
        num_bits: K.
        k: Depth.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If num_bits or k is less than 1.

    Example:
        >>> import torch
        >>> codes = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
        >>> labels = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 0]])
        >>> metric = HammingACG(num_bits=2, k=2)
        >>> metric.set_queries(codes[:1], labels[:1], groups=torch.tensor([0]))
        >>> metric.update(codes, labels, groups=torch.tensor([0, 1, 2]))
        >>> metric.compute()
        tensor(1.5000, dtype=torch.float64)
    """

    graded: bool = True
    plot_upper_bound: float | None = None

    def score(self, counts: RankingCounts) -> Tensor:
        """Average ACG@k over the queries that have relevant items."""
        gains, _ = counts.grades()
        return mean_over_queries(average_cumulative_gain(counts.total, gains, self.k))
