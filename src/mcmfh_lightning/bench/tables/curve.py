"""The bits curve: what more bits bring."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcmfh_lightning.bench.tables.declared import slug
from mcmfh_lightning.bench.tables.page import Page
from mcmfh_lightning.bench.tables.rows import Panel, Spread
from mcmfh_lightning.bench.tables.words import HEADLINE, HEADLINE_METRIC, NULLS, RESEARCH_USE

_NULL_LINES = (("--", "black"), (":", "black"), ("-.", "black"), ("--", "grey"), (":", "grey"))


def plot_curves(folder: Path, page: Page) -> list[Path]:
    """Draw ``bits_<data>.svg`` and ``.png`` for data on which codes of several lengths were run.

    Args:
        folder: An existing folder.
        page: What is rendered.

    Returns:
        The files written.
    """
    of_data: dict[str, list[Panel]] = {}
    for compared in page.panels:
        if compared.panel.num_bits is not None and compared.panel.best_row is not None:
            of_data.setdefault(compared.panel.data, []).append(compared.panel)
    written = []
    for data, panels in of_data.items():
        if len(panels) > 1:
            figure = _figure(data, panels)
            for suffix in ("svg", "png"):
                path = folder / f"bits_{slug(data)}.{suffix}"
                with mpl.rc_context({"svg.hashsalt": "bits", "svg.fonttype": "none"}):  # the same bytes every time
                    figure.savefig(path, metadata={"Date": None} if suffix == "svg" else None)
                written.append(path)
    return written


def _figure(data: str, panels: Sequence[Panel]) -> Figure:
    figure = Figure(figsize=(7.5, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    queries = panels[0].headline_queries
    bits = [panel.num_bits for panel in panels if panel.num_bits is not None]
    for system in dict.fromkeys(row.system for panel in panels for row in panel.rows):
        _draw(axes, bits, _points(panels, system, queries), system)
    for null, (style, colour) in zip(NULLS, _NULL_LINES, strict=True):
        best = [panel.best_row for panel in panels]
        means = [row.mean_of_directions(*HEADLINE, queries, null).mean for row in best if row is not None]
        if not all(isnan(mean) for mean in means):
            axes.plot(bits, means, style, color=colour, label=null, linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks(bits, [str(number) for number in bits])
    axes.set(
        title=f"{data}: {', '.join(HEADLINE)}, {queries} queries",
        xlabel="bits of a code",
        ylabel=f"{HEADLINE_METRIC}, mean of directions",
        ylim=(0, None),
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.supxlabel(RESEARCH_USE, fontsize="x-small")
    return figure


def _points(panels: Sequence[Panel], system: str, queries: str) -> list[Spread | None]:
    """The headline of a system at each number of bits; None where it was not run."""
    points: list[Spread | None] = []
    for panel in panels:
        row = next((row for row in panel.rows if row.system == system and row.results), None)
        points.append(None if row is None else row.mean_of_directions(*HEADLINE, queries))
    return points


def _draw(axes: Axes, bits: Sequence[int], points: Sequence[Spread | None], label: str) -> None:
    drawn = [(number, point) for number, point in zip(bits, points, strict=True) if point is not None]
    if drawn:
        axes.errorbar(
            [number for number, _ in drawn],
            [point.mean for _, point in drawn],
            [0.0 if isnan(point.sd) else point.sd for _, point in drawn],
            marker="o",
            markersize=3,
            capsize=2,
            label=label,
        )
