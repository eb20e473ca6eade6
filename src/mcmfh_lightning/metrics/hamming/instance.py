"""Ranking for the one right item: the query's partner, or a copy of it.

A pair's own text is the right answer to its image, and so is every text that reads the same. These positives count
even where they are of the query's group; what else is of its group is left out, neither right nor wrong.
"""

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional import instance_recall, mean_over_queries, median_rank
from mcmfh_lightning.metrics.functional.histogram import count_ones
from mcmfh_lightning.metrics.functional.packing import as_packed_codes, check_same_device, packed_width
from mcmfh_lightning.metrics.hamming.base import DepthScore
from mcmfh_lightning.metrics.kernels.dispatch import hamming_histogram
from mcmfh_lightning.metrics.kernels.reference import own_group_pairs
from mcmfh_lightning.metrics.ranking import RankingCounts, RankingMetric, RankingScore, check_rows


class HammingInstanceMetric(RankingMetric):
    """Base of metrics whose positives are the query's own item and exact duplicates of its content.

    ``relevant`` of the counts are these positives.

    Args:
        num_bits: K.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If num_bits is less than 1.
    """

    num_bits: int
    query_codes: Tensor
    query_items: Tensor
    query_content: Tensor

    def __init__(self, num_bits: int, **kwargs: object) -> None:
        super().__init__(num_levels=num_bits + 1, **kwargs)
        self.num_bits = num_bits
        self.register_buffer("query_codes", torch.zeros(0, packed_width(num_bits), dtype=torch.uint8), persistent=False)
        for name in ("query_items", "query_content"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64), persistent=False)

    def set_queries(self, codes: Tensor, groups: Tensor, index: Tensor, content: Tensor | None = None) -> None:
        """Announce the queries, the same on every process, and reset the counts.

        Args:
            codes: (Q, ceil(K / 8)) uint8, packed; or (Q, K) bits (bool or integer) or signs (floating point).
            groups: (Q,) int64; database items of the same group count only where they are positives.
            index: (Q,) int64, distinct: the item of the database that is the query's partner, and the order in which
                queries enter the final arithmetic.
            content: (Q,) or (Q, C) int64 hashes, such as of the text, or of text and image; an item with an equal one
                in the same column is a duplicate. 0 is unknown and equals nothing. None knows no duplicates.

        Raises:
            ValueError: If shapes do not agree, codes have none of these forms, or an index occurs twice.
        """
        packed, hashes = as_packed_codes(codes, self.num_bits), _columns(content, index)
        check_rows(codes=packed, groups=groups, content=hashes)
        self._announce(packed.new_zeros(len(packed), 0), groups, index)
        self.query_codes, self.query_items, self.query_content = packed, index, hashes

    def update(self, codes: Tensor, groups: Tensor, index: Tensor, content: Tensor | None = None) -> None:
        """Count a batch of the database and forget it.

        Args:
            codes: (n, ceil(K / 8)) uint8, packed; or bits or signs as in ``set_queries``.
            groups: (n,) int64.
            index: (n,) int64, which item each one is.
            content: (n,) or (n, C) int64 hashes, in the columns of the queries'.

        Raises:
            RuntimeError: If queries were not announced.
            ValueError: If shapes do not agree with each other or the queries, or codes have none of these forms.
        """
        self._require_queries()
        packed, hashes = as_packed_codes(codes, self.num_bits), _columns(content, index)
        check_rows(codes=packed, groups=groups, index=index, content=hashes)
        check_same_device(self.query_codes, packed)
        if hashes.shape[1] != self.query_content.shape[1]:
            raise ValueError(
                f"content has {self.query_content.shape[1]} hashes for each query, {hashes.shape[1]} for each item"
            )
        no_labels, of_none = (packed.new_zeros(len(rows), 1) for rows in (self.query_codes, packed))
        total, positive = hamming_histogram(
            self.query_codes, packed, no_labels, of_none, self.query_groups, groups, self.num_bits
        )
        # The histogram left out the whole group: its positives come back in.
        for query, item in self._positives(index, hashes):
            distance = count_ones(self.query_codes[query] ^ packed[item]).sum(1, dtype=torch.int64)
            own = self.query_groups[query] == groups[item]
            total.index_put_((query, distance), own.long(), accumulate=True)
            positive.index_put_((query, distance), torch.ones_like(distance), accumulate=True)
        self._count(total, positive, num_items=len(packed))

    def _positives(self, index: Tensor, content: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Positions of queries and items, each pair once, however many keys it has in common."""
        ours = [self.query_items, *self.query_content.T.contiguous()]
        theirs = [index, *content.T.contiguous()]
        found = []
        for column, (query_keys, keys) in enumerate(zip(ours, theirs, strict=True)):
            for query, item in own_group_pairs(query_keys, keys):
                new = torch.ones_like(query, dtype=torch.bool) if column == 0 else query_keys[query] != 0
                for earlier in range(column):
                    same = ours[earlier][query] == theirs[earlier][item]
                    new &= ~(same if earlier == 0 else same & (ours[earlier][query] != 0))
                found.append((query[new], item[new]))
        return found


class HammingInstanceHistogram(HammingInstanceMetric):
    """The ranking histogram of partners and duplicates, which all instance metrics follow from.

    Args:
        num_bits: K.
        **kwargs: Settings of `torchmetrics.Metric`.

    Example:
        >>> codes = torch.tensor([[0, 0], [0, 1], [1, 1], [1, 1]])
        >>> groups, index, text = torch.tensor([7, 7, 8, 9]), torch.arange(4), torch.tensor([5, 6, 5, 0])
        >>> metric = HammingInstanceHistogram(num_bits=2)
        >>> metric.set_queries(codes[:1], groups[:1], index[:1], content=text[:1])
        >>> metric.update(codes, groups, index, content=text)  # item 1 is of the query's group, item 2 a duplicate
        >>> counts = metric.compute()
        >>> counts.total, counts.relevant
        (tensor([[1, 0, 2]]), tensor([[1, 0, 1]]))
    """

    higher_is_better: bool | None = None

    def compute(self) -> RankingCounts:
        """Sum the counts over all processes.

        Returns:
            Counts on the CPU, queries sorted by index; ``relevant`` are the positives.
        """
        return self.counts()


class HammingInstanceRecall(DepthScore, HammingInstanceMetric):
    """Instance recall R@k: the chance that the first k items hold the query's partner or a duplicate of it.

    Args:
        num_bits: K.
        k: Depth.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If num_bits or k is less than 1.

    Example:
        >>> codes, groups, index = torch.zeros(4, 2, dtype=torch.bool), torch.arange(4), torch.arange(4)
        >>> metric = HammingInstanceRecall(num_bits=2, k=1)
        >>> metric.set_queries(codes, groups, index)
        >>> metric.update(codes, groups, index)
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)
    """

    def score(self, counts: RankingCounts) -> Tensor:
        """Average R@k over the queries whose partner or a duplicate is in the database."""
        return mean_over_queries(instance_recall(counts.total, counts.relevant, self.k))


class HammingMedianRank(HammingInstanceMetric, RankingScore):
    """Median, over queries, of the expected rank of the first positive; 1 is best.

    Args:
        num_bits: K.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If num_bits is less than 1.

    Example:
        >>> codes, groups, index = torch.zeros(4, 2, dtype=torch.bool), torch.arange(4), torch.arange(4)
        >>> metric = HammingMedianRank(num_bits=2)
        >>> metric.set_queries(codes, groups, index)
        >>> metric.update(codes, groups, index)
        >>> metric.compute()
        tensor(2.5000, dtype=torch.float64)
    """

    higher_is_better: bool | None = False
    plot_lower_bound: float | None = None
    plot_upper_bound: float | None = None

    def score(self, counts: RankingCounts) -> Tensor:
        """Median over the queries whose partner or a duplicate is in the database."""
        return median_rank(counts.total, counts.relevant)


def _columns(content: Tensor | None, index: Tensor) -> Tensor:
    """Hashes as (N, C)."""
    if content is None:
        return index.new_zeros(len(index), 0)
    if content.ndim not in (1, 2) or content.is_floating_point():
        raise ValueError(
            f"content must be integer hashes, (n,) or (n, C); got {content.dtype} of shape {tuple(content.shape)}"
        )
    return content[:, None] if content.ndim == 1 else content
