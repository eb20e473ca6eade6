"""From counts to the rows of a report: values, intervals, bounds, chance, the better constant ranking, labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

from torch import Tensor

from mcmfh_lightning.bench.statistics import Statistic, statistics
from mcmfh_lightning.bench.task import Task
from mcmfh_lightning.metrics import RankingCounts
from mcmfh_lightning.metrics.functional import (
    bootstrap_means,
    bootstrap_weights,
    legacy_first_hits_mean_average_precision,
    legacy_mean_average_precision,
    mean_by_label,
    mean_over_queries,
    percentile_interval,
    tie_all,
    unpack_bits,
)

DRAWS = 1000
"""Bootstrap resamples."""


@dataclass(frozen=True)
class Row:
    """One metric; a number that is not defined is NaN."""

    metric: str
    k: int | None
    denominator: str
    value: float
    low: float = nan
    high: float = nan
    pessimistic: float = nan
    optimistic: float = nan
    chance: float = nan
    constant: float = nan
    """Of the better of the constant rankings, which is `constant_ranking`."""
    constant_ranking: str = ""
    num_queries: int = 0
    """Queries in the mean."""


@dataclass(frozen=True)
class LabelRow:
    """One metric over the queries that carry a label; a number that is not defined is NaN."""

    label: str
    metric: str
    value: float
    chance: float
    num_queries: int
    """Queries that carry the label and have relevant items."""
    database_items: int


def summarise(
    counts: RankingCounts, constants: Mapping[str, RankingCounts], groups: Tensor, ks: Sequence[int], seed: int
) -> list[Row]:
    """Rows of every metric, over the queries that have relevant items.

    Args:
        counts: Of the codes.
        constants: Of constant rankings, by name.
        groups: (Q,) int64, what the bootstrap resamples.
        ks: Depths.
        seed: Seed of the bootstrap.
    """
    counted = counts.relevant.sum(1) > 0
    weights = bootstrap_weights(groups[counted], DRAWS, seed)
    kept = _rows(counts, counted)
    of_constants = {name: _rows(one, counted) for name, one in constants.items()}
    return [_row(statistic, kept, of_constants, weights) for statistic in statistics(ks)]


def label_rows(counts: RankingCounts, task: Task, names: Sequence[str], ks: Sequence[int]) -> list[LabelRow]:
    """Mean average precisions label by label, for labels that a query carries.

    Args:
        counts: Of the codes.
        task: Has the labels.
        names: Of the labels, by position.
        ks: Depths.
    """
    items = _carriers(task.database.labels, len(names))
    carried = _carriers(task.query.labels, len(names))
    rows = []
    for statistic in (one for one in statistics(ks) if one.bounds is not None):
        values, numbers = mean_by_label(statistic.per_query(counts), task.query.labels, len(names))
        chances, _ = mean_by_label(statistic.per_query(tied(counts)), task.query.labels, len(names))
        rows += [
            LabelRow(name, statistic.name, float(values[at]), float(chances[at]), int(numbers[at]), int(items[at]))
            for at, name in enumerate(names)
            if carried[at]
        ]
    return rows


def legacy_rows(task: Task, ks: Sequence[int]) -> list[Row]:
    """What published evaluators would say: ties by position, no item left out, a query without hits counts 0.

    Args:
        task: The files in their order.
        ks: Depths.
    """
    tensors = task.query.codes, task.database.codes, task.query.labels, task.database.labels
    number = len(task.query)
    rows = []
    for k in ks:
        value = legacy_mean_average_precision(*tensors, k=k)
        rows.append(Row(f"legacy mAP@{k}", k, "hits in the first k", float(value), num_queries=number))
    for name, hits in [*((f"@{k}", k) for k in ks), ("@all", len(task.database))]:
        value = legacy_first_hits_mean_average_precision(*tensors, k=hits)
        k_or_none = None if name == "@all" else hits
        rows.append(Row(f"legacy first-hits mAP{name}", k_or_none, "min(k, R)", float(value), num_queries=number))
    return rows


def tied(counts: RankingCounts) -> RankingCounts:
    """The same items, every one tied: chance."""
    gains, _ = counts.grades()
    return counts._replace(total=tie_all(counts.total), relevant=tie_all(counts.relevant), gains=tie_all(gains))


def _row(statistic: Statistic, counts: RankingCounts, constants: Mapping[str, RankingCounts], weights: Tensor) -> Row:
    values = statistic.per_query(counts)
    low, high = _interval(values, weights)
    name, constant = "", nan
    if not statistic.of_distances and len(values):
        means = {one: float(mean_over_queries(statistic.per_query(levels))) for one, levels in constants.items()}
        name = max(means, key=means.__getitem__)
        constant = means[name]
    worst, best = _bounds(statistic, counts)
    return Row(
        statistic.name,
        statistic.k,
        statistic.denominator,
        float(mean_over_queries(values)),
        low,
        high,
        worst,
        best,
        float(mean_over_queries(statistic.per_query(tied(counts)))),
        constant,
        name,
        len(values),
    )


def _bounds(statistic: Statistic, counts: RankingCounts) -> tuple[float, float]:
    if statistic.bounds is None:
        return nan, nan
    worst, best = statistic.bounds(counts.total, counts.relevant)
    return float(mean_over_queries(worst)), float(mean_over_queries(best))


def _interval(values: Tensor, weights: Tensor) -> tuple[float, float]:
    if len(values) == 0:
        return nan, nan
    low, high = percentile_interval(bootstrap_means(values[:, None], weights))
    return float(low), float(high)


def _rows(counts: RankingCounts, kept: Tensor) -> RankingCounts:
    """The counts of some queries."""
    gains, shared = counts.grades()
    return counts._replace(
        total=counts.total[kept], relevant=counts.relevant[kept], gains=gains[kept], shared=shared[kept]
    )


def _carriers(labels: Tensor, num_labels: int) -> Tensor:
    """Items that carry each label, (num_labels,) int64."""
    return unpack_bits(labels)[:, :num_labels].sum(0)
