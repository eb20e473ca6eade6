"""Metrics that reward an item for each label it shares with the query."""

from torch import Tensor

from mcmfh_lightning.metrics.functional import average_cumulative_gain, mean_over_queries, ndcg
from mcmfh_lightning.metrics.hamming.base import HammingMetric, check_depth
from mcmfh_lightning.metrics.ranking import RankingCounts, RankingScore


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
        check_depth(k)
        self.k = k

    def score(self, counts: RankingCounts) -> Tensor:
        """Average NDCG@k over the queries that have relevant items."""
        gains, shared = counts.grades()
        return mean_over_queries(ndcg(counts.total, gains, shared, self.k))


class HammingACG(HammingMetric, RankingScore):
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

    def __init__(self, num_bits: int, k: int, **kwargs: object) -> None:
        super().__init__(num_bits, **kwargs)
        check_depth(k)
        self.k = k

    def score(self, counts: RankingCounts) -> Tensor:
        """Average ACG@k over the queries that have relevant items."""
        gains, _ = counts.grades()
        return mean_over_queries(average_cumulative_gain(counts.total, gains, self.k))
