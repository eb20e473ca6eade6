"""The figure of a sweep: a heat map of two varied flags, a line of one."""

import itertools
from collections.abc import Mapping, Sequence
from math import ceil, isnan
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mcmfh_lightning.bench.tables.declared import written
from mcmfh_lightning.bench.tables.markdown import NOT_RUN, UNDEFINED
from mcmfh_lightning.bench.tables.words import RESEARCH_USE, short
from mcmfh_lightning.sweeps.page import Point, Summary
from mcmfh_lightning.sweeps.sweep_file import canonical

MOST_PANELS = 12
_ACROSS = 4
_SUFFIXES = ("svg", "png")
_BLANK = "#dddddd"


def figure_of(summary: Summary) -> Figure | str:
    """Draw the sweep.

    Two varied flags make a heat map, the first down, the second across. Of more, the two with most values do, in a
    panel for each combination of the others. One makes a line.

    Returns:
        The figure; or, in a few words, why there is none.
    """
    varied = summary.declared.varied
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
        figure: From `figure_of`.
        stem: Path without the ending.

    Returns:
        The files written.
    """
    paths = [stem.with_suffix(f".{suffix}") for suffix in _SUFFIXES]
    if isinstance(figure, str):
        for path in paths:
            path.unlink(missing_ok=True)
        return []
    for path in paths:
        with mpl.rc_context({"svg.hashsalt": "sweep", "svg.fonttype": "none"}):
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def _line(summary: Summary, name: str) -> Figure:
    figure = Figure(figsize=(6.5, 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    at = range(len(summary.points))
    spreads = [0.0 if isnan(point.best.sd) else point.best.sd for point in summary.points]
    axes.errorbar(at, [point.best.mean for point in summary.points], spreads, marker="o", capsize=3)
    for place, point in zip(at, summary.points, strict=True):
        if not point.run:
            axes.axvline(place, color=_BLANK, linewidth=8, label=NOT_RUN)
        if point.chosen:
            axes.plot(place, point.best.mean, "o", color="tab:red", zorder=3, label="best")
    axes.set_xticks(at, [written(point.values[name]) for point in summary.points])
    axes.set(title=_title(summary), xlabel=name, ylabel=f"best {summary.metric}")
    axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    if once:
        axes.legend(once.values(), once.keys(), fontsize="small")
    figure.supxlabel(RESEARCH_USE, fontsize="x-small")
    return figure


def _heat_maps(summary: Summary, down: str, across: str, panels: Sequence[Mapping[str, Any]]) -> Figure:
    rows, columns = summary.declared.varied[down], summary.declared.varied[across]
    wide = min(_ACROSS, len(panels))
    high = ceil(len(panels) / wide)
    size = (2.0 + wide * (1.0 + 0.8 * len(columns)), 1.4 + high * (1.0 + 0.6 * len(rows)))
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    grid = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
    points = {canonical(dict(point.values)): point for point in summary.points}
    norm, colours = _scale(summary)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        shown = [[points[canonical({**panel, down: row, across: column})] for column in columns] for row in rows]
        _heat_map(axes, shown, norm, colours)
        axes.set_xticks(range(len(columns)), [written(value) for value in columns])
        axes.set_yticks(range(len(rows)), [written(value) for value in rows])
        axes.set_title(", ".join(f"{name} {written(value)}" for name, value in panel.items()), fontsize="small")
    figure.suptitle(_title(summary))
    figure.supylabel(down, fontsize="medium")
    figure.supxlabel(f"{across}\n{RESEARCH_USE}", fontsize="medium")
    figure.colorbar(ScalarMappable(norm, colours), ax=grid, label=f"best {summary.metric}")
    return figure


def _scale(summary: Summary) -> tuple[Normalize, Colormap]:
    """Colours of all panels: the better, the brighter."""
    means = [point.best.mean for point in summary.points if not isnan(point.best.mean)] or [0.0]
    colours = mpl.colormaps["viridis" if summary.declared.sweep.goal == "maximize" else "viridis_r"]
    return Normalize(min(means), max(means)), colours


def _heat_map(axes: Axes, shown: Sequence[Sequence[Point]], norm: Normalize, colours: Colormap) -> None:
    axes.set_facecolor(_BLANK)
    values = [[point.best.mean for point in row] for row in shown]
    axes.imshow(values, norm=norm, cmap=colours, aspect="auto")
    for y, row in enumerate(shown):
        for x, point in enumerate(row):
            undefined = isnan(point.best.mean)
            text = (UNDEFINED if point.run else NOT_RUN) if undefined else short(point.best.mean)
            red, green, blue, _ = to_rgba(_BLANK if undefined else colours(norm(point.best.mean)))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5  # luma, ITU-R BT.601
            weight = "bold" if point.chosen else "normal"
            axes.text(x, y, text, ha="center", va="center", color="white" if dark else "black", weight=weight)
            if point.chosen:
                axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, fill=False, edgecolor="red", linewidth=2))


def _title(summary: Summary) -> str:
    name = summary.declared.sweep.name
    return name if summary.data is None else f"{summary.data.name}: {name}"
