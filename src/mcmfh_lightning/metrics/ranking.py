"""Base classes of ranking metrics, whose state is integer counts per query and level."""

from abc import ABC, abstractmethod
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.plot import _AX_TYPE, _PLOT_OUT_TYPE

from mcmfh_lightning.metrics.functional.histogram import count_ones


class RankingCounts(NamedTuple):
    """The sufficient statistic of a ranking up to ties; on the CPU, queries sorted by their index."""

    total: Tensor
    """(Q, L) int64: database items per level, best level first, own group excluded."""
    relevant: Tensor
    """(Q, L) int64: relevant ones of them."""
    database_size: Tensor
    """() int64: items seen, own groups included."""
    gains: Tensor | None = None
    """(Q, L) int64: labels shared with the query, summed over the items; None if not counted."""
    shared: Tensor | None = None
    """(Q, G + 1) int64: items by the number of labels shared, over all levels; None if not counted."""

    def grades(self) -> tuple[Tensor, Tensor]:
        """Gains and shared, which only graded metrics count.

        Raises:
            ValueError: If they were not counted.
        """
        if self.gains is None or self.shared is None:
            raise ValueError("these counts know relevant from not relevant only: count them with graded=True")
        return self.gains, self.shared


class RankingMetric(Metric, ABC):
    """Base of metrics that stream a database past a fixed set of queries.

    Announce the queries with ``set_queries``, the same on every process; then ``update`` with the database, batch by
    batch, each process with its own share, in any order. Nothing of the size of the database is kept, and the only
    communication is one sum of integers at ``compute``, so that uneven and empty shares cannot hang it or move a digit.

    Args:
        num_levels: L, the number of distinct steps of the ranking.
        **kwargs: Settings of `torchmetrics.Metric`.

    Raises:
        ValueError: If num_levels is less than 2.
    """

    full_state_update: bool | None = False
    is_differentiable: bool | None = False
    higher_is_better: bool | None = True

    graded: bool = False
    """Whether to count how many labels are shared, not only whether any is."""
    total: Tensor
    relevant: Tensor
    database_size: Tensor
    gains: Tensor
    shared: Tensor
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
        self._add_states(num_queries=0, max_shared=0)

    def forward(self, *_: object, **__: object) -> NoReturn:
        """Refuse: a ranking has no value for one batch of the database.

        Raises:
            RuntimeError: If it is called.
        """
        raise RuntimeError(
            f"{type(self).__name__} has no value per batch: call set_queries(), update() for each database batch, "
            "then compute()"
        )

    def reset(self) -> None:
        """Forget the database, keep the queries."""
        super().reset()
        self._expect_nothing_more()

    def counts(self) -> RankingCounts:
        """Return the counts of this process (of all of them inside ``compute``) on the CPU, queries sorted by index.

        Returns:
            Counts in the canonical order, so that whatever follows is independent of order, chunks and processes.

        Raises:
            RuntimeError: If queries were not announced.
        """
        self._require_queries()
        order = self.query_order
        binary = RankingCounts(self.total[order].cpu(), self.relevant[order].cpu(), self.database_size.cpu())
        if not self.graded:
            return binary
        return binary._replace(gains=self.gains[order].cpu(), shared=self.shared[order].cpu())

    def _announce(self, labels: Tensor, groups: Tensor, index: Tensor | None) -> None:
        """Keep the queries and reset the counts, on their device; ``set_queries`` of a subclass calls this."""
        index = torch.arange(len(labels), device=labels.device) if index is None else index
        check_rows(labels=labels, groups=groups, index=index)
        order = index.argsort()
        if bool((index[order].diff() == 0).any()):
            raise ValueError("index holds a query twice; announce every query once")
        self.to(labels.device)
        self.query_labels, self.query_groups, self.query_order = labels, groups, order
        self._queries_set = True
        most = count_ones(labels).sum(1, dtype=torch.int64) if self.graded and len(labels) else labels.new_zeros(1)
        self._add_states(len(labels), max_shared=int(most.max()))
        self._computed = None
        self._expect_nothing_more()

    def _expect_nothing_more(self) -> None:
        """With the queries known a share without items is a valid one: compute must not warn that it saw no update."""
        self._update_count = int(self._queries_set)

    def _count(
        self,
        total: Tensor,
        relevant: Tensor,
        gains: Tensor | None = None,
        shared: Tensor | None = None,
        *,
        num_items: int,
    ) -> None:
        self.total += total
        self.relevant += relevant
        self.database_size += num_items
        if gains is not None and shared is not None:
            self.gains += gains
            self.shared += shared

    def _require_queries(self) -> None:
        if not self._queries_set:
            raise RuntimeError(f"{type(self).__name__}: call set_queries() before update() and compute()")

    def _add_states(self, num_queries: int, max_shared: int) -> None:
        widths = {"total": self.num_levels, "relevant": self.num_levels}
        if self.graded:
            widths |= {"gains": self.num_levels, "shared": max_shared + 1}
        device = self.query_labels.device
        for name, width in widths.items():
            zeros = torch.zeros(num_queries, width, dtype=torch.int64, device=device)
            self.add_state(name, zeros, dist_reduce_fx="sum")
        self.add_state("database_size", torch.zeros((), dtype=torch.int64, device=device), dist_reduce_fx="sum")


class RankingScore(RankingMetric):
    """Base of ranking metrics that give one number, a function of the counts."""

    plot_lower_bound: float | None = 0.0
    plot_upper_bound: float | None = 1.0

    @abstractmethod
    def score(self, counts: RankingCounts) -> Tensor:
        """Compute the number that follows from counts.

        Args:
            counts: On the CPU, queries sorted by index.

        Returns:
            Scalar float64; NaN if it is defined for no query.
        """

    def compute(self) -> Tensor:
        """Score the counts summed over all processes.

        Returns:
            Scalar float64 on the CPU; NaN if it is defined for no query.
        """
        return self.score(self.counts())

    def plot(self, val: Tensor | list[Tensor] | None = None, ax: _AX_TYPE | None = None) -> _PLOT_OUT_TYPE:
        """Plot one value, or several in their order.

        Args:
            val: What ``compute`` gave, once or several times; None computes it now.
            ax: Axes to draw on; None makes a new figure.

        Returns:
            Figure and axes.

        Raises:
            ModuleNotFoundError: If matplotlib is not installed.
        """
        return self._plot(val, ax)


def check_rows(**tensors: Tensor) -> None:
    """Refuse arguments of different lengths.

    Raises:
        ValueError: If they do not have one row per item each.
    """
    lengths = {name: len(tensor) for name, tensor in tensors.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"one row per item expected in each argument, got lengths {lengths}")
