"""What is ranked for what: queries, database, and which pairs do not count.

Rankings that ignore the query, made of the database's labels alone: what codes have to beat.

They know the labels of every item, which no code does, and nothing of the query. Written as codes they are counted like
any others: level l of L is a code of L - 1 bits of which the first l are set, at Hamming distance l from a query of
zeros.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.codes import Items, constant_bit_warnings, read_items
from mcmfh_lightning.evaluation.codes_files import KEYS, Array, Keys
from mcmfh_lightning.metrics import HammingHistogram, RankingCounts
from mcmfh_lightning.metrics.functional import hamming_histogram, pack_bits, unpack_bits


@dataclass(frozen=True)
class Task:
    """A pair of files that fit each other."""

    query: Items
    database: Items
    query_groups: Tensor
    """(Q,) int64; database items of the same number do not count."""
    groups: Tensor
    """(n,) int64."""
    excluded: str
    """Which database items of a query do not count."""
    resampled: str
    """What the bootstrap draws: groups, or queries where no groups are given."""
    warnings: tuple[str, ...]
    direction: str = ""
    """Of what is ranked for what, where one file holds several: ``image to text``."""


def read_task(
    query: Path,
    database: Path,
    num_bits: int | None,
    num_labels: int | None,
    *,
    exclude_same_id: bool,
    query_keys: Keys = KEYS,
    database_keys: Keys = KEYS,
    direction: str = "",
) -> Task:
    """Read both files and compare them.

    Args:
        query: File of the queries.
        database: File of the database, which may be the same.
        num_bits: Bits of packed codes.
        num_labels: Labels of packed label sets.
        exclude_same_id: Whether a query does not find the item of its own id.
        query_keys: Names of the arrays of the queries.
        database_keys: Names of the arrays of the database.
        direction: What the report calls this pair, where there are several.

    Raises:
        DataError: If a file cannot be used, or they do not fit each other.
    """
    ours = read_items(query, num_bits, num_labels, query_keys)
    theirs = read_items(database, num_bits, num_labels, database_keys)
    for key, unit, mine, other in (
        ("codes", "bits", ours.num_bits, theirs.num_bits),
        ("labels", "labels", ours.num_labels, theirs.num_labels),
    ):
        if mine != other:
            raise DataError(
                f"{theirs.where(key)} have {other} {unit}, those of {ours.where(key)} {mine}; give both files of one "
                "method and one vocabulary"
            )
    task = _without_same_id(ours, theirs) if exclude_same_id else _without_own_group(ours, theirs)
    about_codes = (*_zero_warnings(ours), *_zero_warnings(theirs), *constant_bit_warnings(ours, theirs))
    return replace(task, warnings=(*task.warnings, *about_codes), direction=direction)


def _without_own_group(ours: Items, theirs: Items) -> Task:
    if (ours.groups is None) != (theirs.groups is None):
        lacking = ours if ours.groups is None else theirs
        raise DataError(f"{lacking.path}: has no groups, the other file has; give them in both or in neither")
    if ours.groups is None or theirs.groups is None:
        apart = torch.arange(len(ours)), torch.arange(len(theirs)) + len(ours)
        return Task(ours, theirs, *apart, "nothing", "queries", (_nothing_excluded(ours, theirs),))
    numbers = _numbered("groups", ours, ours.groups, theirs, theirs.groups)
    return Task(ours, theirs, *numbers, "items of the query's own group", "groups", ())


def _without_same_id(query: Items, database: Items) -> Task:
    if query.groups is not None or database.groups is not None:
        grouped = query if query.groups is not None else database
        raise DataError(f"{grouped.path}: has groups, whose items are left out; drop --exclude-same-id, or the groups")
    numbers = _numbered("ids", query, _ids(query), database, _ids(database))
    return Task(query, database, *numbers, "the item of the query's own id", "queries", ())


def _ids(items: Items) -> Array:
    if items.ids is None:
        raise DataError(f"{items.path}: has no ids; add them, or drop --exclude-same-id")
    return items.ids


def _numbered(key: str, query: Items, ours: Array, database: Items, theirs: Array) -> tuple[Tensor, Tensor]:
    """Equal numbers for equal names, ascending with the names whatever their order in the files."""
    if (ours.dtype.kind == "U") != (theirs.dtype.kind == "U"):
        raise DataError(
            f"{database.path}: {key} are of type {theirs.dtype}, those of {query.path} {ours.dtype}; give both as "
            "integers or both as strings"
        )
    _, numbers = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
    joined = torch.from_numpy(numbers.astype(np.int64))
    return joined[: len(query)], joined[len(query) :]


def _zero_warnings(items: Items) -> list[str]:
    if not items.zeros:
        return []
    signs = len(items) * items.num_bits
    return [f"{items.where('codes')}: {items.zeros:,} of {signs:,} signs are exactly 0, which count as +1"]


def _nothing_excluded(query: Items, database: Items) -> str:
    """The warning where nothing says which items belong together."""
    warning = "no groups: nothing is excluded, and intervals resample single queries"
    if query.ids is not None and database.ids is not None:
        shared = len(np.intersect1d(query.ids, database.ids))
        if shared:
            return f"{warning}; {shared} ids are in both files, so that a query finds itself: pass --exclude-same-id"
        return warning
    return (
        f"{warning}; if both files are of one collection an item is its own neighbour: add groups (patient, study), or "
        "ids and --exclude-same-id"
    )


LEVELS = 256
PAIRS, SAMPLE = 1 << 30, 4096
CONSTANTS: Mapping[str, str] = {
    "popularity": f"items by the share of the database that has a label in common with them, in up to {LEVELS} levels",
    "most frequent first": "items that carry the most frequent label of the database, then the others",
}
"""What each constant ranking is; all read the labels of the database file."""


def constant_counts(task: Task) -> dict[str, RankingCounts]:
    """Count the constant rankings, by name."""
    distinct, inverse, counts = _distinct(task.database.labels)
    levels = {
        "popularity": popularity_levels(distinct, counts),
        "most frequent first": most_frequent_first(distinct, counts),
    }
    return {name: _counted(task, of_distinct[inverse]) for name, of_distinct in levels.items()}


def popularity_levels(label_sets: Tensor, counts: Tensor) -> Tensor:
    """Levels by the number of items that share a label, the most popular first.

    Beyond some 10^9 pairs of a label set and an item, those among a sample of items spread evenly over the sorted
    database, 4,096 at least.

    Args:
        label_sets: (D, W) uint8, distinct packed label sets in ascending order.
        counts: (D,) int64, items of each.

    Returns:
        (D,) int64 in [0, 256).

    Example:
        >>> popularity_levels(torch.tensor([[1], [2], [3]], dtype=torch.uint8), torch.tensor([5, 2, 1]))
        tensor([1, 2, 0])
    """
    everyone = int(counts.sum())
    number = min(everyone, max(SAMPLE, PAIRS // len(label_sets)))
    places = torch.linspace(0, everyone - 1, number, dtype=torch.float64).round().long()
    sampled = torch.searchsorted(counts.cumsum(0), places, right=True)
    popularity = _relevant_items(label_sets, label_sets[sampled])
    distinct, order = np.unique(popularity.numpy(), return_inverse=True)
    steps = len(distinct)
    return torch.from_numpy((steps - 1 - order) * LEVELS // max(LEVELS, steps))


def most_frequent_first(label_sets: Tensor, counts: Tensor) -> Tensor:
    """Level 0 for label sets with the label that most items carry (the first of equals), 1 for the others.

    Args:
        label_sets: (D, W) uint8, distinct packed label sets.
        counts: (D,) int64, items of each.

    Returns:
        (D,) int64.

    Example:
        >>> most_frequent_first(torch.tensor([[1], [2], [3]], dtype=torch.uint8), torch.tensor([5, 2, 1]))
        tensor([0, 1, 0])
    """
    bits = unpack_bits(label_sets).long()  # (D, 8 W)
    return 1 - bits[:, int((bits * counts[:, None]).sum(0).argmax())]


def _relevant_items(query_labels: Tensor, labels: Tensor) -> Tensor:
    """Items that share a label with each query, (Q,) int64, by the kernel that counts fastest."""
    codes = torch.zeros(len(query_labels), 1, dtype=torch.uint8), torch.zeros(len(labels), 1, dtype=torch.uint8)
    groups = torch.zeros(len(query_labels), dtype=torch.int64), torch.ones(len(labels), dtype=torch.int64)
    _, relevant = hamming_histogram(*codes, query_labels, labels, *groups, num_bits=1)
    return relevant.sum(1)


def _distinct(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct label sets in ascending order, the set of each item, items of each set."""
    rows = np.ascontiguousarray(labels.numpy())
    keys = rows.view(np.dtype((np.void, rows.shape[1])))[:, 0]  # compared byte by byte; faster than rows
    _, first, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return labels[torch.from_numpy(first)], torch.from_numpy(inverse), torch.from_numpy(counts)


def _counted(task: Task, levels: Tensor) -> RankingCounts:
    num_bits = max(1, int(levels.max()))
    thermometer = pack_bits(torch.arange(num_bits) < torch.arange(num_bits + 1)[:, None])  # (levels, bytes)
    histogram = HammingHistogram(num_bits, graded=True)
    zeros = torch.zeros(len(task.query), thermometer.shape[1], dtype=torch.uint8)
    histogram.set_queries(zeros, task.query.labels, task.query_groups)
    histogram.update(thermometer[levels], task.database.labels, task.groups)
    return histogram.counts()
