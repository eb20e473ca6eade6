"""What rankings that learn nothing score on a split: chance, and constant rankings by label popularity.

Exactly what `HammingRanking` reports as nulls of the unseen database: the same kernels and the same closed forms, here
known before anything is trained.

What the statistics of a split are made of: its columns, without pictures and texts themselves.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

from mcmfh_lightning.evaluation.nulls import ConstantRankings
from mcmfh_lightning.metrics import LevelHistogram
from mcmfh_lightning.metrics.functional import average_precision, mean_over_queries
from mcmfh_lightning.shards import DatasetInfo, FeatureShardReader, Pair, PairShardReader, unpack_bits
from mcmfh_lightning.shards.folder import ShardFolder


@dataclass(frozen=True)
class SplitTable:
    """Columns of the N items of a split.

    Attributes:
        labels: (N, ceil(num_labels / 8)) uint8, packed.
        groups: (N,) int64.
        present: (N, 2) bool: whether an item has an image, a text.
        words: Number of words of each text; None for features, which do not hold texts.
        sizes: (pictures, 2) width and height in pixels; None for features.
    """

    labels: NDArray[np.uint8]
    groups: NDArray[np.int64]
    present: NDArray[np.bool_]
    words: NDArray[np.int64] | None = None
    sizes: NDArray[np.int64] | None = None

    def hot(self, num_labels: int) -> NDArray[np.bool_]:
        """Labels as (N, num_labels) bool."""
        return unpack_bits(self.labels, num_labels)


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
        features = FeatureShardReader(folder, split)
        return SplitTable(features.labels, features.groups, features.present)
    pairs = PairShardReader(folder, split)
    steps = track(range(len(pairs)), f"reading {split}", console=console)
    words, sizes = _measure(pairs[position] for position in steps)
    return SplitTable(pairs.labels, pairs.groups, pairs.present, words, sizes)


def _measure(pairs: Iterable[Pair]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    words, sizes = [], []
    for pair in pairs:
        if pair.text is not None:
            words.append(len(pair.text.split()))
        if pair.image is not None:
            with Image.open(io.BytesIO(pair.image)) as image:  # the header only
                sizes.append(image.size)
    return np.array(words, dtype=np.int64), np.array(sizes, dtype=np.int64).reshape(-1, 2)


CHANCE = "chance"
QUERIES_PER_CHUNK = 1024
"""Queries whose levels are counted in one go: bounds the memory, some 16 kB a query."""

Values = dict[str, dict[str, dict[str, float]]]


def constant_rankings(training: SplitTable, normal_label: int | None) -> ConstantRankings:
    """Return the constant rankings that the training pairs give."""
    whole = training.present.all(axis=1)
    return ConstantRankings(training.labels[whole], normal_label, torch.device("cpu"))


def null_values(
    table: SplitTable, subsets: Mapping[str, NDArray[np.bool_]], constants: ConstantRankings | None
) -> Values:
    """Rank a split for its own whole pairs, other groups only.

    Args:
        table: The split: queries and database.
        subsets: (N,) bool, items of the split by name of the query subset.
        constants: Constant rankings; None leaves them out.

    Returns:
        Tie-aware mAP@all by side of the database (the items that have an image, a text, both), query subset and name of
        the ranking, with the number of ``queries`` and of those ``without_relevant`` items beside.
    """
    whole = np.all(table.present, axis=1)
    sides = {"image": table.present[:, 0], "text": table.present[:, 1], "both": whole}
    known: dict[bytes, dict[str, dict[str, float]]] = {}
    values = {}
    for side, members in sides.items():
        key = members.tobytes()
        if key not in known:  # of whole pairs alone, all sides are the same
            known[key] = _of_database(table, members, subsets, constants)
        values[side] = known[key]
    return values


def _of_database(
    table: SplitTable,
    members: NDArray[np.bool_],
    subsets: Mapping[str, NDArray[np.bool_]],
    constants: ConstantRankings | None,
) -> dict[str, dict[str, float]]:
    whole = table.present.all(axis=1)
    labels, groups = torch.from_numpy(table.labels), torch.from_numpy(table.groups)
    database, of_database = torch.from_numpy(members), torch.from_numpy(whole)
    levels = {CHANCE: torch.zeros(int(members.sum()), dtype=torch.int64)}
    num_levels = {CHANCE: 2}
    if constants is not None:
        levels |= constants.levels(labels[database])
        num_levels |= constants.num_levels
    queries = labels[of_database], groups[of_database]
    precisions = {
        name: _average_precisions(queries, level, num_levels[name], (labels[database], groups[database]))
        for name, level in levels.items()
    }
    return {subset: _means(precisions, torch.from_numpy(rows[whole])) for subset, rows in subsets.items()}


def _average_precisions(
    queries: tuple[Tensor, Tensor], levels: Tensor, num_levels: int, database: tuple[Tensor, Tensor]
) -> Tensor:
    """AP of each query, (Q,) float64."""
    values = []
    labels, groups = queries
    for start in range(0, len(labels), QUERIES_PER_CHUNK):
        rows = slice(start, start + QUERIES_PER_CHUNK)
        histogram = LevelHistogram(num_levels)
        histogram.set_queries(labels[rows], groups[rows])
        histogram.update(levels, *database)
        counts = histogram.compute()
        values.append(average_precision(counts.total, counts.relevant))
    return torch.cat([torch.empty(0, dtype=torch.float64), *values])  # there may be no query


def _means(precisions: Mapping[str, Tensor], rows: Tensor) -> dict[str, float]:
    chance = precisions[CHANCE][rows]
    head = {"queries": len(chance), "without_relevant": int(chance.isnan().sum())}
    return head | {name: float(mean_over_queries(values[rows])) for name, values in precisions.items()}
