"""Figures of a report: precision-recall by Hamming radius, expected precision and recall at N."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mcmfh_lightning.evaluation.protocols import CHANCE, HYPERPLANES, MODEL, Ranking, Side
from mcmfh_lightning.evaluation.report import RESEARCH_USE
from mcmfh_lightning.evaluation.statistics import tied
from mcmfh_lightning.metrics import RankingCounts, functional

if TYPE_CHECKING:
    # Drawing takes long to import: only when there is something to draw.
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

DEEPEST = 1000
_POINTS = 60
_DEPTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""What is written along an axis of depths."""
_LEGEND_COLUMNS = 2
_LEGEND_LINE = 0.19
"""Height of a line of the legends in inches."""
_DASHES: Mapping[Side, str] = {"image": "k--", "text": "k--", "both": "k-."}
"""Styles of chance: a panel has the modality that its queries have not, and items that have both."""

Curve = tuple[Tensor, Tensor]
Lines = Mapping[str, tuple[RankingCounts, str]]
"""Counts and style of each line, by its label."""


def ranking_figures(panels: Sequence[Mapping[str, Lines]], title: str = "") -> Iterator[tuple[str, "Figure"]]:
    """Draw every figure, without global state: one after the other into the same axes, which take long to make.

    Args:
        panels: Lines of each panel by its title; rows of equally many panels. The panels of a column have equal labels.
        title: What all panels are of.

    Yields:
        Name of the file and the figure, which holds this drawing until the next one is asked for.
    """
    from matplotlib.ticker import FixedLocator, NullLocator

    figure, axes = _frame(panels, title)
    for name, curve, x_label, y_label, scale in _FIGURES:
        for row, lines_of_row in zip(axes, panels, strict=True):
            for panel, lines in zip(row, lines_of_row.values(), strict=True):
                panel.set(xlabel=x_label, ylabel=y_label, xscale=scale)
                if scale == "log":
                    panel.xaxis.set_major_locator(FixedLocator(_DEPTHS))
                    panel.xaxis.set_major_formatter("{x:.0f}")
                    panel.xaxis.set_minor_locator(NullLocator())
                for line, (counts, _) in zip(panel.get_lines(), lines.values(), strict=True):
                    line.set_data(*curve(counts))
                panel.relim()
            row[0].autoscale()  # over all panels of the row, which share their axes
            row[0].set_ylim(bottom=0)
        yield name, figure


def _frame(panels: Sequence[Mapping[str, Lines]], title: str) -> tuple["Figure", "NDArray[np.object_]"]:
    """Make a figure with an empty line for each curve, and a legend below each column, where it covers none."""
    from matplotlib.figure import Figure

    labels = max(len(lines) for lines_of_row in panels for lines in lines_of_row.values())
    bottom = 0.8 + _LEGEND_LINE * (1 + -(-labels // _LEGEND_COLUMNS))  # inches
    height = 4 * len(panels) + 0.1 + bottom
    figure = Figure(figsize=(5.5 * len(panels[0]), height), dpi=120)
    figure.subplots_adjust(bottom=bottom / height, top=1 - 0.7 / height, right=0.97, hspace=0.35)
    axes = figure.subplots(len(panels), len(panels[0]), squeeze=False, sharex="row", sharey="row")
    for row, lines_of_row in zip(axes, panels, strict=True):
        for panel, (heading, lines) in zip(row, lines_of_row.items(), strict=True):
            panel.set_title(heading, y=1.0)  # its usual place, which is not searched for
            panel.grid(alpha=0.3)
            for label, (_, style) in lines.items():
                panel.plot([], [], style, label=label, markersize=3)
    for column in axes.T:
        of_label = {line.get_label(): line for panel in column for line in panel.get_lines()}
        middle = column[-1].get_position().intervalx.mean(), (bottom - 0.5) / height
        figure.legend(
            handles=of_label.values(),
            loc="upper center",
            bbox_to_anchor=middle,
            ncols=_LEGEND_COLUMNS,
            fontsize="small",
            frameon=False,
        )
    if title:
        figure.suptitle(title)
    figure.supxlabel(RESEARCH_USE, fontsize="x-small")
    return figure, axes


def protocol_panels(
    rankings: Mapping[str, Mapping[Ranking, RankingCounts]], queries: Tensor
) -> list[dict[str, dict[str, tuple[RankingCounts, str]]]]:
    """Choose the lines of a test: a row for each database, a panel for each modality of the query.

    Args:
        rankings: Counts by database.
        queries: (Q,) bool, the queries to draw.
    """
    return [
        {
            f"{modality} queries, database {database}": _lines(of_database, queries, initial)
            for initial, modality in (("i", "image"), ("t", "text"))
        }
        for database, of_database in rankings.items()
    ]


def _lines(
    rankings: Mapping[Ranking, RankingCounts], queries: Tensor, initial: str
) -> dict[str, tuple[RankingCounts, str]]:
    """Choose the rankings of each search of a modality, their hyperplane null and chance."""
    lines: dict[str, tuple[RankingCounts, str]] = {}
    chances: dict[Side, RankingCounts] = {}
    for ranking, counts in rankings.items():
        if not ranking.direction.name.startswith(initial) or ranking.system not in (MODEL, HYPERPLANES):
            continue
        chosen = counts._replace(total=counts.total[queries], relevant=counts.relevant[queries], gains=None)
        of_model = ranking.system == MODEL
        search = f"{ranking.protocol}, {ranking.direction.name}"
        name = search if of_model else f"{search}, {ranking.system}"
        lines[name] = chosen, ".-" if of_model else ":"
        chances[ranking.direction.side] = tied(chosen)
    if len({counts.total.sum().item() for counts in chances.values()}) == 1:  # the sides hold the same items
        return lines | {CHANCE: (next(iter(chances.values())), "k--")}
    return lines | {f"{CHANCE}, {side}": (counts, _DASHES[side]) for side, counts in chances.items()}


def _precision_recall(counts: RankingCounts) -> Curve:
    precision, recall = functional.precision_recall_by_radius(counts.total, counts.relevant)
    if len(precision) == 1:  # chance has one level: the same precision at any recall
        return torch.tensor([0.0, 1.0]), precision.expand(2)
    return recall, precision


def _at_depths(values: Callable[[Tensor, Tensor, Tensor], Tensor], counts: RankingCounts) -> Curve:
    largest = int(counts.total.sum(1).max()) if len(counts.total) else 1
    depths = np.unique(np.geomspace(1, max(1, min(DEEPEST, largest)), _POINTS).round().astype(np.int64))
    of_queries = values(counts.total, counts.relevant, torch.from_numpy(depths))  # (Q, depths)
    return torch.from_numpy(depths), functional.mean_over_queries(of_queries)


_FIGURES: Sequence[tuple[str, Callable[[RankingCounts], Curve], str, str, str]] = (
    ("precision_recall.png", _precision_recall, "recall", "precision", "linear"),
    (
        "precision_at_n.png",
        partial(_at_depths, functional.precision_at),
        "N",
        "expected precision of the first N",
        "log",
    ),
    (
        "recall_at_n.png",
        partial(_at_depths, functional.recall_at),
        "N",
        "expected share of the relevant items in the first N",
        "log",
    ),
)
"""Name, curve, labels of the axes and scale of the first axis of each figure."""
