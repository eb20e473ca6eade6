"""Base classes of metrics of a ranking by Hamming distance and label sets."""

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.packing import (
    as_packed_codes,
    as_packed_labels,
    check_same_device,
    packed_width,
)
from mcmfh_lightning.metrics.kernels.dispatch import graded_histogram, hamming_histogram
from mcmfh_lightning.metrics.ranking import RankingMetric, RankingScore, check_rows


class HammingMetric(RankingMetric):
    """Base of metrics over codes of ``num_bits`` bits, a ranking of ``num_bits + 1`` levels.

    Args:
        num_bits: K.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If num_bits is less than 1.
    """

    num_bits: int
    query_codes: Tensor

    def __init__(self, num_bits: int, **kwargs: object) -> None:
        super().__init__(num_levels=num_bits + 1, **kwargs)
        self.num_bits = num_bits
        self.register_buffer("query_codes", torch.zeros(0, packed_width(num_bits), dtype=torch.uint8), persistent=False)

    def set_queries(self, codes: Tensor, labels: Tensor, groups: Tensor, index: Tensor | None = None) -> None:
        """Announce the queries, the same on every process, and reset the counts.

        Args:
            codes: (Q, ceil(K / 8)) uint8, packed as `pack_signs` does; or (Q, K) bits (bool or integer) or signs
                (floating point).
            labels: (Q, W) uint8, packed label sets; or (Q, num_labels) multi-hot of another dtype.
            groups: (Q,) int64; database items of the same group will not count.
            index: (Q,) int64, distinct: the order in which queries enter the final arithmetic; None is the given order.

        Raises:
            ValueError: If shapes do not agree, codes or labels have none of these forms, or an index occurs twice.
        """
        packed = as_packed_codes(codes, self.num_bits)
        check_rows(codes=codes, labels=labels)
        self._announce(as_packed_labels(labels), groups, index)
        self.query_codes = packed

    def update(self, codes: Tensor, labels: Tensor, groups: Tensor) -> None:
        """Count a batch of the database and forget it.

        Args:
            codes: (n, ceil(K / 8)) uint8, packed as `pack_signs` does; or bits or signs as in ``set_queries``.
            labels: (n, W) uint8, packed label sets; or multi-hot as in ``set_queries``.
            groups: (n,) int64.

        Raises:
            RuntimeError: If queries were not announced.
            ValueError: If shapes do not agree with each other or the queries, or codes or labels have none of these
                forms.
        """
        self._require_queries()
        check_rows(codes=codes, labels=labels, groups=groups)
        packed, label_sets = as_packed_codes(codes, self.num_bits), as_packed_labels(labels)
        check_same_device(self.query_codes, packed)
        if label_sets.shape[1] != self.query_labels.shape[1]:
            raise ValueError(
                f"label sets of queries and database must have one form: {self.query_labels.shape[1]} bytes when "
                f"packed there, {label_sets.shape[1]} here"
            )
        count = graded_histogram if self.graded else hamming_histogram
        rows = self.query_codes, packed, self.query_labels, label_sets, self.query_groups, groups
        self._count(*count(*rows, self.num_bits), num_items=len(packed))


class DepthScore(RankingScore):
    """Base of scores of the first k items.

    Args:
        num_bits: K.
        k: Depth.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If k is less than 1.
    """

    def __init__(self, num_bits: int, k: int, **kwargs: object) -> None:
        super().__init__(num_bits, **kwargs)
        self.k = checked_depth(k)


def checked_depth(k: int) -> int:
    """Return a depth if a ranking can have it.

    Raises:
        ValueError: If k is less than 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return k
