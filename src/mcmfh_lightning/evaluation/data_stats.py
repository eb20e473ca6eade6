"""The statistics of a folder as plain numbers: what ``stats.json`` holds.

The statistics as tables.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mcmfh_lightning.errors import without_controls
from mcmfh_lightning.evaluation.data_nulls import SplitTable, constant_rankings, null_values
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.shards.labels import describe_broad_labels, share_probability

TRAIN = "train"
_QUARTILES = ("least", "first_quartile", "median", "third_quartile", "most")


def summarise(info: DatasetInfo, tables: Mapping[str, SplitTable]) -> dict[str, Any]:
    """Compute everything that is shown, as plain JSON; what is not defined is None.

    Args:
        info: Content of ``dataset.json``.
        tables: Columns by split.
    """
    normal = None if info.normal_label is None else info.label_vocabulary.index(info.normal_label)
    constants = constant_rankings(tables[TRAIN], normal) if TRAIN in tables else None
    splits = {}
    for split, table in tables.items():
        hot = table.hot(info.num_labels)
        subsets = _subsets(hot, normal)
        splits[split] = {
            **_counts(table),
            "labels": dict(zip(info.label_vocabulary, hot.sum(axis=0).tolist(), strict=True)),
            "without_label": int((~hot.any(axis=1)).sum()),
            "labels_per_item": float(hot.sum(axis=1).mean()),
            "share_probability": _share_probability(hot, table.groups),
            "words": None if table.words is None else quartiles(table.words),
            "pictures": None if table.sizes is None else _pictures(table.sizes),
            "mAP@all": _defined(null_values(table, subsets, None if split == TRAIN else constants)),
        }
    return {
        "name": info.name,
        "format": info.format,
        "normal_label": info.normal_label,
        "splits": splits,
    }


def quartiles(values: NDArray[np.integer]) -> dict[str, float] | None:
    """Least, quartiles and greatest of some numbers; None of no number."""
    if values.size == 0:
        return None
    return dict(zip(_QUARTILES, np.percentile(values, (0, 25, 50, 75, 100)).tolist(), strict=True))


def _subsets(hot: NDArray[np.bool_], normal: int | None) -> dict[str, NDArray[np.bool_]]:
    subsets = {"all": np.ones(len(hot), dtype=np.bool_)}
    return subsets if normal is None else subsets | {"abnormal": ~hot[:, normal], "normal": hot[:, normal]}


def _counts(table: SplitTable) -> dict[str, Any]:
    image, text = table.present.T
    _, sizes = np.unique(table.groups, return_counts=True)
    of_size, times = np.unique(sizes, return_counts=True)
    return {
        "items": len(table.groups),
        "whole": int((image & text).sum()),
        "image_only": int((image & ~text).sum()),
        "text_only": int((text & ~image).sum()),
        "groups": len(sizes),
        "groups_by_size": {str(size): count for size, count in zip(of_size.tolist(), times.tolist(), strict=True)},
    }


def _share_probability(hot: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    names = [str(label) for label in range(hot.shape[1])]
    label_sets = [[names[label] for label in row.nonzero()[0]] for row in hot]
    return share_probability(label_sets, groups.tolist(), names)


def _pictures(sizes: NDArray[np.int64]) -> dict[str, Any]:
    return {"width": quartiles(sizes[:, 0]), "height": quartiles(sizes[:, 1])}


def _defined(content: Any) -> Any:  # noqa: ANN401  # plain JSON values
    """Turn NaN, which JSON does not have, into None."""
    if isinstance(content, dict):
        return {name: _defined(value) for name, value in content.items()}
    return None if content != content else content


_TOP_LABELS = 15
_NOT_A_RANKING = ("queries", "without_relevant")


def stats_tables(stats: Mapping[str, Any]) -> Group:
    """Render the splits, what learns nothing, the most frequent labels, and labels that make most items relevant."""
    return Group(_splits(stats), _nulls(stats), _labels(stats), *_broad_labels(stats))


def _broad_labels(stats: Mapping[str, Any]) -> list[Text]:
    """One line for the split where most items share a label, if any does."""
    split = max(stats["splits"].values(), key=lambda split: split["share_probability"], default=None)
    if split is None:
        return []
    shares = {label: count / split["items"] for label, count in split["labels"].items()}
    line = describe_broad_labels(split["share_probability"], shares, stats["normal_label"])
    return [Text(without_controls(line))] if line else []


def _splits(stats: Mapping[str, Any]) -> Table:
    table = Table(title=Text(f"{stats['name']} ({stats['format']})"), title_justify="left")
    for heading in ("split", "items", "image only", "text only", "groups", "largest", "labels/item", "unlabelled"):
        table.add_column(heading, justify="left" if heading == "split" else "right")
    table.add_column("P(share a label)", justify="right")
    table.add_column("words (quartiles)", justify="right")
    table.add_column("pixels (median)", justify="right")
    for name, split in stats["splits"].items():
        table.add_row(
            name,
            *(f"{split[key]:,}" for key in ("items", "image_only", "text_only", "groups")),
            max(split["groups_by_size"], key=int),
            f"{split['labels_per_item']:.2f}",
            f"{split['without_label']:,}",
            f"{split['share_probability']:.3f}",
            _words(split["words"]),
            _pixels(split["pictures"]),
        )
    return table


def _nulls(stats: Mapping[str, Any]) -> Table:
    """One line a database and query subset; sides that hold the same items share theirs."""
    names = dict.fromkeys(
        name
        for split in stats["splits"].values()
        for of_side in split["mAP@all"].values()
        for of_subset in of_side.values()
        for name in of_subset
        if name not in _NOT_A_RANKING
    )
    table = Table(
        title="Tie-aware mAP@all of what learns nothing; the split's whole pairs against itself, other groups only",
        title_justify="left",
    )
    for heading in ("split", "database", "queries"):
        table.add_column(heading)
    for heading in ("number", *names):
        table.add_column(heading, justify="right")
    for split, content in stats["splits"].items():
        for sides, of_side in _distinct(content["mAP@all"]):
            for subset, values in of_side.items():
                number = values["queries"] - values["without_relevant"]
                table.add_row(split, sides, subset, f"{number:,}", *(_short(values.get(name)) for name in names))
    return table


def _distinct(sides: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if all(value == sides["both"] for value in sides.values()):
        return [("all items", sides["both"])]
    return [("items that have both" if side == "both" else f"items that have {side}", sides[side]) for side in sides]


def _labels(stats: Mapping[str, Any]) -> Table:
    splits = stats["splits"]
    totals: dict[str, int] = {}
    for split in splits.values():
        for label, count in split["labels"].items():
            totals[label] = totals.get(label, 0) + count
    table = Table(title=f"{len(totals)} labels, the most frequent", title_justify="left")
    table.add_column("label")
    for split in splits:
        table.add_column(split, justify="right")
    for label in sorted(totals, key=lambda label: -totals[label])[:_TOP_LABELS]:
        shares = (split["labels"][label] / split["items"] for split in splits.values())
        table.add_row(Text(label), *(f"{share:.1%}" for share in shares))
    return table


def _words(words: Mapping[str, float] | None) -> str:
    if words is None:
        return "-"
    return f"{words['first_quartile']:.0f} / {words['median']:.0f} / {words['third_quartile']:.0f}"


def _pixels(pictures: Mapping[str, Mapping[str, float] | None] | None) -> str:
    width, height = (None, None) if pictures is None else (pictures["width"], pictures["height"])
    return "-" if width is None or height is None else f"{width['median']:.0f} x {height['median']:.0f}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
