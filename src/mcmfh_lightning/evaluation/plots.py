"""Precision-recall by Hamming radius, expected precision and recall at N, drawn without global state."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mcmfh_lightning.evaluation.protocols import PROTOCOLS, Side, database_side
from mcmfh_lightning.evaluation.stream import CHANCE, HYPERPLANES, MODEL, Ranking
from mcmfh_lightning.metrics import RankingCounts
from mcmfh_lightning.metrics.functional import (
    mean_over_queries,
    precision_at,
    precision_recall_by_radius,
    recall_at,
    tie_all,
)

DEEPEST = 1000
_POINTS = 60
_DASHES: Mapping[Side, str] = {"image": "k--", "text": "k--", "both": "k-."}
"""Of chance: a panel has the modality that its queries have not, and items that have both."""
_MODALITIES = ("image queries", "text queries")

Curve = tuple[Tensor, Tensor]


def ranking_figures(
    rankings: Mapping[str, Mapping[Ranking, RankingCounts]], queries: Tensor, title: str
) -> dict[str, Figure]:
    """Draw the figures: a row for each database, a column for each modality of the query.

    Args:
        rankings: Counts by database.
        queries: (Q,) bool, the queries to draw.
        title: What these queries are.

    Returns:
        Figures by the name of their file.
    """
    figures = (
        ("precision_recall.png", _precision_recall, "recall", "precision", "linear"),
        ("precision_at_n.png", _precision_at, "N", "expected precision of the first N", "log"),
        ("recall_at_n.png", _recall_at, "N", "expected share of the relevant items in the first N", "log"),
    )
    drawn = {}
    for name, curve, x_label, y_label, scale in figures:
        drawn[name] = _figure(rankings, queries, curve, x_label, y_label, scale)
        drawn[name].suptitle(title)
    return drawn


def _figure(
    rankings: Mapping[str, Mapping[Ranking, RankingCounts]],
    queries: Tensor,
    curve: Callable[[Tensor, Tensor], Curve],
    x_label: str,
    y_label: str,
    scale: str,
) -> Figure:
    figure = Figure(figsize=(10, 4 * len(rankings)), dpi=120)
    figure.subplots_adjust(left=0.07, right=0.98, hspace=0.35)
    panels = figure.subplots(len(rankings), 2, squeeze=False, sharex="row", sharey="row")
    for row, (database, of_database) in enumerate(rankings.items()):
        for column, modality in enumerate(_MODALITIES):
            panel = panels[row][column]
            panel.set(title=f"{modality}, database {database}", xlabel=x_label, ylabel=y_label, xscale=scale)
            for label, style, (total, relevant) in _lines(of_database, queries, column):
                x, y = curve(total, relevant)
                panel.plot(x.numpy(), y.numpy(), style, label=label, markersize=3)
            panel.set_ylim(bottom=0)
            panel.grid(alpha=0.3)
            panel.legend(fontsize="small")
    return figure


def _lines(
    rankings: Mapping[Ranking, RankingCounts], queries: Tensor, modality: int
) -> Sequence[tuple[str, str, tuple[Tensor, Tensor]]]:
    """(label, style, counts) of each method's ranking, its hyperplane null and chance."""
    lines = []
    chances: dict[Side, tuple[Tensor, Tensor]] = {}
    for ranking, counts in rankings.items():
        if ranking.system not in (MODEL, HYPERPLANES):
            continue
        if ranking.direction != PROTOCOLS[ranking.protocol][modality].name:
            continue
        chosen = counts.total[queries], counts.relevant[queries]
        null = ranking.system == HYPERPLANES
        label = f"{ranking.protocol}, {ranking.system}" if null else ranking.protocol
        lines.append((label, ":" if null else ".-", chosen))
        chances[database_side(ranking.protocol, ranking.direction)] = tie_all(chosen[0]), tie_all(chosen[1])
    if len({total.sum().item() for total, _ in chances.values()}) == 1:  # the sides hold the same items
        return [*lines, (CHANCE, "k--", next(iter(chances.values())))]
    return [*lines, *((f"{CHANCE}, {side}", _DASHES[side], tied) for side, tied in chances.items())]


def _precision_recall(total: Tensor, relevant: Tensor) -> Curve:
    precision, recall = precision_recall_by_radius(total, relevant)
    if len(precision) == 1:  # chance has one level: the same precision at any recall
        return torch.tensor([0.0, 1.0]), precision.expand(2)
    return recall, precision


def _precision_at(total: Tensor, relevant: Tensor) -> Curve:
    return _at_depths(precision_at, total, relevant)


def _recall_at(total: Tensor, relevant: Tensor) -> Curve:
    return _at_depths(recall_at, total, relevant)


def _at_depths(values: Callable[[Tensor, Tensor, Tensor], Tensor], total: Tensor, relevant: Tensor) -> Curve:
    largest = int(total.sum(1).max()) if len(total) else 1
    depths = np.unique(np.geomspace(1, max(1, min(DEEPEST, largest)), _POINTS).round().astype(np.int64))
    of_queries = values(total, relevant, torch.from_numpy(depths))
    return torch.from_numpy(depths), torch.stack([mean_over_queries(column) for column in of_queries.unbind(1)])
