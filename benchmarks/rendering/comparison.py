"""A reference against every other system: difference, interval over groups, p values corrected for their number."""

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.metrics.functional import (
    bootstrap_means,
    bootstrap_weights,
    mean_over_queries,
    percentile_interval,
)
from mcmfh_lightning.sweeps.result import ALL, QueryValues, Result
from rendering.store import PLACES

DRAWS, SEED = 1000, 0
"""Bootstrap resamples."""
MEAN = "mean"
"""Name of the mean of the five searches."""


def compare(results: Mapping[str, Sequence[Result]], reference: str, subset: str) -> pd.DataFrame:
    """Compare the reference with every other system that was run, on the headline.

    For each query AP is averaged over seeds, for each search differences are averaged over queries, then over
    searches. Groups are drawn with replacement (`bootstrap_weights`), the same draws for all systems. The p value is
    twice the smaller share of draws on one side of 0, (r + 1) / (B + 1) each (Davison and Hinkley, Bootstrap Methods
    and their Application, 1997, section 4.2), corrected by `holm`.

    Args:
        results: The results of each system, one a seed.
        reference: One of the systems.
        subset: The query subset.

    Returns:
        For each system and search (`MEAN` first) the difference, the reference minus the system, the ends of its 95 %
        interval and, of the mean, p values; empty if the reference was not run. A search that one of both has no codes
        for is left out, and the mean with it.

    Raises:
        DataError: If two results have different queries.
    """
    columns = ["system", "direction", "difference", "low", "high", "p", "p_holm"]
    run = {system: found for system, found in results.items() if found}
    if reference not in run or len(run) == 1:
        return pd.DataFrame(columns=columns)
    first = next(iter(run.values()))[0]
    values = {}
    for system, found in run.items():
        # AP of each query in the five searches, mean over seeds: (Q, 5), NaN where undefined.
        values[system] = torch.stack([_precisions(_queries_of(one, first)) for one in found]).mean(0)
    queries = _queries_of(first, first)
    members = torch.tensor([1] * len(queries.group) if subset == ALL else queries.subsets[subset])
    ours = values.pop(reference)
    counted = (members == 1) & ~ours.isnan().all(1)
    weights = bootstrap_weights(torch.tensor(queries.group)[counted], DRAWS, SEED)
    lines = [line for system, theirs in values.items() for line in _compared(system, (ours - theirs)[counted], weights)]
    made = pd.DataFrame(lines, columns=columns[:-1])
    return made.assign(p_holm=holm(made.p.dropna()))


def holm(p_values: "pd.Series[float]") -> "pd.Series[float]":
    """Correct p values for their number (Holm, Scandinavian Journal of Statistics, 1979).

    >>> holm(pd.Series([0.01, 0.04, 0.03])).sort_index().tolist()
    [0.03, 0.06, 0.06]
    """
    ordered = p_values.sort_values()
    return (ordered * np.arange(len(ordered), 0, -1)).clip(upper=1).cummax()


def _compared(system: str, differences: Tensor, weights: Tensor) -> list[tuple[object, ...]]:
    """Compare by the (Q, 5) differences of each query and search, NaN where undefined."""
    defined = (~differences.isnan()).double()
    measured = defined.any(0)  # (5,)
    values = mean_over_queries(differences)  # (5,)
    draws = bootstrap_means(differences.nan_to_num(), weights) / bootstrap_means(defined, weights)  # (B, 5)
    means = draws.mean(1, keepdim=True)  # (B, 1)
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p = min(1.0, 2 * (tail + 1) / (len(draws) + 1))
    low, high = (end.tolist() for end in percentile_interval(draws))
    of_searches = zip(PLACES, values.tolist(), low, high, measured.tolist(), strict=True)
    lines: list[tuple[object, ...]] = [(system, *one, nan) for *one, known in of_searches if known]
    mean = (MEAN, float(values.mean()), *(float(end) for end in percentile_interval(means)))
    return [(system, *mean, p), *lines] if measured.all() else lines


def _precisions(queries: QueryValues) -> Tensor:
    """Return the AP of each query in the five searches, (Q, 5); NaN where undefined and where there are no codes."""
    missing = [None] * len(queries.group)
    columns = [queries.average_precision.get(protocol, {}).get(search, missing) for search, protocol in PLACES.items()]
    return torch.from_numpy(np.array(columns, dtype=float).T)


def _queries_of(result: Result, first: Result) -> QueryValues:
    if result.queries is None:
        raise DataError(f"{result.file_name}: holds no queries; remove it and run again")
    if first.queries and (result.queries.group, result.queries.subsets) != (first.queries.group, first.queries.subsets):
        raise DataError(f"{result.file_name}: its queries are not those of {first.file_name}; run the older one again")
    return result.queries
