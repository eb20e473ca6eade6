"""Precision-recall by Hamming radius, expected precision and recall at N, drawn without global state."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mcmfh_lightning.bench.summary import tied
from mcmfh_lightning.bench.table import RESEARCH_USE
from mcmfh_lightning.metrics import RankingCounts
from mcmfh_lightning.metrics.functional import mean_over_queries, precision_at, precision_recall_by_radius, recall_at

DEEPEST = 1000
_POINTS = 60

Curve = tuple[Tensor, Tensor]


def plot_ranking(folder: Path, counts: RankingCounts, constants: Mapping[str, RankingCounts], title: str) -> None:
    """Draw the codes beside chance and the constant rankings.

    Args:
        folder: Where ``precision_recall.png``, ``precision_at_n.png`` and ``recall_at_n.png`` go.
        counts: Of the codes.
        constants: Of constant rankings, by name.
        title: What this is of.
    """
    lines = {"codes": (counts, ".-"), "chance": (tied(counts), "k--")}
    lines |= {f"constant: {name}": (one, ":") for name, one in constants.items()}
    figures = (
        ("precision_recall.png", _precision_recall, "recall", "precision", "linear"),
        ("precision_at_n.png", _precision_at, "N", "expected precision of the first N", "log"),
        ("recall_at_n.png", _recall_at, "N", "expected share of the relevant items in the first N", "log"),
    )
    for name, curve, x_label, y_label, scale in figures:
        figure = Figure(figsize=(6.5, 4.5), dpi=120, layout="constrained")
        panel = figure.subplots()
        panel.set(title=title, xlabel=x_label, ylabel=y_label, xscale=scale)
        for label, (of_line, style) in lines.items():
            x, y = curve(of_line)
            panel.plot(x.numpy(), y.numpy(), style, label=label, markersize=3)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
        figure.supxlabel(RESEARCH_USE, fontsize="x-small")
        figure.savefig(folder / name)


def _precision_recall(counts: RankingCounts) -> Curve:
    precision, recall = precision_recall_by_radius(counts.total, counts.relevant)
    if len(precision) == 1:  # chance has one level: the same precision at any recall
        return torch.tensor([0.0, 1.0]), precision.expand(2)
    return recall, precision


def _precision_at(counts: RankingCounts) -> Curve:
    return _at_depths(precision_at, counts)


def _recall_at(counts: RankingCounts) -> Curve:
    return _at_depths(recall_at, counts)


def _at_depths(values: Callable[[Tensor, Tensor, Tensor], Tensor], counts: RankingCounts) -> Curve:
    deepest = max(1, min(DEEPEST, int(counts.total.sum(1).max())))
    depths = torch.from_numpy(np.unique(np.geomspace(1, deepest, _POINTS).round().astype(np.int64)))
    of_queries = values(counts.total, counts.relevant, depths)
    return depths, torch.stack([mean_over_queries(column) for column in of_queries.unbind(1)])
