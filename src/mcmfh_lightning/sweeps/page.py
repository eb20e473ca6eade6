"""The page of a sweep: its combinations over seeds as Markdown, as CSV and as a figure."""

import csv
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isnan, nan
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mcmfh_lightning.sweeps.declared import ROOT, SEED, Sweep, canonical, written
from mcmfh_lightning.sweeps.result import Data, Result, data_of_folders, matched

RESEARCH_USE = "Research use, not diagnosis."
NOT_RUN, UNDEFINED = "not run", "-"
MOST_PANELS = 12
_ACROSS = 4
_BLANK = "#dddddd"


@dataclass(frozen=True)
class Point:
    """A combination of the varied flags, over its seeds.

    Attributes:
        values: The varied flags.
        declared: Runs: one a seed.
        run: Those that have a result.
        complete: Whether all of them have a defined value.
        mean: Best value of the sweep's metric in a fit, mean over seeds; NaN if none is defined.
        sd: Its standard deviation (divided by n - 1); NaN of fewer than two.
        seconds: Seconds of a fit, mean over seeds; NaN if none was run.
        chosen: Whether it is the best of the complete ones; equals are chosen together.
    """

    values: Mapping[str, Any]
    declared: int
    run: int
    complete: bool
    mean: float
    sd: float
    seconds: float
    chosen: bool = False


@dataclass(frozen=True)
class Summary:
    """Everything that is rendered.

    Attributes:
        sweep: The sweep.
        data: Its data; None while they are unknown.
        points: Its combinations; the first varied flag changes slowest.
        jobs: Runs at a time, as the results say: seconds of unequal numbers are not comparable.
    """

    sweep: Sweep
    data: Data | None
    points: Sequence[Point]
    jobs: Sequence[int]

    @property
    def title(self) -> str:
        """Data and sweep."""
        return self.sweep.name if self.data is None else f"{self.data.name}: {self.sweep.name}"


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


def summarize(sweep: Sweep, results: Sequence[Result], folders: Mapping[str, Data]) -> Summary:
    """Average the runs of each combination and choose the best.

    Args:
        sweep: The sweep.
        results: All results that are kept.
        folders: The data in each folder, where they were looked at; else those that results name.

    Raises:
        DataError: If results are not comparable.
    """
    (root,) = sweep.parameters[ROOT]
    known = data_of_folders([root], results, folders)
    found = matched(sweep.runs(), results, known)
    of_point: dict[str, list[Result | None]] = {}
    for run, result in found:
        of_point.setdefault(canonical({name: run.parameters[name] for name in sweep.varied}), []).append(result)
    points = []
    for combination in itertools.product(*sweep.varied.values()):
        values = dict(zip(sweep.varied, combination, strict=True))
        declared = of_point[canonical(values)]
        done = [result for result in declared if result is not None]
        best = [result.best for result in done if result.best is not None]
        seconds = fmean(result.fit_seconds for result in done) if done else nan
        complete = len(best) == len(declared)
        points.append(Point(values, len(declared), len(done), complete, *_spread(best), seconds))
    means = [point.mean for point in points if point.complete]
    chosen = (min if sweep.goal == "minimize" else max)(means, default=nan)
    points = [replace(point, chosen=point.complete and point.mean == chosen) for point in points]
    jobs = sorted({result.jobs for _, result in found if result is not None})
    return Summary(sweep, known.get(root), points, jobs)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation; NaN where there are too few."""
    return fmean(values) if values else nan, stdev(values) if len(values) > 1 else nan


def markdown(summary: Summary, file: str, figure: str) -> str:
    """Render everything.

    Args:
        summary: What is rendered.
        file: Name of the sweep file.
        figure: Name of the figure's file, or a sentence that says why there is none.
    """
    sweep = summary.sweep
    fixed = {name: values[0] for name, values in sweep.parameters.items() if len(values) == 1 and name != ROOT}
    lines = []
    for point in summary.points:
        run = str(point.run) if point.run == point.declared else f"{point.run} of {point.declared}"
        value = with_sd(point.mean, point.sd) if point.run else NOT_RUN
        seconds = UNDEFINED if isnan(point.seconds) else f"{point.seconds:.0f}"
        lines.append([*map(written, point.values.values()), run, f"**{value}**" if point.chosen else value, seconds])
    head = [*sweep.varied, "runs", f"best {sweep.metric}", "seconds of a fit"]
    sections = [
        f"# {sweep.name}",
        f"Written by `mcmfh-bench sweep {file}`: change the runs, not this page. {RESEARCH_USE}",
        f"{_note(summary)} Every run: {', '.join(f'`{name} {written(value)}`' for name, value in fixed.items())}.",
        pipe_table(head, lines, left=len(sweep.varied)),
        f"![{sweep.metric}]({figure})" if figure.endswith(".png") else figure,
    ]
    return "\n\n".join(sections) + "\n"


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


def write_csv(path: Path, summary: Summary) -> None:
    """Write a line for each combination; numbers are rounded as results are, what is undefined stays empty.

    Args:
        path: File to write.
        summary: What is rendered.
    """
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*summary.sweep.varied, "declared", "run", "metric", "mean", "sd", "fit_seconds", "best"])
        for one in summary.points:
            numbers = ["" if isnan(number) else round(number, 6) for number in (one.mean, one.sd, one.seconds)]
            flags = map(written, one.values.values())
            writer.writerow([*flags, one.declared, one.run, summary.sweep.metric, *numbers, int(one.chosen)])


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
    if len(varied) == 1:
        return _line(summary, next(iter(varied)))
    axes = sorted(varied, key=lambda name: -len(varied[name]))[:2]  # stable: the first of equals
    down, across = (name for name in varied if name in axes)
    others = [name for name in varied if name not in axes]
    panels = [dict(zip(others, one, strict=True)) for one in itertools.product(*(varied[name] for name in others))]
    if len(panels) > MOST_PANELS:
        return f"{len(panels)} heat maps would be needed, {MOST_PANELS} at most are drawn; see table.csv"
    return _heat_maps(summary, down, across, panels)


def save(figure: Figure | str, stem: Path) -> list[Path]:
    """Write ``.svg`` and ``.png``, the same bytes every time; without a figure remove what an earlier call wrote.

    Args:
        figure: The figure, or why there is none.
        stem: Path without the ending.

    Returns:
        The files written.
    """
    paths = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    for path in paths:
        if isinstance(figure, str):
            path.unlink(missing_ok=True)
            continue
        with mpl.rc_context({"svg.hashsalt": "mcmfh", "svg.fonttype": "none"}):
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return [] if isinstance(figure, str) else paths


def _line(summary: Summary, name: str) -> Figure:
    figure = Figure(figsize=(6.5, 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    at = range(len(summary.points))
    spreads = [0.0 if isnan(point.sd) else point.sd for point in summary.points]
    axes.errorbar(at, [point.mean for point in summary.points], spreads, marker="o", capsize=3)
    not_run = [place for place in at if not summary.points[place].run]
    if not_run:
        whole_height = axes.get_xaxis_transform()
        axes.vlines(not_run, 0, 1, _BLANK, linewidth=8, transform=whole_height, label=NOT_RUN)
    chosen = [place for place in at if summary.points[place].chosen]
    axes.plot(chosen, [summary.points[place].mean for place in chosen], "o", color="tab:red", zorder=3, label="best")
    axes.legend(fontsize="small")
    axes.set_xticks(at, [written(point.values[name]) for point in summary.points])
    axes.set(title=summary.title, xlabel=name, ylabel=f"best {summary.sweep.metric}")
    axes.grid(alpha=0.3)
    figure.supxlabel(RESEARCH_USE, fontsize="x-small")
    return figure


def _heat_maps(summary: Summary, down: str, across: str, panels: Sequence[Mapping[str, Any]]) -> Figure:
    rows, columns = summary.sweep.varied[down], summary.sweep.varied[across]
    wide = min(_ACROSS, len(panels))
    high = ceil(len(panels) / wide)
    size = (2.0 + wide * (1.0 + 0.8 * len(columns)), 1.4 + high * (1.0 + 0.6 * len(rows)))
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    grid = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
    points = {canonical(dict(point.values)): point for point in summary.points}
    means = [point.mean for point in summary.points if not isnan(point.mean)] or [0.0]
    norm = Normalize(min(means), max(means))
    colors = mpl.colormaps["viridis" if summary.sweep.goal == "maximize" else "viridis_r"]  # the better, the brighter
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        shown = [[points[canonical({**panel, down: row, across: column})] for column in columns] for row in rows]
        _heat_map(axes, shown, norm, colors)
        axes.set_xticks(range(len(columns)), [written(value) for value in columns])
        axes.set_yticks(range(len(rows)), [written(value) for value in rows])
        axes.set_title(", ".join(f"{name} {written(value)}" for name, value in panel.items()), fontsize="small")
    figure.suptitle(summary.title)
    figure.supylabel(down, fontsize="medium")
    figure.supxlabel(f"{across}\n{RESEARCH_USE}", fontsize="medium")
    figure.colorbar(ScalarMappable(norm, colors), ax=grid, label=f"best {summary.sweep.metric}")
    return figure


def _heat_map(axes: Axes, shown: Sequence[Sequence[Point]], norm: Normalize, colors: Colormap) -> None:
    axes.set_facecolor(_BLANK)
    axes.imshow([[point.mean for point in row] for row in shown], norm=norm, cmap=colors, aspect="auto")
    for y, row in enumerate(shown):
        for x, point in enumerate(row):
            undefined = isnan(point.mean)
            text = NOT_RUN if not point.run else UNDEFINED if undefined else short(point.mean)
            red, green, blue, _ = to_rgba(_BLANK if undefined else colors(norm(point.mean)))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5  # luma, ITU-R BT.601
            weight = "bold" if point.chosen else "normal"
            axes.text(x, y, text, ha="center", va="center", color="white" if dark else "black", weight=weight)
            if point.chosen:
                axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, fill=False, edgecolor="red", linewidth=2))
