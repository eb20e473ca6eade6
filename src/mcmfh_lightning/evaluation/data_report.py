"""Tables and figures of the statistics of a folder."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.text import Text

from mcmfh_lightning.evaluation.data_stats import SplitTable
from mcmfh_lightning.figures import save_figure
from mcmfh_lightning.shards.labels import describe_broad_labels
from mcmfh_lightning.tables import counted, make_table, paragraph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TOP_LABELS = 15
_DRAWN_LABELS = 40
_NOT_A_RANKING = ("queries", "without_relevant")

Stats = Mapping[str, Any]
"""Content of ``stats.json``."""


def stats_tables(stats: Stats) -> Group:
    """Render the splits, rankings that learn nothing, the most frequent labels, and labels that are on most items."""
    gap = Text("")
    parts: list[Group | Text] = [_splits(stats), gap, _nulls(stats["splits"]), gap, _labels(stats["splits"])]
    broadest = max(stats["splits"].values(), key=lambda split: split["share_probability"], default=None)
    if broadest is not None:
        shares = {label: count / broadest["items"] for label, count in broadest["labels"].items()}
        if line := describe_broad_labels(broadest["share_probability"], shares, stats["normal_label"]):
            parts.append(paragraph(line))
    return Group(*parts)


_COUNTS = {
    "items": "items",
    "image_only": "with an image only",
    "text_only": "with a text only",
    "without_label": "without a label",
    "groups": "groups",
}


def _splits(stats: Stats) -> Group:
    """List the splits side by side: a collection has three at most, and each has a dozen numbers."""
    columns = {name: _split(split) for name, split in stats["splits"].items()}
    names = next(iter(columns.values()), {})
    rows = [(name, *(column[name] for column in columns.values())) for name in names]
    return make_table(f"{stats['name']} ({stats['format']})", ("", *columns), rows, numbers=list(columns))


def _split(split: Mapping[str, Any]) -> dict[str, str]:
    words = [split["words"][key] for key in ("first_quartile", "median", "third_quartile") if split["words"]]
    sides = [side["median"] for side in (split["pictures"] or {}).values() if side is not None]
    return {
        **{shown: f"{split[key]:,}" for key, shown in _COUNTS.items()},
        "items of the largest group": max(split["groups_by_size"], key=int),
        "labels an item": f"{split['labels_per_item']:.2f}",
        "P(share a label)": f"{split['share_probability']:.3f}",
        "words of a text (quartiles)": " / ".join(f"{count:.0f}" for count in words) or "-",
        "pixels of a picture (median)": " x ".join(f"{side:.0f}" for side in sides) or "-",
    }


def _rankings(values: list[Mapping[str, Any]]) -> list[str]:
    """List the rankings that learn nothing, in the order in which they occur."""
    return list(dict.fromkeys(name for ranked in values for name in ranked if name not in _NOT_A_RANKING))


def _nulls(splits: Mapping[str, Any]) -> Group:
    """List a line for each database and query subset; sides that hold the same items share theirs."""
    rows = []
    for split, content in splits.items():
        sides = content["mAP@all"]
        shown = {"items that have image": "image", "items that have text": "text", "items that have both": "both"}
        if all(value == sides["both"] for value in sides.values()):
            shown = {"all items": "both"}
        rows += [(split, s, subset, values) for s, key in shown.items() for subset, values in sides[key].items()]
    names = _rankings([values for *_, values in rows])
    headings = [name.replace(" ", "\n") for name in names]
    cells = [
        (
            *row,
            f"{values['queries'] - values['without_relevant']:,}",
            *("-" if values.get(name) is None else f"{values[name]:.3f}" for name in names),
        )
        for *row, values in rows
    ]
    return make_table(
        "mAP@all of what learns nothing: whole pairs of a split against its items of other groups; ties in closed form",
        ("split", "database", "queries", "number", *headings),
        cells,
        numbers=("number", *headings),
    )


def _frequent(splits: Mapping[str, Any]) -> list[str]:
    """List all labels, the most frequent first."""
    totals: Counter[str] = Counter()
    for split in splits.values():
        totals.update(split["labels"])
    return [label for label, _ in totals.most_common()]


def _labels(splits: Mapping[str, Any]) -> Group:
    labels = _frequent(splits)
    rows = [
        (label, *(f"{split['labels'][label] / split['items']:.1%}" for split in splits.values()))
        for label in labels[:_TOP_LABELS]
    ]
    more = ", the most frequent" if len(labels) > _TOP_LABELS else ""
    return make_table(f"{counted(len(labels), 'label')}{more}", ("label", *splits), rows, numbers=list(splits))


def plot_stats(folder: Path, stats: Stats, tables: Mapping[str, SplitTable]) -> list[Path]:
    """Draw every figure that the folder has something for, without global state of matplotlib.

    Args:
        folder: Folder of ``labels.png``, ``nulls.png``, ``groups.png``, and for pairs ``words.png`` and
            ``pictures.png``.
        stats: Numbers that `summarize` made.
        tables: Columns by split.

    Returns:
        The files written.
    """
    from matplotlib.figure import Figure

    splits = stats["splits"]
    words = {name: table.words for name, table in tables.items() if table.words is not None and len(table.words)}
    sizes = {name: table.sizes for name, table in tables.items() if table.sizes is not None}
    figures: dict[str, tuple[Callable[[Axes, Any], None], Mapping[str, Any]]] = {
        "labels": (_plot_labels, splits),
        "nulls": (_plot_nulls, splits),
        "groups": (_plot_groups, splits),
    }
    if words:
        figures["words"] = _plot_words, words
    if any(map(len, sizes.values())):
        figures["pictures"] = _plot_sizes, sizes
    for name, (draw, content) in figures.items():
        figure = Figure(figsize=(10, 4.5), dpi=120, layout="constrained")
        figure.suptitle(stats["name"])
        panel = figure.subplots()
        draw(panel, content)
        panel.grid(alpha=0.3)
        panel.set_axisbelow(True)
        panel.legend(fontsize="small")
        save_figure(figure, folder / f"{name}.png")
    return [folder / f"{name}.png" for name in figures]


def _bars(panel: "Axes", labels: list[str], series: Mapping[str, list[float]]) -> None:
    """Draw bars side by side."""
    width = 0.8 / len(series)
    for number, (name, heights) in enumerate(series.items()):
        panel.bar(np.arange(len(labels)) + (number + 0.5) * width - 0.4, heights, width, label=name)
    panel.set_xticks(range(len(labels)), labels)


def _plot_labels(panel: "Axes", splits: Mapping[str, Any]) -> None:
    """Draw the share of the items that carry each of the most frequent labels."""
    labels = _frequent(splits)
    shown = labels[:_DRAWN_LABELS]
    _bars(panel, shown, {name: [split["labels"][x] / split["items"] for x in shown] for name, split in splits.items()})
    panel.set(ylabel="share of items", title=f"the {len(shown)} most frequent of {len(labels)} labels")
    panel.tick_params(axis="x", labelrotation=90, labelsize="x-small")


def _plot_nulls(panel: "Axes", splits: Mapping[str, Any]) -> None:
    """Draw rankings that learn nothing, by split and query subset; databases of items that have both."""
    columns = {
        f"{name}\n{subset} queries": values
        for name, split in splits.items()
        for subset, values in split["mAP@all"]["both"].items()
    }
    names = _rankings(list(columns.values()))
    _bars(panel, list(columns), {n: [values.get(n) or np.nan for values in columns.values()] for n in names})
    panel.set(ylabel="tie-aware mAP@all", title="rankings that learn nothing, against the other groups of the split")
    panel.tick_params(axis="x", labelsize="x-small")


def _plot_groups(panel: "Axes", splits: Mapping[str, Any]) -> None:
    sizes = sorted({int(size) for split in splits.values() for size in split["groups_by_size"]})
    series = {
        name: [split["groups_by_size"].get(str(size), 0) / split["groups"] for size in sizes]
        for name, split in splits.items()
    }
    _bars(panel, [str(size) for size in sizes], series)
    panel.set(xlabel="items of a group", ylabel="share of groups")


def _plot_words(panel: "Axes", words: Mapping[str, NDArray[np.int64]]) -> None:
    longest = max(int(counts.max()) for counts in words.values())
    for name, counts in words.items():
        panel.hist(counts, bins=50, range=(0, max(1, longest)), density=True, histtype="step", label=name)
    panel.set(xlabel="words of a text", ylabel="density")


def _plot_sizes(panel: "Axes", sizes: Mapping[str, NDArray[np.int64]]) -> None:
    for name, pixels in sizes.items():
        panel.plot(pixels[:, 0], pixels[:, 1], ".", alpha=0.3, markersize=4, label=name)
    panel.set(xlabel="width in pixels", ylabel="height in pixels")
