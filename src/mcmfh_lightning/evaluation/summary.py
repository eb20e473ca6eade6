"""From counts to numbers: values, intervals and differences to the nulls, per protocol, database and query subset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import NamedTuple

import torch
from torch import Tensor

from mcmfh_lightning.evaluation.nulls import ABNORMAL_POPULARITY
from mcmfh_lightning.evaluation.protocols import Side, database_side
from mcmfh_lightning.evaluation.statistics import Statistic, instance_statistics, statistics
from mcmfh_lightning.evaluation.stream import (
    CHANCE,
    CONSTANT,
    HYPERPLANES,
    MODEL,
    SHUFFLED,
    SHUFFLED_WITHIN,
    Ranking,
    StreamResult,
)
from mcmfh_lightning.metrics import RankingCounts
from mcmfh_lightning.metrics.functional import (
    bootstrap_means,
    bootstrap_weights,
    mean_over_queries,
    median_rank,
    percentile_interval,
    tie_all,
)

DRAWS = 1000
"""Bootstrap resamples."""
REFERENCE = ABNORMAL_POPULARITY
"""Reported beside the nulls but never the best of them: see `ConstantRankings`."""


@dataclass(frozen=True)
class Row:
    """One statistic of one system; a number that is not defined is NaN."""

    protocol: str
    database: str
    queries: str
    direction: str
    system: str
    metric: str
    k: int | None
    denominator: str
    value: float
    low: float
    high: float
    pessimistic: float
    optimistic: float
    chance: float
    best_null: str
    difference: float
    difference_low: float
    difference_high: float
    num_queries: int
    num_without_relevant: int
    database_size: int


class _Sample(NamedTuple):
    """The queries of a subset that have relevant items, and their bootstrap weights."""

    rows: Tensor
    weights: Tensor | None
    num_queries: int

    def means(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean (V,) and its resamples (B, V) of per-query values (Q, V)."""
        chosen = values[self.rows]
        means = torch.stack([mean_over_queries(column) for column in chosen.unbind(1)])
        if self.weights is None or len(chosen) == 0:
            return means, None
        return means, bootstrap_means(chosen, self.weights)


def summarise(
    result: StreamResult, subsets: Mapping[str, Tensor], ks: Sequence[int], bootstrap_seed: int | None
) -> list[Row]:
    """Rows of every protocol, database, query subset, direction, system and statistic.

    Args:
        result: Counts of an epoch.
        subsets: Query subsets by name, (Q,) bool each.
        ks: Depths of mAP@k and P@k; NDCG@k and ACG@k too if grades were counted.
        bootstrap_seed: Seed of the intervals; None leaves them out.

    Returns:
        Rows; the model's come with chance and the difference to the best null.
    """
    view = _View(subsets, result.queries.groups, bootstrap_seed)
    columns = statistics(ks, graded=result.graded)
    rows: list[Row] = []
    scores = result.distance == "cosine"
    for database, rankings in result.rankings.items():
        rows += _database_rows(database, rankings, result.constants[database], columns, view, scores=scores)
    for database, rankings in result.instances.items():
        rows += _database_rows(database, rankings, {}, instance_statistics(), view, scores=scores)
        rows += _median_rank_rows(database, rankings, view)
    return rows


class _View(NamedTuple):
    """Over which queries to average, and how to resample them."""

    subsets: Mapping[str, Tensor]
    groups: Tensor
    seed: int | None

    def samples(self, subset: str, known: Mapping[Side, "_Known"]) -> dict[Side, _Sample]:
        """The queries of a subset that count on each side."""
        members = self.subsets[subset]
        return {side: _sample(members, of_side.has_relevant, self.groups, self.seed) for side, of_side in known.items()}


def _database_rows(
    database: str,
    rankings: Mapping[Ranking, RankingCounts],
    constants: Mapping[Side, Mapping[str, RankingCounts]],
    columns: Sequence[Statistic],
    view: _View,
    *,
    scores: bool,
) -> list[Row]:
    """Rows of one database; ``scores`` if the model's levels are no Hamming distances."""
    rows: list[Row] = []
    values = {
        key: _per_query_of_scores(counts, columns)
        if scores and key.system != HYPERPLANES
        else _per_query(counts, columns)
        for key, counts in rankings.items()
    }
    sides = _sides(rankings, constants, columns)
    for subset in view.subsets:
        samples = view.samples(subset, sides)
        for ranking, counts in rankings.items():
            if ranking.system != MODEL:
                continue
            side = database_side(ranking.protocol, ranking.direction)
            systems = _systems(ranking, values, sides[side], samples[side])
            # Steps of a score are a tolerance: the orders of what ties within one mean nothing.
            bounded = () if scores else columns
            rows += _rows(ranking, database, subset, systems, counts, columns, bounded, samples[side])
    return rows


def _median_rank_rows(database: str, rankings: Mapping[Ranking, RankingCounts], view: _View) -> list[Row]:
    """The rank at which half of the queries have met their partner: the fewer the better, hence without best null."""
    rows: list[Row] = []
    sides = _sides(rankings, {}, ())
    for subset in view.subsets:
        samples = view.samples(subset, sides)
        for ranking, counts in rankings.items():
            sample = samples[database_side(ranking.protocol, ranking.direction)]
            chosen = counts.total[sample.rows], counts.relevant[sample.rows]
            chance = float(median_rank(tie_all(chosen[0]), tie_all(chosen[1])))
            values = {ranking.system: float(median_rank(*chosen))}
            if ranking.system == MODEL:
                values[CHANCE] = chance
            rows += [
                Row(
                    protocol=ranking.protocol,
                    database=database,
                    queries=subset,
                    direction=ranking.direction,
                    system=system,
                    metric="instance median rank",
                    k=None,
                    denominator="",
                    value=value,
                    low=nan,
                    high=nan,
                    pessimistic=nan,
                    optimistic=nan,
                    chance=chance,
                    best_null="",
                    difference=nan,
                    difference_low=nan,
                    difference_high=nan,
                    num_queries=sample.num_queries,
                    num_without_relevant=sample.num_queries - len(sample.rows),
                    database_size=int(counts.database_size),
                )
                for system, value in values.items()
            ]
    return rows


class _Known(NamedTuple):
    """What the database of a side scores whatever the codes are."""

    has_relevant: Tensor
    """(Q,) bool."""
    chance: Tensor
    """(Q, V) float64."""
    constants: dict[str, Tensor]
    """(Q, V) float64 of each constant ranking."""


def _sides(
    rankings: Mapping[Ranking, RankingCounts],
    constants: Mapping[Side, Mapping[str, RankingCounts]],
    columns: Sequence[Statistic],
) -> dict[Side, _Known]:
    """What is known of each side that is ranked; all rankings of a side have the same items."""
    one_of_side = {database_side(ranking.protocol, ranking.direction): counts for ranking, counts in rankings.items()}
    return {
        side: _Known(
            counts.relevant.sum(1) > 0,
            _per_query(_tied(counts), columns),
            {name: _per_query_of_scores(levels, columns) for name, levels in constants.get(side, {}).items()},
        )
        for side, counts in one_of_side.items()
    }


def _per_query(counts: RankingCounts, columns: Sequence[Statistic]) -> Tensor:
    """(Q, V) float64, NaN for queries without relevant items."""
    if not columns:
        return torch.zeros(len(counts.total), 0, dtype=torch.float64)
    return torch.stack([column.per_query(counts) for column in columns], dim=1)


def _tied(counts: RankingCounts) -> RankingCounts:
    """The same items, every one tied."""
    gains = None if counts.gains is None else tie_all(counts.gains)
    return counts._replace(total=tie_all(counts.total), relevant=tie_all(counts.relevant), gains=gains)


def _per_query_of_scores(counts: RankingCounts, columns: Sequence[Statistic]) -> Tensor:
    values = _per_query(counts, columns)
    values[:, [column.needs_distances for column in columns]] = nan
    return values


def _sample(members: Tensor, has_relevant: Tensor, groups: Tensor, seed: int | None) -> _Sample:
    chosen = members & has_relevant
    weights = None if seed is None else bootstrap_weights(groups[chosen], DRAWS, seed)
    return _Sample(chosen.nonzero()[:, 0], weights, int(members.sum()))


def _systems(model: Ranking, values: Mapping[Ranking, Tensor], known: _Known, sample: _Sample) -> dict[str, Tensor]:
    """Per-query values of the model, of its nulls and of the reference."""
    systems = {MODEL: values[model]}
    for null in (SHUFFLED, SHUFFLED_WITHIN, HYPERPLANES):
        key = model._replace(system=null)
        if key in values:
            systems[null] = values[key]
    if nulls := [values for name, values in known.constants.items() if name != REFERENCE]:
        systems[CONSTANT] = _best_constant(nulls, sample)
    systems[CHANCE] = known.chance
    if REFERENCE in known.constants:
        systems[REFERENCE] = known.constants[REFERENCE]
    return systems


def _best_constant(constants: Sequence[Tensor], sample: _Sample) -> Tensor:
    """Of the constant rankings the better one, statistic by statistic."""
    means = torch.stack([sample.means(values)[0] for values in constants])  # (C, V)
    best = means.nan_to_num(nan=-1.0).argmax(0)
    return torch.stack([constants[int(which)][:, column] for column, which in enumerate(best)], dim=1)


def _rows(
    ranking: Ranking,
    database: str,
    subset: str,
    systems: Mapping[str, Tensor],
    model_counts: RankingCounts,
    columns: Sequence[Statistic],
    bounded: Sequence[Statistic],
    sample: _Sample,
) -> list[Row]:
    means = {system: sample.means(values) for system, values in systems.items()}
    bounds = [_bounds(model_counts, column, sample) if column in bounded else (nan, nan) for column in columns]
    rows = []
    for system, (values, resamples) in means.items():
        low, high = _interval(resamples, len(columns))
        for number, column in enumerate(columns):
            best_null, difference = "", (nan, nan, nan)
            pessimistic, optimistic = nan, nan
            if system == MODEL:
                best_null, difference = _difference(means, number)
                pessimistic, optimistic = bounds[number]
            rows.append(
                Row(
                    protocol=ranking.protocol,
                    database=database,
                    queries=subset,
                    direction=ranking.direction,
                    system=system,
                    metric=column.name,
                    k=column.k,
                    denominator=column.denominator,
                    value=float(values[number]),
                    low=low[number],
                    high=high[number],
                    pessimistic=pessimistic,
                    optimistic=optimistic,
                    chance=float(means[CHANCE][0][number]),
                    best_null=best_null,
                    difference=difference[0],
                    difference_low=difference[1],
                    difference_high=difference[2],
                    num_queries=sample.num_queries,
                    num_without_relevant=sample.num_queries - len(sample.rows),
                    database_size=int(model_counts.database_size),
                )
            )
    return rows


def _bounds(counts: RankingCounts, column: Statistic, sample: _Sample) -> tuple[float, float]:
    if column.bounds is None:
        return nan, nan
    worst, best = column.bounds(counts.total[sample.rows], counts.relevant[sample.rows])
    return float(mean_over_queries(worst)), float(mean_over_queries(best))


def _interval(resamples: Tensor | None, columns: int) -> tuple[list[float], list[float]]:
    if resamples is None:
        return [nan] * columns, [nan] * columns
    low, high = percentile_interval(resamples)
    return low.tolist(), high.tolist()


def _difference(
    means: Mapping[str, tuple[Tensor, Tensor | None]], number: int
) -> tuple[str, tuple[float, float, float]]:
    """The best null, and the model's lead over it with its interval."""
    nulls = {system: float(values[number]) for system, (values, _) in means.items() if system not in (MODEL, REFERENCE)}
    defined = {system: value for system, value in nulls.items() if not isnan(value)}
    if not defined:
        return "", (nan, nan, nan)
    best = max(defined, key=defined.__getitem__)
    (value, resamples), (null_value, null_resamples) = means[MODEL], means[best]
    difference = float(value[number] - null_value[number])
    if resamples is None or null_resamples is None:
        return best, (difference, nan, nan)
    low, high = percentile_interval((resamples - null_resamples)[:, number : number + 1])
    return best, (difference, float(low), float(high))
