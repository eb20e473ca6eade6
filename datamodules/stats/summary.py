"""The statistics of a folder as plain numbers: what ``stats.json`` holds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.datamodules.labels import share_probability
from mcmfh_lightning.datamodules.shards import DatasetInfo
from mcmfh_lightning.datamodules.stats.nulls import constant_rankings, null_values
from mcmfh_lightning.datamodules.stats.split_table import SplitTable

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
