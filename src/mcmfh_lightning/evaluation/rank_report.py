"""The numbers of a report, each a function of the counts.

From counts to the rows of a report: values, intervals, bounds, chance, the better constant ranking, labels.

The report as files: results.json, results.csv, labels.csv.

Precision-recall by Hamming radius, expected precision and recall at N, drawn without global state.

The report as a table.
"""

import csv
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from mcmfh_lightning import __version__
from mcmfh_lightning.evaluation.codes import Items
from mcmfh_lightning.evaluation.task import CONSTANTS, Task
from mcmfh_lightning.metrics import RankingCounts
from mcmfh_lightning.metrics.functional import (
    average_cumulative_gain,
    average_precision,
    average_precision_bounds,
    bootstrap_means,
    bootstrap_weights,
    legacy_first_hits_mean_average_precision,
    legacy_mean_average_precision,
    mean_by_label,
    mean_over_queries,
    ndcg,
    percentile_interval,
    precision_at,
    precision_recall_by_radius,
    precision_within_radius,
    recall_at,
    tie_all,
    unpack_bits,
)

RADIUS = 2
"""Of the hash-table look-up that P@H<=r speaks of."""


class Statistic(NamedTuple):
    """A number that each query has."""

    name: str
    k: int | None
    denominator: str
    per_query: Callable[[RankingCounts], Tensor]
    """From the counts to (Q,) float64, NaN for queries without relevant items."""
    bounds: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    """Worst and best value over the orders of tied items, from (Q, L) counts, all and relevant."""
    of_distances: bool = False
    """Whether it speaks of Hamming distances, which constant rankings have not."""


def statistics(ks: Sequence[int]) -> list[Statistic]:
    """mAP@all; mAP@k, P@k, R@k, NDCG@k and ACG@k for each k; P@H<=2.

    Args:
        ks: Depths.
    """
    return [
        Statistic(
            "mAP@all", None, "R", lambda counts: average_precision(*_binary(counts)), bounds=average_precision_bounds
        ),
        *(statistic for k in ks for statistic in _of_depth(k)),
        Statistic(
            f"P@H<={RADIUS}",
            None,
            "items found",
            lambda counts: precision_within_radius(*_binary(counts), radius=RADIUS),
            of_distances=True,
        ),
    ]


def _of_depth(k: int) -> list[Statistic]:
    depth = torch.tensor([k])
    return [
        Statistic(
            f"mAP@{k}",
            k,
            "min(k, R)",
            lambda counts: average_precision(*_binary(counts), k=k),
            bounds=partial(average_precision_bounds, k=k),
        ),
        Statistic(f"P@{k}", k, "k", lambda counts: precision_at(*_binary(counts), depth)[:, 0]),
        Statistic(f"R@{k}", k, "R", lambda counts: recall_at(*_binary(counts), depth)[:, 0]),
        Statistic(f"NDCG@{k}", k, "ideal DCG", lambda counts: ndcg(counts.total, *counts.grades(), k)),
        Statistic(f"ACG@{k}", k, "k", lambda counts: average_cumulative_gain(counts.total, counts.grades()[0], k)),
    ]


def _binary(counts: RankingCounts) -> tuple[Tensor, Tensor]:
    return counts.total, counts.relevant


DRAWS = 1000
"""Bootstrap resamples."""


@dataclass(frozen=True)
class Row:
    """One metric; a number that is not defined is NaN."""

    metric: str
    k: int | None
    denominator: str
    value: float
    low: float = nan
    high: float = nan
    pessimistic: float = nan
    optimistic: float = nan
    chance: float = nan
    constant: float = nan
    """Of the better of the constant rankings, which is `constant_ranking`."""
    constant_ranking: str = ""
    num_queries: int = 0
    """Queries in the mean."""


@dataclass(frozen=True)
class LabelRow:
    """One metric over the queries that carry a label; a number that is not defined is NaN."""

    label: str
    metric: str
    value: float
    chance: float
    num_queries: int
    """Queries that carry the label and have relevant items."""
    database_items: int


def summarise(
    counts: RankingCounts, constants: Mapping[str, RankingCounts], groups: Tensor, ks: Sequence[int], seed: int
) -> list[Row]:
    """Rows of every metric, over the queries that have relevant items.

    Args:
        counts: Of the codes.
        constants: Of constant rankings, by name.
        groups: (Q,) int64, what the bootstrap resamples.
        ks: Depths.
        seed: Seed of the bootstrap.
    """
    counted = counts.relevant.sum(1) > 0
    weights = bootstrap_weights(groups[counted], DRAWS, seed)
    kept = _rows(counts, counted)
    of_constants = {name: _rows(one, counted) for name, one in constants.items()}
    return [_row(statistic, kept, of_constants, weights) for statistic in statistics(ks)]


def label_rows(counts: RankingCounts, task: Task, names: Sequence[str], ks: Sequence[int]) -> list[LabelRow]:
    """Mean average precisions label by label, for labels that a query carries.

    Args:
        counts: Of the codes.
        task: Has the labels.
        names: Of the labels, by position.
        ks: Depths.
    """
    items = _carriers(task.database.labels, len(names))
    carried = _carriers(task.query.labels, len(names))
    rows = []
    for statistic in (one for one in statistics(ks) if one.bounds is not None):
        values, numbers = mean_by_label(statistic.per_query(counts), task.query.labels, len(names))
        chances, _ = mean_by_label(statistic.per_query(tied(counts)), task.query.labels, len(names))
        rows += [
            LabelRow(name, statistic.name, float(values[at]), float(chances[at]), int(numbers[at]), int(items[at]))
            for at, name in enumerate(names)
            if carried[at]
        ]
    return rows


def legacy_rows(task: Task, ks: Sequence[int]) -> list[Row]:
    """What published evaluators would say: ties by position, no item left out, a query without hits counts 0.

    Args:
        task: The files in their order.
        ks: Depths.
    """
    tensors = task.query.codes, task.database.codes, task.query.labels, task.database.labels
    number = len(task.query)
    rows = []
    for k in ks:
        value = legacy_mean_average_precision(*tensors, k=k)
        rows.append(Row(f"legacy mAP@{k}", k, "hits in the first k", float(value), num_queries=number))
    for name, hits in [*((f"@{k}", k) for k in ks), ("@all", len(task.database))]:
        value = legacy_first_hits_mean_average_precision(*tensors, k=hits)
        k_or_none = None if name == "@all" else hits
        rows.append(Row(f"legacy first-hits mAP{name}", k_or_none, "min(k, R)", float(value), num_queries=number))
    return rows


def tied(counts: RankingCounts) -> RankingCounts:
    """The same items, every one tied: chance."""
    gains, _ = counts.grades()
    return counts._replace(total=tie_all(counts.total), relevant=tie_all(counts.relevant), gains=tie_all(gains))


def _row(statistic: Statistic, counts: RankingCounts, constants: Mapping[str, RankingCounts], weights: Tensor) -> Row:
    values = statistic.per_query(counts)
    low, high = _interval(values, weights)
    name, constant = "", nan
    if not statistic.of_distances and len(values):
        means = {one: float(mean_over_queries(statistic.per_query(levels))) for one, levels in constants.items()}
        name = max(means, key=means.__getitem__)
        constant = means[name]
    worst, best = _bounds(statistic, counts)
    return Row(
        statistic.name,
        statistic.k,
        statistic.denominator,
        float(mean_over_queries(values)),
        low,
        high,
        worst,
        best,
        float(mean_over_queries(statistic.per_query(tied(counts)))),
        constant,
        name,
        len(values),
    )


def _bounds(statistic: Statistic, counts: RankingCounts) -> tuple[float, float]:
    if statistic.bounds is None:
        return nan, nan
    worst, best = statistic.bounds(counts.total, counts.relevant)
    return float(mean_over_queries(worst)), float(mean_over_queries(best))


def _interval(values: Tensor, weights: Tensor) -> tuple[float, float]:
    if len(values) == 0:
        return nan, nan
    low, high = percentile_interval(bootstrap_means(values[:, None], weights))
    return float(low), float(high)


def _rows(counts: RankingCounts, kept: Tensor) -> RankingCounts:
    """The counts of some queries."""
    gains, shared = counts.grades()
    return counts._replace(
        total=counts.total[kept], relevant=counts.relevant[kept], gains=gains[kept], shared=shared[kept]
    )


def _carriers(labels: Tensor, num_labels: int) -> Tensor:
    """Items that carry each label, (num_labels,) int64."""
    return unpack_bits(labels)[:, :num_labels].sum(0)


RESEARCH_USE = "Research use, not diagnosis."


def rank_table(rows: Sequence[Row], task: Task) -> Table:
    """One line for each metric.

    Args:
        rows: Rows of the report.
        task: What they are of.
    """
    first = rows[0]
    without = len(task.query) - first.num_queries
    numbers = (
        f"{len(task.query):,} queries ({without:,} without relevant items, left out), {len(task.database):,} items, "
        f"{task.query.num_bits} bits, {task.query.num_labels} labels"
    )
    readings = f"codes were read as: {task.query.reading} (queries), {task.database.reading} (database)"
    excluded = f"left out of each ranking: {task.excluded}"
    foot = [readings, excluded, _constants_used(rows), _legacy_note(rows), RESEARCH_USE]
    title = f"Tie-aware ranking metrics{', ' if task.direction else ''}{task.direction}\n{numbers}"
    made = Table(title=title, caption="\n".join(filter(None, foot)))
    made.add_column("metric", no_wrap=True)
    made.add_column("divided by", no_wrap=True)
    for heading in ("value", f"95 % over {task.resampled}", "worst to best order", "chance", "best constant"):
        made.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        made.add_row(
            row.metric,
            row.denominator,
            _short(row.value),
            escape(_span(row.low, row.high)),
            escape(_span(row.pessimistic, row.optimistic)),
            _short(row.chance),
            _short(row.constant),
        )
    return made


def _constants_used(rows: Sequence[Row]) -> str:
    names = dict.fromkeys(row.constant_ranking for row in rows if row.constant_ranking)
    if not names:
        return ""
    return "constant rankings read the database's labels: " + "; ".join(f"{name}: {CONSTANTS[name]}" for name in names)


def _legacy_note(rows: Sequence[Row]) -> str:
    if not any(row.metric.startswith("legacy") for row in rows):
        return ""
    return "legacy rows break ties by position, leave nothing out and count queries without hits as 0"


def _span(low: float, high: float) -> str:
    return "-" if isnan(low) else f"[{_short(low)}, {_short(high)}]"


def _short(value: float) -> str:
    return "-" if isnan(value) else f"{value:.4f}"


def write_json(path: Path, rows: Sequence[Row], task: Task, seed: int) -> None:
    """Write every number by metric, and what it is of.

    Args:
        path: File to write; what is undefined is left out.
        rows: Rows of the report.
        task: What they are of.
        seed: Seed of the intervals.
    """
    counted = rows[0].num_queries
    content = {
        "package": f"mcmfh-lightning {__version__}",
        "research_use": RESEARCH_USE,
        **({"direction": task.direction} if task.direction else {}),
        "query": _file(task.query) | {"without_relevant": len(task.query) - counted},
        "database": _file(task.database),
        "num_bits": task.query.num_bits,
        "num_labels": task.query.num_labels,
        "relevant": "shares at least one label",
        "gain": "number of labels shared",
        "left_out_of_each_ranking": task.excluded,
        "interval": {"level": 0.95, "resampled": task.resampled, "draws": DRAWS, "seed": seed},
        "constant_rankings": {name: f"reads the database's labels: {what}" for name, what in CONSTANTS.items()},
        "warnings": list(task.warnings),
        "results": {row.metric: _defined(asdict(row), without="metric") for row in rows},
    }
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Row] | Sequence[LabelRow], kind: type[Row] | type[LabelRow]) -> None:
    """Write one line for each row, under the names of its fields.

    Args:
        path: File to write; what is undefined stays empty.
        rows: Rows of the report; there may be none.
        kind: Their class.
    """
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)])
        writer.writeheader()
        writer.writerows(_defined(asdict(row)) for row in rows)


def _file(items: Items) -> dict[str, Any]:
    with items.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "file": items.path.name,
        "sha256": digest,
        "number": len(items),
        "keys": asdict(items.keys),
        "codes_read_as": items.reading,
        "zero_signs": items.zeros,
    }


def _defined(values: Mapping[str, Any], without: str = "") -> dict[str, Any]:
    undefined = ("", None)
    return {
        name: value
        for name, value in values.items()
        if name != without and value not in undefined and (not isinstance(value, float) or isfinite(value))
    }


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
