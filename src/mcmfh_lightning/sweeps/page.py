"""The page of a sweep: its combinations over seeds as Markdown, as CSV and as a figure."""

import csv
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isnan, nan
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.console import RenderableType

from mcmfh_lightning.figures import save_figure
from mcmfh_lightning.sweeps.declared import ROOT, SEED, Sweep, canonical, written
from mcmfh_lightning.sweeps.result import Data, Result, match
from mcmfh_lightning.tables import make_table, paragraph

RESEARCH_USE = "Research use, not diagnosis."
NOT_RUN, UNDEFINED = "not run", "-"
MOST_PANELS = 12
_ACROSS = 4
_BLANK = "#dddddd"


@dataclass(frozen=True)
class Point:
    """A combination of the varied flags, over its seeds.

    Attributes:
        values: The values of the varied flags, in the order of `Sweep.varied`.
        declared: Runs: one a seed.
        run: Those that have a result.
        complete: Whether all of them have a defined value.
        mean: Best value of the sweep's metric in a fit, mean over seeds; NaN if none is defined.
        sd: Its standard deviation (divided by n - 1); NaN of fewer than two.
        seconds: Seconds of a fit, mean over seeds; NaN if none was run.
    """

    values: tuple[Any, ...]
    declared: int
    run: int
    complete: bool
    mean: float
    sd: float
    seconds: float


@dataclass(frozen=True)
class Summary:
    """Everything that is rendered.

    Attributes:
        sweep: The sweep.
        data: Its data; None while they are unknown.
        points: Its combinations; the first varied flag changes slowest.
        best: The best mean of the complete combinations; NaN if there is none. Equals are chosen together.
        jobs: Runs at a time, as the results say: seconds of unequal numbers are not comparable.
    """

    sweep: Sweep
    data: Data | None
    points: Sequence[Point]
    best: float
    jobs: Sequence[int]

    def chosen(self, point: Point) -> bool:
        """Return whether a combination is the best of the complete ones."""
        return point.complete and point.mean == self.best


def short(value: float) -> str:
    """Write three decimals without the leading zero.

    >>> short(0.25), short(-0.0317), short(1.0)
    ('.250', '-.032', '1.000')
    """
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"


def with_sd(mean: float, sd: float) -> str:
    """Write mean ± standard deviation, the mean alone of a single run; a dash where nothing is defined."""
    if isnan(mean):
        return UNDEFINED
    return short(mean) if isnan(sd) else f"{short(mean)} ± {short(sd)}"


def pipe_table(head: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    """Write a table in Markdown whose first columns are flush left, the others right."""
    rule = "|" + "---|" * left + "---:|" * (len(head) - left)
    written_lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in (head, *lines)]
    return "\n".join([written_lines[0], rule, *written_lines[1:]])


FIGURES = ("figure.png", "figure.svg")


def summarize(sweep: Sweep, results: Sequence[Result], folders: Mapping[str, Data]) -> Summary:
    """Average the runs of each combination and choose the best.

    Args:
        sweep: The sweep.
        results: All results that are kept.
        folders: The data in each folder, where they were looked at; else those that results name.

    Raises:
        DataError: If results are not comparable.
    """
    known, found = match(sweep.runs(), results, folders)
    of_point: dict[str, list[Result | None]] = {}
    for run, result in found:
        of_point.setdefault(canonical([run.parameters[name] for name in sweep.varied]), []).append(result)
    points = []
    for values in itertools.product(*sweep.varied.values()):
        declared = of_point[canonical(values)]
        done = [result for result in declared if result is not None]
        best = [result.best for result in done if result.best is not None]
        mean, sd = fmean(best) if best else nan, stdev(best) if len(best) > 1 else nan
        seconds = fmean(result.fit_seconds for result in done) if done else nan
        points.append(Point(values, len(declared), len(done), len(best) == len(declared), mean, sd, seconds))
    choose = min if sweep.goal == "minimize" else max
    jobs = sorted({result.jobs for _, result in found if result is not None})
    data = known.get(sweep.parameters[ROOT][0])
    return Summary(sweep, data, points, choose((one.mean for one in points if one.complete), default=nan), jobs)


def write(folder: Path, summary: Summary, file: str) -> list[RenderableType]:
    """Write ``table.md``, ``table.csv``, ``figure.svg`` and ``figure.png``; remove an earlier figure if there is none.

    In the CSV numbers are rounded as results are; what is undefined stays empty.

    Args:
        folder: An existing folder.
        summary: What is rendered.
        file: Name of the sweep file.

    Returns:
        Parts to print: the table, and a note about it.
    """
    sweep = summary.sweep
    fixed = {name: values[0] for name, values in sweep.parameters.items() if len(values) == 1 and name != ROOT}
    lines, numbers = [], []
    for point in summary.points:
        values, chosen = [written(value) for value in point.values], summary.chosen(point)
        run = str(point.run) if point.run == point.declared else f"{point.run} of {point.declared}"
        value = with_sd(point.mean, point.sd) if point.run else NOT_RUN
        seconds = UNDEFINED if isnan(point.seconds) else f"{point.seconds:.0f}"
        lines.append([*values, run, f"**{value}**" if chosen else value, seconds])
        rounded = ["" if isnan(number) else round(number, 6) for number in (point.mean, point.sd, point.seconds)]
        numbers.append([*values, point.declared, point.run, sweep.metric, *rounded, int(chosen)])
    with (folder / "table.csv").open("w", newline="") as stream:
        head = [*sweep.varied, "declared", "run", "metric", "mean", "sd", "fit_seconds", "best"]
        csv.writer(stream).writerows([head, *numbers])
    figure = figure_of(summary)
    if isinstance(figure, Figure):
        save(figure, folder / "figure")
    else:
        for stale in FIGURES:
            (folder / stale).unlink(missing_ok=True)
    columns = [*sweep.varied, "runs", f"best {sweep.metric}", "seconds of a fit"]
    sections = [
        f"# {sweep.name}",
        f"Written by `mcmfh-bench sweep {file}`: change the runs, not this page. {RESEARCH_USE}",
        f"{_note(summary)} Every run: {', '.join(f'`{name} {written(value)}`' for name, value in fixed.items())}.",
        pipe_table(columns, lines, left=len(sweep.varied)),
        f"No figure: {figure}." if isinstance(figure, str) else f"![{sweep.metric}](figure.png)",
    ]
    page = "\n\n".join(sections) + "\n"
    (folder / "table.md").write_text(page, encoding="utf-8")
    headings = [column.replace(".", ".\n") for column in columns]  # names of options are longer than their values
    shown = [[cell.replace("**", "*") if cell.startswith("**") else cell for cell in line] for line in lines]
    table = make_table(sweep.name, headings, shown, numbers=headings[len(sweep.varied) :])
    return [table, paragraph(f"{_note(summary)} {RESEARCH_USE}".replace("in bold", "between stars"))]


def _note(summary: Summary) -> str:
    """Describe what the table shows."""
    data, sweep = summary.data, summary.sweep
    text = "" if data is None else f"{data.name}{f', embeddings of {data.encoder}' if data.encoder else ''}: "
    text += f"{sum(point.run for point in summary.points)} of {len(sweep.runs())} runs. "
    text += f"Best {sweep.metric} of a fit ({sweep.goal}), on the validation split"
    seeds = sweep.parameters.get(SEED, ())
    if len(seeds) > 1:
        text += f"; mean ± standard deviation over seeds {', '.join(map(str, seeds))}"
    text += "; the best combination in bold"
    if summary.jobs and summary.jobs != [1]:
        text += f"; {' or '.join(map(str, summary.jobs))} runs at a time share the seconds"
    return text + "."


def figure_of(summary: Summary) -> Figure | str:
    """Draw the sweep.

    Two varied flags make a heat map, the first down, the second across. Of more, the two with most values do, in a
    panel for each combination of the others. One makes a line.

    Returns:
        The figure; or, in a few words, why there is none.
    """
    varied = summary.sweep.varied
    if not any(point.run for point in summary.points):
        return "nothing was run"
    if not varied:
        return "no flag varies but the seed"
    drawn = _line(summary) if len(varied) == 1 else _heat_maps(summary)
    if isinstance(drawn, Figure):
        drawn.suptitle(summary.sweep.name if summary.data is None else f"{summary.data.name}: {summary.sweep.name}")
    return drawn


def save(figure: Figure, stem: Path) -> None:
    """Write a figure as ``.svg`` and ``.png``, the same bytes every time.

    Args:
        figure: The figure.
        stem: Path without the ending.
    """
    with mpl.rc_context({"svg.hashsalt": "mcmfh", "svg.fonttype": "none"}):
        save_figure(figure, stem.with_suffix(".svg"), metadata={"Date": None})
        save_figure(figure, stem.with_suffix(".png"))


def _line(summary: Summary) -> Figure:
    (name,) = summary.sweep.varied
    figure = Figure(figsize=(6.5, 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    points = list(enumerate(summary.points))
    spreads = [0.0 if isnan(point.sd) else point.sd for _, point in points]
    axes.errorbar(range(len(points)), [point.mean for _, point in points], spreads, marker="o", capsize=3)
    not_run = [place for place, point in points if not point.run]
    if not_run:
        axes.vlines(not_run, 0, 1, _BLANK, linewidth=8, transform=axes.get_xaxis_transform(), label=NOT_RUN)
    chosen = [place for place, point in points if summary.chosen(point)]
    axes.plot(chosen, [summary.best] * len(chosen), "o", color="tab:red", zorder=3, label="best")
    axes.legend(fontsize="small")
    axes.set_xticks(range(len(points)), [written(*point.values) for _, point in points])
    axes.set(xlabel=name, ylabel=f"best {summary.sweep.metric}")
    axes.grid(alpha=0.3)
    figure.supxlabel(RESEARCH_USE, fontsize="x-small")
    return figure


def _heat_maps(summary: Summary) -> Figure | str:
    names, values = list(summary.sweep.varied), list(summary.sweep.varied.values())
    shape = [len(several) for several in values]
    by_size = sorted(range(len(shape)), key=lambda at: -shape[at])  # stable: the first of equals
    down, across = sorted(by_size[:2])
    grid = np.array(summary.points, dtype=object).reshape(shape)
    panels = np.moveaxis(grid, (down, across), (-2, -1)).reshape(-1, shape[down], shape[across])
    if len(panels) > MOST_PANELS:
        return f"{len(panels)} heat maps would be needed, {MOST_PANELS} at most are drawn; see table.csv"
    wide = min(_ACROSS, len(panels))
    high = ceil(len(panels) / wide)
    size = (2.0 + wide * (1.0 + 0.8 * shape[across]), 1.4 + high * (1.0 + 0.6 * shape[down]))
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    places = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
    means = [point.mean for point in summary.points if not isnan(point.mean)] or [0.0]
    colors = "viridis" if summary.sweep.goal == "maximize" else "viridis_r"  # the better, the brighter
    for axes in places.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(places.flat, panels, strict=False):
        axes.set_facecolor(_BLANK)
        shown = [[point.mean for point in row] for row in panel]
        image = axes.imshow(shown, cmap=colors, vmin=min(means), vmax=max(means), aspect="auto")
        for (y, x), point in np.ndenumerate(panel):
            chosen = summary.chosen(point)
            text = axes.text(x, y, with_sd(point.mean, nan) if point.run else NOT_RUN, ha="center", va="center")
            text.set(weight="bold" if chosen else "normal", bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0})
            if chosen:
                axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, fill=False, edgecolor="red", linewidth=2))
        axes.set_xticks(range(shape[across]), map(written, values[across]))
        axes.set_yticks(range(shape[down]), map(written, values[down]))
        others = [f"{names[at]} {written(panel[0, 0].values[at])}" for at in sorted(by_size[2:])]
        axes.set_title(", ".join(others), fontsize="small")
    figure.supylabel(names[down], fontsize="medium")
    figure.supxlabel(f"{names[across]}\n{RESEARCH_USE}", fontsize="medium")
    figure.colorbar(image, ax=places, label=f"best {summary.sweep.metric}")
    return figure
