"""The statistics as figures, drawn without global state."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mcmfh_lightning.evaluation.data_nulls import SplitTable

_MOST_LABELS = 40
_NOT_A_RANKING = ("queries", "without_relevant")

Tables = Mapping[str, SplitTable]


def plot_stats(folder: Path, stats: Mapping[str, Any], tables: Tables) -> list[Path]:
    """Draw every figure that the folder has something for.

    Args:
        folder: Where ``labels.png``, ``nulls.png``, ``groups.png`` go; of pairs ``words.png`` and ``pictures.png`` too.
        stats: What `summarise` made.
        tables: Columns by split.

    Returns:
        The files written.
    """
    figures: dict[str, Callable[[Axes], None]] = {
        "labels": lambda panel: _labels(panel, stats["splits"]),
        "nulls": lambda panel: _nulls(panel, stats["splits"]),
        "groups": lambda panel: _groups(panel, stats["splits"]),
    }
    if any(table.words is not None and len(table.words) for table in tables.values()):
        figures["words"] = lambda panel: _words(panel, tables)
    if any(table.sizes is not None and len(table.sizes) for table in tables.values()):
        figures["pictures"] = lambda panel: _pictures(panel, tables)
    return [_draw(folder / f"{name}.png", draw, stats["name"]) for name, draw in figures.items()]


def _draw(path: Path, draw: Callable[[Axes], None], title: str) -> Path:
    figure = Figure(figsize=(10, 4.5), dpi=120, layout="constrained")
    figure.suptitle(title)
    panel = figure.subplots()
    draw(panel)
    panel.grid(alpha=0.3)
    panel.set_axisbelow(True)
    panel.legend(fontsize="small")
    figure.savefig(path)
    return path


def _labels(panel: Axes, splits: Mapping[str, Any]) -> None:
    """Share of the items that carry each of the most frequent labels."""
    labels = list(next(iter(splits.values()))["labels"])
    totals = {label: sum(split["labels"][label] for split in splits.values()) for label in labels}
    shown = sorted(labels, key=lambda label: -totals[label])[:_MOST_LABELS]
    _bars(panel, shown, {name: [split["labels"][x] / split["items"] for x in shown] for name, split in splits.items()})
    panel.set(ylabel="share of items", title=f"the {len(shown)} most frequent of {len(labels)} labels")
    panel.tick_params(axis="x", labelrotation=90, labelsize="x-small")


def _nulls(panel: Axes, splits: Mapping[str, Any]) -> None:
    """What learns nothing, by split and query subset; databases of items that have both."""
    columns = {
        f"{name}\n{subset} queries": values
        for name, split in splits.items()
        for subset, values in split["mAP@all"]["both"].items()
    }
    names = dict.fromkeys(name for values in columns.values() for name in values if name not in _NOT_A_RANKING)
    _bars(panel, list(columns), {n: [values.get(n) or np.nan for values in columns.values()] for n in names})
    panel.set(ylabel="tie-aware mAP@all", title="rankings that learn nothing, against the other groups of the split")
    panel.tick_params(axis="x", labelsize="x-small")


def _groups(panel: Axes, splits: Mapping[str, Any]) -> None:
    sizes = sorted({int(size) for split in splits.values() for size in split["groups_by_size"]})
    _bars(
        panel,
        [str(size) for size in sizes],
        {
            name: [split["groups_by_size"].get(str(size), 0) / split["groups"] for size in sizes]
            for name, split in splits.items()
        },
    )
    panel.set(xlabel="items of a group", ylabel="share of groups")


def _words(panel: Axes, tables: Tables) -> None:
    longest = max(int(table.words.max(initial=1)) for table in tables.values() if table.words is not None)
    for name, table in tables.items():
        if table.words is not None and len(table.words):
            panel.hist(table.words, bins=50, range=(0, longest), density=True, histtype="step", label=name)
    panel.set(xlabel="words of a text", ylabel="density")


def _pictures(panel: Axes, tables: Tables) -> None:
    for name, table in tables.items():
        if table.sizes is not None:
            panel.plot(table.sizes[:, 0], table.sizes[:, 1], ".", alpha=0.3, markersize=4, label=name)
    panel.set(xlabel="width in pixels", ylabel="height in pixels")


def _bars(panel: Axes, labels: list[str], series: Mapping[str, list[float]]) -> None:
    """Bars side by side."""
    width = 0.8 / len(series)
    for number, (name, heights) in enumerate(series.items()):
        panel.bar(np.arange(len(labels)) + (number + 0.5) * width - 0.4, heights, width, label=name)
    panel.set_xticks(range(len(labels)), labels)
