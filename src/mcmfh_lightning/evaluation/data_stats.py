"""Statistics of a folder of shards as plain numbers, which ``stats.json`` holds.

They include what rankings that learn nothing score on a split: chance, and constant rankings by label popularity. These
are the nulls of the unseen database that `HammingRanking` reports, by the same kernels and the same closed forms, known
before anything is trained.
"""

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

from mcmfh_lightning.evaluation.nulls import ConstantRankings
from mcmfh_lightning.evaluation.protocols import CHANCE, LabeledItems
from mcmfh_lightning.metrics import LevelHistogram
from mcmfh_lightning.metrics.functional import average_precision, mean_over_queries
from mcmfh_lightning.shards import DatasetInfo, FeatureShardReader, PairShardReader, unpack_bits
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.labels import share_probability

TRAIN = "train"
QUERIES_PER_CHUNK = 1024
"""Queries whose levels are counted together: bounds the memory, some 16 kB a query."""
_QUARTILES = ("least", "first_quartile", "median", "third_quartile", "most")


@dataclass(frozen=True)
class SplitTable:
    """Columns of the N items of a split, without pictures and texts themselves.

    Attributes:
        items: Labels, groups and which modality is present.
        words: Number of words of each text; None for features, which do not hold texts.
        sizes: (pictures, 2) width and height in pixels; None for features.
    """

    items: LabeledItems
    words: NDArray[np.int64] | None = None
    sizes: NDArray[np.int64] | None = None


def read_split(folder: ShardFolder, info: DatasetInfo, split: str, console: Console) -> SplitTable:
    """Read the columns of a split.

    Args:
        folder: A folder of pair or feature shards.
        info: Content of its ``dataset.json``.
        split: A split that the folder has.
        console: Where progress is shown.

    Raises:
        DataError: If the folder is damaged; ``mcmfh-data verify`` says all that is.
    """
    if info.format == "mcmfh-features":
        return SplitTable(FeatureShardReader(folder, split))
    pairs = PairShardReader(folder, split)
    words, sizes = [], []
    for position in track(range(len(pairs)), f"reading {split}", console=console):
        pair = pairs[position]
        if pair.text is not None:
            words.append(len(pair.text.split()))
        if pair.image is not None:
            with Image.open(io.BytesIO(pair.image)) as image:  # the header only
                sizes.append(image.size)
    return SplitTable(pairs, np.array(words, dtype=np.int64), np.array(sizes, dtype=np.int64).reshape(-1, 2))


def summarize(info: DatasetInfo, tables: Mapping[str, SplitTable]) -> dict[str, Any]:
    """Compute everything that is shown, as plain JSON; undefined values are None.

    Args:
        info: Content of ``dataset.json``.
        tables: Columns by split.
    """
    normal = None if info.normal_label is None else info.label_vocabulary.index(info.normal_label)
    constants = None
    if TRAIN in tables:
        items = tables[TRAIN].items
        constants = ConstantRankings(items.labels[items.present.all(axis=1)], normal, torch.device("cpu"))
    splits = {
        split: _summary(info, normal, table, None if split == TRAIN else constants) for split, table in tables.items()
    }
    return {"name": info.name, "format": info.format, "normal_label": info.normal_label, "splits": splits}


def _summary(
    info: DatasetInfo, normal: int | None, table: SplitTable, constants: ConstantRankings | None
) -> dict[str, Any]:
    """Summarize one split."""
    items = table.items
    hot = unpack_bits(items.labels, info.num_labels)  # (N, num_labels) bool
    image, text = items.present.T
    sizes = Counter(Counter(items.groups.tolist()).values())  # number of groups by their number of items
    subsets = {"all": np.ones(len(hot), dtype=np.bool_)}
    if normal is not None:
        subsets |= {"abnormal": ~hot[:, normal], "normal": hot[:, normal]}
    names = [str(label) for label in range(info.num_labels)]
    label_sets = [[names[label] for label in row.nonzero()[0]] for row in hot]
    pictures = None
    if table.sizes is not None:
        pictures = {"width": quartiles(table.sizes[:, 0]), "height": quartiles(table.sizes[:, 1])}
    return {
        "items": len(items.groups),
        "whole": int((image & text).sum()),
        "image_only": int((image & ~text).sum()),
        "text_only": int((text & ~image).sum()),
        "groups": sizes.total(),
        "groups_by_size": {str(size): count for size, count in sorted(sizes.items())},
        "labels": dict(zip(info.label_vocabulary, hot.sum(axis=0).tolist(), strict=True)),
        "without_label": int((~hot.any(axis=1)).sum()),
        "labels_per_item": float(hot.sum(axis=1).mean()),
        "share_probability": share_probability(label_sets, items.groups.tolist(), names),
        "words": None if table.words is None else quartiles(table.words),
        "pictures": pictures,
        "mAP@all": _null_values(items, subsets, constants),
    }


def quartiles(values: NDArray[np.integer]) -> dict[str, float] | None:
    """Return least, quartiles and greatest of some numbers; None without numbers."""
    if values.size == 0:
        return None
    return dict(zip(_QUARTILES, np.percentile(values, (0, 25, 50, 75, 100)).tolist(), strict=True))


def _null_values(
    items: LabeledItems, subsets: Mapping[str, NDArray[np.bool_]], constants: ConstantRankings | None
) -> dict[str, Any]:
    """Rank a split for its own whole pairs, other groups only.

    Args:
        items: The split: queries and database.
        subsets: (N,) bool, items of the split by name of the query subset.
        constants: Constant rankings; None leaves them out.

    Returns:
        Tie-aware mAP@all by side of the database (the items that have an image, a text, both), query subset and name of
        the ranking, with the number of ``queries`` and of those ``without_relevant`` items; None where undefined.
    """
    whole = items.present.all(axis=1)
    labels, groups = torch.from_numpy(items.labels), torch.from_numpy(items.groups)
    queries = labels[torch.from_numpy(whole)], groups[torch.from_numpy(whole)]
    values: dict[str, Any] = {}
    known: dict[bytes, Any] = {}
    for side, members in {"image": items.present[:, 0], "text": items.present[:, 1], "both": whole}.items():
        if members.tobytes() not in known:  # of whole pairs alone, all sides are the same
            database = labels[torch.from_numpy(members)], groups[torch.from_numpy(members)]
            precisions = _precisions(queries, database, constants)
            known[members.tobytes()] = {
                subset: _means(precisions, torch.from_numpy(rows[whole])) for subset, rows in subsets.items()
            }
        values[side] = known[members.tobytes()]
    return values


def _precisions(
    queries: tuple[Tensor, Tensor], database: tuple[Tensor, Tensor], constants: ConstantRankings | None
) -> dict[str, Tensor]:
    """Compute the AP of each query, (Q,) float64, by name of the ranking."""
    rankings = {CHANCE: (2, torch.zeros(len(database[0]), dtype=torch.int64))}
    if constants is not None:
        rankings |= {name: (constants.num_levels[name], level) for name, level in constants.levels(database[0]).items()}
    precisions = {}
    for name, (num_levels, level) in rankings.items():
        values = [torch.empty(0, dtype=torch.float64)]  # there may be no query
        for start in range(0, len(queries[0]), QUERIES_PER_CHUNK):
            rows = slice(start, start + QUERIES_PER_CHUNK)
            histogram = LevelHistogram(num_levels)
            histogram.set_queries(queries[0][rows], queries[1][rows])
            histogram.update(level, *database)
            counts = histogram.compute()
            values.append(average_precision(counts.total, counts.relevant))
        precisions[name] = torch.cat(values)
    return precisions


def _means(precisions: Mapping[str, Tensor], rows: Tensor) -> dict[str, float | None]:
    chance = precisions[CHANCE][rows]
    means: dict[str, float | None] = {"queries": len(chance), "without_relevant": int(chance.isnan().sum())}
    for name, values in precisions.items():
        mean = float(mean_over_queries(values[rows]))
        means[name] = None if np.isnan(mean) else mean  # JSON has no NaN
    return means
