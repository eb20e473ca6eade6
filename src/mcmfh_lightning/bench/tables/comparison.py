"""A reference against every other system: difference, interval over groups, p values corrected for their number."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import NamedTuple

import torch
from torch import Tensor

from mcmfh_lightning.bench.tables.rows import Panel, Row
from mcmfh_lightning.bench.tables.words import ALL, HEADLINE, PROTOCOLS
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.metrics.functional import (
    bootstrap_means,
    bootstrap_weights,
    mean_over_queries,
    percentile_interval,
)
from mcmfh_lightning.sweeps.result import QueryValues, Result

DRAWS = 1000
"""Bootstrap resamples."""
SEED = 0
"""Of the resamples."""


class Difference(NamedTuple):
    """A difference with its 95 % interval over groups."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """The reference minus another system, in AP over all items averaged over seeds and queries."""

    system: str
    mean: Difference
    """Of the mean of both directions."""
    directions: Mapping[str, Difference]
    p: float
    """Two-sided, of `mean`."""
    p_holm: float
    """The same, corrected for the number of comparisons of the panel."""


def compare(panel: Panel, reference: Row) -> dict[str, Comparison]:
    """Compare the reference with every other row that was run, on the headline.

    For each query AP is averaged over seeds, for each direction differences are averaged over queries, then over
    directions. Groups are drawn with replacement (`bootstrap_weights`), the same draws for all rows. The p value is
    twice the smaller share of draws on one side of 0, (r + 1) / (B + 1) each (Davison and Hinkley, Bootstrap Methods
    and their Application, 1997, section 4.2), corrected by `holm`.

    Args:
        panel: What is compared.
        reference: A row of it.

    Returns:
        By system, in the order of the panel; empty if the reference was not run.

    Raises:
        DataError: Two results are of different queries.
    """
    others = [row for row in panel.rows if row is not reference and row.results]
    if not reference.results or not others:
        return {}
    queries = _common_queries(panel.results)
    members = torch.tensor(
        [1] * len(queries.group) if panel.headline_queries == ALL else queries.subsets[panel.headline_queries]
    )
    ours = _over_seeds(reference)
    counted = (members == 1) & ~ours.isnan().all(1)
    weights = bootstrap_weights(torch.tensor(queries.group)[counted], DRAWS, SEED)
    made = [_comparison(row.system, (ours - _over_seeds(row))[counted], weights) for row in others]
    corrected = holm([one.p for one in made])
    return {one.system: one._replace(p_holm=p) for one, p in zip(made, corrected, strict=True)}


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm, Scandinavian Journal of Statistics, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [nan] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def _comparison(system: str, differences: Tensor, weights: Tensor) -> Comparison:
    """From the (Q, 2) differences of each query and direction, NaN where undefined."""
    values = torch.stack([mean_over_queries(column) for column in differences.unbind(1)])
    defined = (~differences.isnan()).double()
    draws = bootstrap_means(differences.nan_to_num(), weights) / bootstrap_means(defined, weights)
    mean_draws = draws.mean(1, keepdim=True)
    below, above = int((mean_draws <= 0).sum()), int((mean_draws >= 0).sum())
    names = PROTOCOLS[HEADLINE[0]]
    low, high = percentile_interval(draws)
    of_directions = {
        name: Difference(float(values[at]), float(low[at]), float(high[at])) for at, name in enumerate(names)
    }
    ends = [float(end) for end in percentile_interval(mean_draws)]
    p = min(1.0, 2 * (min(below, above) + 1) / (len(draws) + 1))
    return Comparison(system, Difference(float(values.mean()), *ends), of_directions, p, nan)


def _over_seeds(row: Row) -> Tensor:
    """(Q, 2) float64: AP of each query in both directions, averaged over seeds; NaN where undefined."""
    runs = [_average_precisions(result) for result in row.results]
    return torch.stack(runs).mean(0)


def _average_precisions(result: Result) -> Tensor:
    protocol, _ = HEADLINE
    of_directions = _queries_of(result).average_precision[protocol]
    columns = [[nan if value is None else value for value in of_directions[name]] for name in PROTOCOLS[protocol]]
    return torch.tensor(columns, dtype=torch.float64).T


def _common_queries(results: Sequence[Result]) -> QueryValues:
    first = _queries_of(results[0])
    for result in results:
        queries = _queries_of(result)
        if (queries.group, queries.subsets) != (first.group, first.subsets):
            raise DataError(
                f"{result.file_name}: its queries are not those of {results[0].file_name}; run the older one again"
            )
    return first


def _queries_of(result: Result) -> QueryValues:
    if result.queries is None:
        raise DataError(f"{result.file_name}: holds no queries; remove it and run again")
    return result.queries
