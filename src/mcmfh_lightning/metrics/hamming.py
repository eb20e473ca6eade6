"""Ranking metrics of binary codes by Hamming distance, tie-aware and exact under any sharding of the database."""

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.average_precision import average_precision
from mcmfh_lightning.metrics.functional.averages import mean_over_queries
from mcmfh_lightning.metrics.functional.curves import precision_at
from mcmfh_lightning.metrics.functional.histogram import hamming_histogram
from mcmfh_lightning.metrics.functional.packing import packed_width
from mcmfh_lightning.metrics.functional.radius import precision_within_radius
from mcmfh_lightning.metrics.ranking import RankingCounts, RankingMetric


class HammingMetric(RankingMetric):
    """Base of metrics over packed codes of ``num_bits`` bits, a ranking of ``num_bits + 1`` levels.

    Args:
        num_bits: K.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: num_bits is less than 1.
    """

    query_codes: Tensor

    def __init__(self, num_bits: int, **kwargs: object) -> None:
        super().__init__(num_levels=num_bits + 1, **kwargs)
        self.num_bits = num_bits
        self.register_buffer("query_codes", torch.zeros(0, packed_width(num_bits), dtype=torch.uint8), persistent=False)

    def set_queries(self, codes: Tensor, labels: Tensor, groups: Tensor, index: Tensor | None = None) -> None:
        """Announce the queries, the same on every process, and start counting anew.

        Args:
            codes: (Q, ceil(K / 8)) uint8, packed as `pack_signs` does.
            labels: (Q, W) uint8, packed label sets.
            groups: (Q,) int64; database items of the same group will not count.
            index: (Q,) int64, distinct: the order in which queries enter the final arithmetic; None is the given order.

        Raises:
            ValueError: Shapes do not agree, codes are not packed, or an index occurs twice.
        """
        self._check_codes(codes, labels)
        self._announce(labels, groups, index)
        self.query_codes = codes

    def update(self, codes: Tensor, labels: Tensor, groups: Tensor) -> None:
        """Count a batch of the database and forget it.

        Args:
            codes: (n, ceil(K / 8)) uint8, packed as `pack_signs` does.
            labels: (n, W) uint8, packed label sets.
            groups: (n,) int64.

        Raises:
            RuntimeError: Queries were not announced.
            ValueError: Shapes do not agree, or codes are not packed.
        """
        self._require_queries()
        self._check_codes(codes, labels)
        counts = hamming_histogram(
            self.query_codes, codes, self.query_labels, labels, self.query_groups, groups, self.num_bits
        )
        self._count(*counts, num_items=len(codes))

    def _check_codes(self, codes: Tensor, labels: Tensor) -> None:
        expected = (len(labels), packed_width(self.num_bits))
        if codes.dtype != torch.uint8 or codes.shape != expected:
            raise ValueError(
                f"codes of {self.num_bits} bits must be packed: uint8 {expected}, got {codes.dtype} "
                f"{tuple(codes.shape)}; pack_signs() makes them"
            )


class HammingHistogram(HammingMetric):
    """The ranking histogram itself, from which every functional of this package follows.

    Args:
        num_bits: K.
        **kwargs: Settings of `torchmetrics.Metric`.

    Example:
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

    def compute(self) -> RankingCounts:
        """Counts summed over all processes.

        Returns:
            Counts on the CPU, queries sorted by index.
        """
        return self.counts()


class HammingMeanAveragePrecision(HammingMetric):
    """Tie-aware mAP@k of binary codes: AP@k divides by min(k, R); queries without relevant items are left out.

    Args:
        num_bits: K.
        k: Depth; None ranks the whole database (mAP@all).
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: num_bits or k is less than 1.

    Example:
        >>> from mcmfh_lightning.metrics.functional import pack_signs
        >>> codes = pack_signs(torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]))
        >>> labels = torch.tensor([[1], [2], [3]], dtype=torch.uint8)
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
        _check_depth(k)
        self.k = k

    def compute(self) -> Tensor:
        """Mean over the queries that have relevant items.

        Returns:
            Scalar float64 on the CPU; NaN if no query has one.
        """
        counts = self.counts()
        return mean_over_queries(average_precision(counts.total, counts.relevant, self.k))


class HammingPrecision(HammingMetric):
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
        _check_depth(k)
        self.k = k

    def compute(self) -> Tensor:
        """Mean over the queries that have relevant items.

        Returns:
            Scalar float64 on the CPU; NaN if no query has one.
        """
        counts = self.counts()
        return mean_over_queries(precision_at(counts.total, counts.relevant, torch.tensor([self.k]))[:, 0])


class HammingRadiusPrecision(HammingMetric):
    """P@H<=r of binary codes: precision of a hash-table look-up of radius r; one that finds nothing scores 0.

    Args:
        num_bits: K.
        radius: r.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: num_bits is less than 1 or the radius negative.

    Example:
        >>> codes = torch.tensor([[0b0], [0b1], [0b1111]], dtype=torch.uint8)
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

    def compute(self) -> Tensor:
        """Mean over the queries that have relevant items.

        Returns:
            Scalar float64 on the CPU; NaN if no query has one.
        """
        counts = self.counts()
        return mean_over_queries(precision_within_radius(counts.total, counts.relevant, self.radius))


def _check_depth(k: int | None) -> None:
    if k is not None and k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
