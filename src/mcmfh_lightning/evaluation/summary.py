"""Values, intervals and differences to the nulls, from counts: for a test of this package and for files of codes.

One way from counts and `statistics` to the rows of a report.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mcmfh_lightning.evaluation.nulls import ABNORMAL_POPULARITY
from mcmfh_lightning.evaluation.protocols import (
    CHANCE,
    CONSTANT,
    HYPERPLANES,
    MODEL,
    SHUFFLED,
    SHUFFLED_WITHIN,
    Ranking,
    Side,
)
from mcmfh_lightning.evaluation.statistics import INSTANCE_STATISTICS, Statistic, tied
from mcmfh_lightning.evaluation.stream import StreamResult
from mcmfh_lightning.metrics import RankingCounts, functional

DRAWS = 1000
"""Bootstrap resamples."""
_NUMBERS_AT_ONCE = 1 << 15


@dataclass(frozen=True, kw_only=True)
class Row:
    """One statistic of one system; a number that is not defined is NaN.

    Attributes:
        constant: Value of the better of the constant rankings.
        constant_ranking: Name of that ranking.
        num_queries: Queries of the subset.
        num_without_relevant: Queries of them that have no relevant item, which no mean counts.
        database_size: Items seen, own groups included.
    """

    protocol: str = ""
    database: str = ""
    queries: str = ""
    direction: str = ""
    system: str = MODEL
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
    constant_ranking: str = ""
    best_null: str = ""
    difference: float = nan
    difference_low: float = nan
    difference_high: float = nan
    num_queries: int
    num_without_relevant: int = 0
    database_size: int = 0


class _Means(NamedTuple):
    """Means of a system: (V,), their resamples (B, V) and the ends of their intervals."""

    value: Tensor
    resamples: Tensor | None
    low: list[float]
    high: list[float]


class _Sample(NamedTuple):
    """The queries of a subset that have relevant items, and their bootstrap weights."""

    rows: Tensor
    weights: Tensor | None
    num_queries: int

    def mean(self, values: Tensor) -> Tensor:
        """Compute the mean (V,) of per-query values (Q, V)."""
        return functional.mean_over_queries(values[self.rows])

    def means(self, values: Tensor) -> _Means:
        """Compute the mean of per-query values (Q, V) with its interval."""
        if self.weights is None or len(self.rows) == 0:
            return _Means(self.mean(values), None, *([nan] * values.shape[1] for _ in range(2)))
        resamples = functional.bootstrap_means(values[self.rows], self.weights)
        low, high = functional.percentile_interval(resamples)
        return _Means(self.mean(values), resamples, low.tolist(), high.tolist())


def summarize(
    result: StreamResult, subsets: Mapping[str, Tensor], columns: Sequence[Statistic], seed: int | None
) -> list[Row]:
    """Make the rows of every protocol, database, query subset, direction, system and statistic.

    Args:
        result: Counts.
        subsets: Query subsets by name, (Q,) bool each.
        columns: Statistics of the labels; those of partners follow where these were counted.
        seed: Seed of the intervals; None leaves them out.

    Returns:
        Rows; the model's come with chance and the difference to the best null.
    """
    rows: list[Row] = []
    groups, scores = result.queries.groups, result.distance == "cosine"
    for database, rankings in result.rankings.items():
        samples = _samples(rankings, subsets, groups, seed)
        rows += _rows(database, rankings, result.constants[database], columns, samples, scores=scores)
    for database, rankings in result.instances.items():
        samples = _samples(rankings, subsets, groups, seed)
        rows += _rows(database, rankings, {}, INSTANCE_STATISTICS, samples, scores=False)
        rows += _median_rank_rows(database, rankings, _samples(rankings, subsets, groups, None))
    return rows


def _samples(
    rankings: Mapping[Ranking, RankingCounts], subsets: Mapping[str, Tensor], groups: Tensor, seed: int | None
) -> Iterator[tuple[str, dict[Side, _Sample]]]:
    """Find the queries that count, by subset and side; all rankings of a side have the same items.

    One subset at a time: the weights of a side are 1,000 numbers for each query.
    """
    has_relevant = {ranking.direction.side: counts.relevant.sum(1) > 0 for ranking, counts in rankings.items()}
    for subset, members in subsets.items():
        samples: dict[Side, _Sample] = {}
        for side, relevant in has_relevant.items():
            chosen = members & relevant
            rows = chosen.nonzero()[:, 0]
            of_equal = [sample for sample in samples.values() if torch.equal(sample.rows, rows)]
            if of_equal:  # the usual case: each item of the database has both sides
                samples[side] = of_equal[0]
                continue
            weights = None if seed is None else functional.bootstrap_weights(groups[chosen], DRAWS, seed)
            samples[side] = _Sample(rows, weights, int(members.sum()))
        yield subset, samples


def _rows(
    database: str,
    rankings: Mapping[Ranking, RankingCounts],
    constants: Mapping[Side, Mapping[str, RankingCounts]],
    columns: Sequence[Statistic],
    samples: Iterable[tuple[str, Mapping[Side, _Sample]]],
    *,
    scores: bool,
) -> list[Row]:
    """Make the rows of one database; ``scores`` if the model's levels are steps of a score, not distances."""
    values = {
        ranking: _per_query(counts, columns, scores=scores and ranking.system != HYPERPLANES)
        for ranking, counts in rankings.items()
    }
    # The steps of a score are a tolerance: the orders within one mean nothing.
    bounds = {
        ranking: {} if scores else _bounds(counts, columns)
        for ranking, counts in rankings.items()
        if ranking.system == MODEL
    }
    one_of_side = {ranking.direction.side: counts for ranking, counts in rankings.items()}
    chance = {side: _per_query(tied(counts), columns) for side, counts in one_of_side.items()}
    distinct = {id(counts): counts for of_side in constants.values() for counts in of_side.values()}
    of_constants = {key: _per_query(counts, columns, scores=True) for key, counts in distinct.items()}
    constant_values = {
        side: {name: of_constants[id(counts)] for name, counts in constants.get(side, {}).items()}
        for side in one_of_side
    }
    rows: list[Row] = []
    for subset, of_side in samples:
        without_query = {
            side: _constant_means(constant_values[side], chance[side], sample) for side, sample in of_side.items()
        }
        for ranking, counts in rankings.items():
            if ranking.system != MODEL:
                continue
            side = ranking.direction.side
            sample = of_side[side]
            systems = {MODEL: values[ranking]}
            for null in (SHUFFLED, SHUFFLED_WITHIN, HYPERPLANES):
                if (key := ranking._replace(system=null)) in values:
                    systems[null] = values[key]
            constant_means, names = without_query[side]
            means = {system: sample.means(of_system) for system, of_system in systems.items()} | constant_means
            of_model = _compared(means, names)
            for at, ends in bounds[ranking].items():
                of_model[at] |= zip(("pessimistic", "optimistic"), sample.mean(ends).tolist(), strict=True)
            place = _place(ranking, database, subset, sample, counts)
            for system, of_system in means.items():
                rows += [
                    Row(
                        system=system,
                        metric=column.name,
                        k=column.k,
                        denominator=column.denominator,
                        value=float(of_system.value[at]),
                        low=of_system.low[at],
                        high=of_system.high[at],
                        chance=float(means[CHANCE].value[at]),
                        **place,
                        **(of_model[at] if system == MODEL else {}),
                    )
                    for at, column in enumerate(columns)
                ]
    return rows


def _median_rank_rows(
    database: str, rankings: Mapping[Ranking, RankingCounts], samples: Iterable[tuple[str, Mapping[Side, _Sample]]]
) -> list[Row]:
    """Make rows of the rank at which half of the queries have met their partner.

    The fewer the better, hence without best null.
    """
    rows: list[Row] = []
    for subset, of_side in samples:
        for ranking, counts in rankings.items():
            sample = of_side[ranking.direction.side]
            total, relevant = counts.total[sample.rows], counts.relevant[sample.rows]
            chance = float(functional.median_rank(functional.tie_all(total), functional.tie_all(relevant)))
            values = {ranking.system: float(functional.median_rank(total, relevant))}
            if ranking.system == MODEL:
                values[CHANCE] = chance
            place = _place(ranking, database, subset, sample, counts)
            place |= {"metric": "instance median rank", "k": None, "denominator": "", "chance": chance}
            rows += [Row(system=system, value=value, **place) for system, value in values.items()]
    return rows


def _place(ranking: Ranking, database: str, subset: str, sample: _Sample, counts: RankingCounts) -> dict[str, Any]:
    """Collect what all rows of a ranking and a query subset have in common."""
    return {
        "protocol": ranking.protocol,
        "database": database,
        "queries": subset,
        "direction": ranking.direction.name,
        "num_queries": sample.num_queries,
        "num_without_relevant": sample.num_queries - len(sample.rows),
        "database_size": int(counts.database_size),
    }


def _per_query(counts: RankingCounts, columns: Sequence[Statistic], *, scores: bool = False) -> Tensor:
    """Compute (Q, V) float64, NaN for queries without relevant items and for what a score does not have."""
    values = torch.cat(
        [torch.stack([column.per_query(part) for column in columns], dim=1) for part in _few_at_a_time(counts)]
    )
    if scores:
        values[:, [column.needs_distances for column in columns]] = nan
    return values


def _bounds(counts: RankingCounts, columns: Sequence[Statistic]) -> dict[int, Tensor]:
    """Compute the worst and the best value over the orders of tied items, (Q, 2) each, by position of the statistic."""
    return {
        at: torch.cat([torch.stack(column.bounds(*part[:2]), dim=1) for part in _few_at_a_time(counts)])
        for at, column in enumerate(columns)
        if column.bounds is not None
    }


def _few_at_a_time(counts: RankingCounts) -> Iterator[RankingCounts]:
    """Cut counts into those of a few queries each: of 1,024 levels, temporaries of all queries would fill no cache."""
    step = max(1, _NUMBERS_AT_ONCE // counts.total.shape[1])
    for start in range(0, max(1, len(counts.total)), step):
        part = slice(start, start + step)
        gains, shared = (None if field is None else field[part] for field in (counts.gains, counts.shared))
        yield counts._replace(total=counts.total[part], relevant=counts.relevant[part], gains=gains, shared=shared)


def _constant_means(
    constants: Mapping[str, Tensor], chance: Tensor, sample: _Sample
) -> tuple[dict[str, _Means], list[str]]:
    """Compute the means of the systems that ignore the query: the same for every direction of a side.

    Returns:
        The best of the constant rankings, statistic by statistic, then chance and the reference; and the name of the
        best constant ranking of each statistic, empty without any.
    """
    # Reported next to the nulls, but never the best of them: see `ConstantRankings`.
    nulls = {name: values for name, values in constants.items() if name != ABNORMAL_POPULARITY}
    systems: dict[str, Tensor] = {}
    best: list[str] = []
    if nulls:
        means = torch.stack([sample.mean(values) for values in nulls.values()])  # (C, V)
        best = [list(nulls)[which] for which in means.nan_to_num(nan=-1.0).argmax(0).tolist()]
        systems[CONSTANT] = torch.stack([nulls[name][:, at] for at, name in enumerate(best)], dim=1)
    systems[CHANCE] = chance
    if ABNORMAL_POPULARITY in constants:
        systems[ABNORMAL_POPULARITY] = constants[ABNORMAL_POPULARITY]
    return {system: sample.means(values) for system, values in systems.items()}, best


def _compared(means: Mapping[str, _Means], names: Sequence[str]) -> list[dict[str, Any]]:
    """Compare the model with the best null of each statistic: its lead with an interval, and the best constant ranking.

    Returns:
        A part of a row for each statistic, empty where no null is defined.
    """
    nulls = {
        system: of_system.value.tolist()
        for system, of_system in means.items()
        if system not in (MODEL, ABNORMAL_POPULARITY)
    }
    model = means[MODEL]
    found: list[dict[str, Any]] = []
    leads: dict[int, Tensor] = {}
    for at, value in enumerate(model.value.tolist()):
        defined = {system: values[at] for system, values in nulls.items() if not isnan(values[at])}
        if not defined:
            found.append({})
            continue
        best = max(defined, key=defined.__getitem__)
        found.append({"best_null": best, "difference": value - defined[best]})
        if CONSTANT in defined:
            found[at] |= {"constant": defined[CONSTANT], "constant_ranking": names[at]}
        if model.resamples is not None and (resamples := means[best].resamples) is not None:
            leads[at] = model.resamples[:, at] - resamples[:, at]
    if leads:
        ends = functional.percentile_interval(torch.stack(list(leads.values()), dim=1))
        for at, low, high in zip(leads, *(end.tolist() for end in ends), strict=True):
            found[at] |= {"difference_low": low, "difference_high": high}
    return found
