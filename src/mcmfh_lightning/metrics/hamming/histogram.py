"""The counts themselves."""

from mcmfh_lightning.metrics.hamming.base import HammingMetric
from mcmfh_lightning.metrics.ranking import RankingCounts


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
        """Counts summed over all processes.

        Returns:
            Counts on the CPU, queries sorted by index.
        """
        return self.counts()
