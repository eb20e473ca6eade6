"""Rankings that ignore the query, made of the database's labels alone: what codes have to beat.

They know the labels of every item, which no code does, and nothing of the query. Written as codes they are counted like
any others: level l of L is a code of L - 1 bits of which the first l are set, at Hamming distance l from a query of
zeros.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from mcmfh_lightning.bench.task import Task
from mcmfh_lightning.metrics import HammingHistogram, RankingCounts
from mcmfh_lightning.metrics.functional import hamming_histogram, pack_bits, unpack_bits

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
