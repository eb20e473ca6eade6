"""The torchmetrics state every ranking metric shares: two integer counts per query and level."""

from abc import ABC
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor
from torchmetrics import Metric

from mcmfh_lightning.metrics.functional.histogram import level_histogram


class RankingCounts(NamedTuple):
    """The sufficient statistic of a ranking up to ties; on the CPU, queries sorted by their index."""

    total: Tensor
    """(Q, L) int64: database items per level, best level first, own group excluded."""
    relevant: Tensor
    """(Q, L) int64: relevant ones of them."""
    database_size: Tensor
    """() int64: items seen, own groups included."""


class RankingMetric(Metric, ABC):
    """Base of metrics that stream a database past a fixed set of queries.

    Announce the queries with ``set_queries``, the same on every process; then ``update`` with the database, batch by
    batch, each process with its own share, in any order. Nothing of the size of the database is kept, and the only
    communication is one sum of integers at ``compute``, so that uneven and empty shares cannot hang it or move a digit.

    Args:
        num_levels: L, the number of distinct steps of the ranking.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: num_levels is less than 2.
    """

    full_state_update: bool | None = False
    is_differentiable: bool | None = False
    higher_is_better: bool | None = True

    total: Tensor
    relevant: Tensor
    database_size: Tensor
    query_labels: Tensor
    query_groups: Tensor
    query_order: Tensor

    def __init__(self, num_levels: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if num_levels < 2:
            raise ValueError(f"a ranking has at least 2 levels, got {num_levels}")
        self.num_levels = num_levels
        for name in ("query_labels", "query_groups", "query_order"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64), persistent=False)
        self._queries_set = False
        self._add_states(num_queries=0)

    def forward(self, *_: object, **__: object) -> NoReturn:
        """Refuse: a ranking has no value for one batch of the database.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            f"{type(self).__name__} has no value per batch: call set_queries(), update() for each database batch, "
            "then compute()"
        )

    def counts(self) -> RankingCounts:
        """Counts of this process (of all of them inside ``compute``) on the CPU, queries sorted by index.

        Returns:
            Counts in the canonical order, so that whatever follows is independent of order, chunks and processes.

        Raises:
            RuntimeError: Queries were not announced.
        """
        self._require_queries()
        order = self.query_order
        return RankingCounts(self.total[order].cpu(), self.relevant[order].cpu(), self.database_size.cpu())

    def _announce(self, labels: Tensor, groups: Tensor, index: Tensor | None) -> None:
        """Keep the queries and start counting anew, on their device; ``set_queries`` of a subclass calls this."""
        index = torch.arange(len(labels), device=labels.device) if index is None else index
        _check_rows(labels=labels, groups=groups, index=index)
        order = index.argsort()
        if bool((index[order].diff() == 0).any()):
            raise ValueError("index holds a query twice; announce every query once")
        self.to(labels.device)
        self.query_labels, self.query_groups, self.query_order = labels, groups, order
        self._queries_set = True
        self._add_states(len(labels))
        self._computed = None
        self._update_count = 1  # a share without items is a valid one: compute needs no update

    def _count(self, total: Tensor, relevant: Tensor, num_items: int) -> None:
        self.total += total
        self.relevant += relevant
        self.database_size += num_items

    def _require_queries(self) -> None:
        if not self._queries_set:
            raise RuntimeError(f"{type(self).__name__}: call set_queries() before update() and compute()")

    def _add_states(self, num_queries: int) -> None:
        zeros = torch.zeros(num_queries, self.num_levels, dtype=torch.int64, device=self.query_labels.device)
        self.add_state("total", zeros, dist_reduce_fx="sum")
        self.add_state("relevant", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("database_size", zeros.new_zeros(()), dist_reduce_fx="sum")


class LevelHistogram(RankingMetric):
    """Counts of a ranking that gives every query the same levels, such as a constant score.

    Args:
        num_levels: L.
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

    def set_queries(self, labels: Tensor, groups: Tensor, index: Tensor | None = None) -> None:
        """Announce the queries, the same on every process, and start counting anew.

        Args:
            labels: (Q, W) uint8, packed label sets.
            groups: (Q,) int64; database items of the same group will not count.
            index: (Q,) int64, distinct: the order in which queries enter the final arithmetic; None is the given order.

        Raises:
            ValueError: Shapes do not agree, or an index occurs twice.
        """
        self._announce(labels, groups, index)

    def update(self, levels: Tensor, labels: Tensor, groups: Tensor) -> None:
        """Count a batch of the database and forget it.

        Args:
            levels: (n,) integers in [0, L), the best level is 0.
            labels: (n, W) uint8, packed label sets.
            groups: (n,) int64.

        Raises:
            RuntimeError: Queries were not announced.
            ValueError: Shapes do not agree.
        """
        self._require_queries()
        _check_rows(levels=levels, labels=labels, groups=groups)
        counts = level_histogram(levels, self.query_labels, labels, self.query_groups, groups, self.num_levels)
        self._count(*counts, num_items=len(levels))

    def compute(self) -> RankingCounts:
        """Counts summed over all processes.

        Returns:
            Counts on the CPU, queries sorted by index.
        """
        return self.counts()


def _check_rows(**tensors: Tensor) -> None:
    lengths = {name: len(tensor) for name, tensor in tensors.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"one row per item expected in each argument, got lengths {lengths}")
