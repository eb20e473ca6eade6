"""From runs and results to the points of a sweep: one combination of the varied flags, over its seeds."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from statistics import fmean
from typing import Any

from mcmfh_lightning.bench.sweep_file import canonical
from mcmfh_lightning.bench.sweeps.declared import DeclaredSweep
from mcmfh_lightning.bench.tables.agreement import check_agreement, data_of_folders
from mcmfh_lightning.bench.tables.declared import ROOT
from mcmfh_lightning.bench.tables.result import Data, Result
from mcmfh_lightning.bench.tables.rows import Spread, matched, spread


@dataclass(frozen=True)
class Point:
    """A combination."""

    values: Mapping[str, Any]
    """Of the varied flags."""
    declared: int
    """Runs: one a seed."""
    run: int
    """Those that have a result."""
    best: Spread
    """Best value of the sweep's metric in a fit, over seeds."""
    seconds: float
    """Of a fit, mean over seeds; NaN if none was run."""
    chosen: bool = False
    """Whether it is the best of those all of whose seeds were run; equals are chosen together."""


@dataclass(frozen=True)
class Summary:
    """Everything that is rendered."""

    declared: DeclaredSweep
    data: Data | None
    """None while nothing tells."""
    points: tuple[Point, ...]
    """The first varied flag changes slowest."""
    jobs: tuple[int, ...]
    """Runs at a time, as the results say: seconds of unequal numbers are not comparable."""

    @property
    def metric(self) -> str:
        """What the sweep goes by."""
        return self.declared.sweep.metric

    @property
    def run(self) -> int:
        """Runs that have a result."""
        return sum(point.run for point in self.points)


def summarise(declared: DeclaredSweep, results: Sequence[Result], folders: Mapping[str, Data]) -> Summary:
    """Put together what is rendered.

    Args:
        declared: The sweep.
        results: All results that are kept.
        folders: What lies in data folders, where they were looked at; else results tell.

    Raises:
        DataError: Results are not comparable.
    """
    root = declared.runs[0].parameters[ROOT]
    known = data_of_folders([root], results, folders)
    found = matched(declared.runs, results, known)
    used = [result for _, result in found if result is not None]
    check_agreement(used, {})
    of_point: dict[str, list[Result | None]] = {}
    for run, result in found:
        of_point.setdefault(_key({name: run.parameters[name] for name in declared.varied}), []).append(result)
    points = []
    for combination in itertools.product(*declared.varied.values()):
        values = dict(zip(declared.varied, combination, strict=True))
        points.append(_point(values, of_point[_key(values)]))
    jobs = tuple(sorted({result.jobs for result in used}))
    return Summary(declared, known.get(root), _with_chosen(points, declared.sweep.goal), jobs)


def _key(values: Mapping[str, Any]) -> str:
    return canonical(dict(values))


def _point(values: Mapping[str, Any], results: Sequence[Result | None]) -> Point:
    run = [result for result in results if result is not None]
    best = spread([nan if result.best is None else result.best for result in run])
    return Point(values, len(results), len(run), best, fmean(one.fit_seconds for one in run) if run else nan)


def _with_chosen(points: Sequence[Point], goal: str) -> tuple[Point, ...]:
    complete = [point for point in points if point.run == point.declared == point.best.number]
    best = (min if goal == "minimize" else max)((point.best.mean for point in complete), default=nan)
    if isnan(best):
        return tuple(points)
    kept = {id(point) for point in complete if point.best.mean == best}
    return tuple(replace(point, chosen=id(point) in kept) for point in points)
