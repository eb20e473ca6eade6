"""A sweep as Markdown, as CSV and on the screen: the same table."""

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from mcmfh_lightning.bench.sweeps.summary import Point, Summary
from mcmfh_lightning.bench.tables.csv_files import write_lines
from mcmfh_lightning.bench.tables.declared import ROOT, written
from mcmfh_lightning.bench.tables.markdown import NOT_RUN, UNDEFINED, pipe_table, with_sd
from mcmfh_lightning.bench.tables.words import RESEARCH_USE


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
