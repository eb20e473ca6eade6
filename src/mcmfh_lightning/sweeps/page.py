"""A sweep as Markdown, as CSV and on the screen: the same table.

From runs and results to the points of a sweep: one combination of the varied flags, over its seeds.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.markup import escape
from rich.table import Table

from mcmfh_lightning.bench.tables.agreement import check_agreement, data_of_folders
from mcmfh_lightning.bench.tables.csv_files import write_lines
from mcmfh_lightning.bench.tables.declared import ROOT, written
from mcmfh_lightning.bench.tables.markdown import NOT_RUN, UNDEFINED, pipe_table, with_sd
from mcmfh_lightning.bench.tables.rows import Spread, matched, spread
from mcmfh_lightning.bench.tables.words import RESEARCH_USE
from mcmfh_lightning.sweeps.declared import DeclaredSweep
from mcmfh_lightning.sweeps.result import Data, Result
from mcmfh_lightning.sweeps.sweep_file import canonical


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


def markdown(summary: Summary, file: str, figure: str, no_figure: str) -> str:
    """Render everything.

    Args:
        summary: What is rendered.
        file: Name of the sweep file.
        figure: Name of the figure's file; empty where there is none.
        no_figure: Why there is none.
    """
    fixed = ", ".join(f"`{name} {written(value)}`" for name, value in summary.declared.fixed.items() if name != ROOT)
    cells = [_emphasised(_cells(summary, point), point) for point in summary.points]
    sections = [
        f"# {summary.declared.sweep.name}",
        f"Written by `mcmfh-bench sweep {file}`: change the runs, not this page. {RESEARCH_USE}",
        f"{_note(summary)} Every run: {fixed}.",
        pipe_table(_head(summary), cells, left=len(summary.declared.varied)),
        f"![{summary.metric}]({figure})" if figure else f"No figure: {no_figure}.",
    ]
    return "\n\n".join(sections) + "\n"


def screen_table(summary: Summary) -> Table:
    """The same for a terminal; the best in bold."""
    made = Table(title=escape(summary.declared.sweep.name), caption=escape(f"{_note(summary)}\n{RESEARCH_USE}"))
    for name in _head(summary):
        made.add_column(name, justify="left" if name in summary.declared.varied else "right")
    for point in summary.points:
        cells = [escape(cell) for cell in _cells(summary, point)]
        made.add_row(*cells, style="bold" if point.chosen else None)
    return made


def write_csv(path: Path, summary: Summary) -> None:
    """Write a line for each combination.

    Args:
        path: File to write.
        summary: What is rendered.
    """
    write_lines(path, [_line(summary, point) for point in summary.points])


def _line(summary: Summary, point: Point) -> Mapping[str, object]:
    return {
        **{name: written(value) for name, value in point.values.items()},
        "declared": point.declared,
        "run": point.run,
        "metric": summary.metric,
        "mean": point.best.mean,
        "sd": point.best.sd,
        "fit_seconds": point.seconds,
        "best": int(point.chosen),
    }


def _head(summary: Summary) -> list[str]:
    return [*summary.declared.varied, "runs", f"best {summary.metric}", "seconds of a fit"]


def _cells(summary: Summary, point: Point) -> list[str]:
    runs = str(point.run) if point.run == point.declared else f"{point.run} of {point.declared}"
    value = with_sd(point.best) if point.run else NOT_RUN
    seconds = UNDEFINED if isnan(point.seconds) else f"{point.seconds:.0f}"
    return [*(written(one) for one in point.values.values()), runs, value, seconds]


def _emphasised(cells: Sequence[str], point: Point) -> list[str]:
    """The value of the best in bold."""
    *before, value, seconds = cells
    return [*before, f"**{value}**" if point.chosen else value, seconds]


def _note(summary: Summary) -> str:
    """What the table is of."""
    data, sweep = summary.data, summary.declared.sweep
    said = "" if data is None else f"{data.name}{f', embeddings of {data.encoder}' if data.encoder else ''}: "
    said += f"{summary.run} of {len(summary.declared.runs)} runs. "
    said += f"Best {sweep.metric} of a fit ({sweep.goal}), on the validation split"
    if len(summary.declared.seeds) > 1:
        said += f"; mean ± standard deviation over seeds {', '.join(map(str, summary.declared.seeds))}"
    said += "; the best combination in bold"
    if summary.run and summary.jobs != (1,):
        said += f"; {' or '.join(map(str, summary.jobs))} runs at a time share the seconds"
    return said + "."
