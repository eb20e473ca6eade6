"""Ranking histogram: a ranking by few levels, up to the order of tied items.

For query q and level d (a Hamming distance, or the step of a score), ``total[q, d]`` counts the database items at that
level and ``relevant[q, d]`` those of them that are relevant. Items of the query's own group never count. The counts are
integers that add up over any cut of the database, so chunks, order and processes cannot change them. This module has
the parts in plain torch, for any device; `mcmfh_lightning.metrics.kernels` counts packed codes.

`relevant_first` and `relevant_last` are the two extreme orders of tied items: a level of n items, p of them relevant,
becomes two levels, the relevant items and the others. Any functional of the result, such as `precision_at` or
`average_precision`, is the bound of that functional over all orders.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.packing import unpack_bits

PAIRS_PER_CHUNK = 1 << 18
"""Query-item pairs compared at a time: bounds the temporaries (a few MB) and keeps them in the cache of a CPU."""


def count_ones(packed: Tensor) -> Tensor:
    """Count the bits set in each byte (Warren, Hacker's Delight, 2012, ch. 5).

    Args:
        packed: uint8 of any shape.

    Returns:
        uint8 of the same shape.

    Example:
        >>> count_ones(torch.tensor([0, 7, 255], dtype=torch.uint8))
        tensor([0, 3, 8], dtype=torch.uint8)
    """
    ones = packed - (packed >> 1 & 0x55)
    ones = (ones & 0x33) + (ones >> 2 & 0x33)
    return ones + (ones >> 4) & 0x0F


def hamming_distances(query_codes: Tensor, codes: Tensor) -> Tensor:
    """Hamming distances between packed codes, by XOR and `count_ones`.

    Args:
        query_codes: (Q, W) uint8.
        codes: (n, W) uint8.

    Returns:
        (Q, n) int16.

    Example:
        >>> hamming_distances(torch.tensor([[0b1010]], dtype=torch.uint8), torch.tensor([[0b0110]], dtype=torch.uint8))
        tensor([[2]], dtype=torch.int16)
    """
    distances = torch.zeros(len(query_codes), len(codes), dtype=torch.int16, device=codes.device)
    for ours, theirs in zip(query_codes.unbind(1), codes.unbind(1), strict=True):
        distances += count_ones(ours[:, None] ^ theirs[None])
    return distances


def share_label(query_labels: Tensor, labels: Tensor) -> Tensor:
    """Check whether query and item have a label in common.

    Args:
        query_labels: (Q, W) uint8, packed label sets.
        labels: (n, W) uint8.

    Returns:
        (Q, n) bool.

    Example:
        >>> share_label(torch.tensor([[0b101]], dtype=torch.uint8), torch.tensor([[1], [2]], dtype=torch.uint8))
        tensor([[ True, False]])
    """
    return _products(query_labels, labels) > 0


def shared_labels(query_labels: Tensor, labels: Tensor) -> Tensor:
    """Count the labels that query and item have in common.

    Args:
        query_labels: (Q, W) uint8, packed label sets.
        labels: (n, W) uint8.

    Returns:
        (Q, n) int64.

    Example:
        >>> shared_labels(torch.tensor([[0b111]], dtype=torch.uint8), torch.tensor([[3], [8]], dtype=torch.uint8))
        tensor([[2, 0]])
    """
    return _products(query_labels, labels).long()


def count_levels(levels: Tensor, relevant: Tensor, valid: Tensor, num_levels: int) -> tuple[Tensor, Tensor]:
    """Count items and relevant items per query and level.

    Args:
        levels: (Q, n) or (1, n) integers in [0, num_levels); the best level is 0.
        relevant: (Q, n) bool.
        valid: (Q, n) bool; other pairs do not count.
        num_levels: L.

    Returns:
        Two (Q, L) int64: all items, relevant items.
    """
    levels = levels.long().expand_as(relevant)
    total, hits = _empty(relevant, num_levels)
    return total.scatter_add_(1, levels, valid.long()), hits.scatter_add_(1, levels, (relevant & valid).long())


def level_histogram(
    levels: Tensor, query_labels: Tensor, labels: Tensor, query_groups: Tensor, groups: Tensor, num_levels: int
) -> tuple[Tensor, Tensor]:
    """Ranking histogram of items whose levels are given.

    Args:
        levels: (n,), the same for every query, or (Q, n) integers in [0, num_levels); the best level is 0.
        query_labels: (Q, W) uint8, packed label sets.
        labels: (n, W) uint8.
        query_groups: (Q,) int64.
        groups: (n,) int64; items of the query's own group are left out.
        num_levels: L.

    Returns:
        Two (Q, L) int64: all items, relevant items.
    """
    counts = _empty(query_labels, num_levels)
    add_levels(counts, levels, query_labels, labels, query_groups, groups)
    return counts


def add_levels(
    counts: Sequence[Tensor],
    levels: Tensor,
    query_labels: Tensor,
    labels: Tensor,
    query_groups: Tensor,
    groups: Tensor,
) -> None:
    """Add items whose levels are given to counts, in place.

    Args:
        counts: All items and relevant items, (Q, L) int64 each; where wanted, labels shared with the query, (Q, L), and
            items by the number of labels shared, (Q, G + 1).
        levels: (n,), the same for every query, or (Q, n) integers in [0, L); the best level is 0.
        query_labels: (Q, W) uint8, packed label sets.
        labels: (n, W) uint8.
        query_groups: (Q,) int64.
        groups: (n,) int64; items of the query's own group are left out.
    """
    levels = levels.long().expand(len(query_labels), len(labels))
    for part in database_chunks(len(query_labels), len(labels)):
        grades = shared_labels(query_labels, labels[part])  # (Q, n)
        valid = (query_groups[:, None] != groups[None, part]).long()
        level = levels[:, part]
        added = (level, valid), (level, (grades > 0) * valid), (level, grades * valid), (grades, valid)
        for sums, (column, number) in zip(counts, added, strict=False):
            sums.scatter_add_(1, column, number)


def _products(query_labels: Tensor, labels: Tensor) -> Tensor:
    # Of zeros and ones: exact in float32, and on a CPU faster than ANDs of bytes.
    return unpack_bits(query_labels).float() @ unpack_bits(labels).float().T


def _empty(query_labels: Tensor, num_levels: int) -> tuple[Tensor, Tensor]:
    zeros = torch.zeros(len(query_labels), num_levels, dtype=torch.int64, device=query_labels.device)
    return zeros, zeros.clone()


def database_chunks(num_queries: int, num_items: int) -> list[slice]:
    """Cut a database into parts of some `PAIRS_PER_CHUNK` pairs."""
    step = max(1, PAIRS_PER_CHUNK // max(1, num_queries))
    return [slice(start, start + step) for start in range(0, num_items, step)]


def relevant_first(total: Tensor, relevant: Tensor) -> tuple[Tensor, Tensor]:
    """Put the relevant items of each level before the others: the optimistic order.

    Args:
        total: (Q, L) int64, items per level.
        relevant: (Q, L) int64, relevant items per level.

    Returns:
        All items and relevant items, (Q, 2 L) int64 each.

    Example:
        >>> from mcmfh_lightning.metrics.functional import precision_at
        >>> precision_at(*relevant_first(torch.tensor([[4]]), torch.tensor([[1]])), torch.tensor([1, 2]))
        tensor([[1.0000, 0.5000]], dtype=torch.float64)
    """
    return _interleaved(relevant, total - relevant), _interleaved(relevant, torch.zeros_like(relevant))


def relevant_last(total: Tensor, relevant: Tensor) -> tuple[Tensor, Tensor]:
    """Put the relevant items of each level after the others: the pessimistic order.

    Args:
        total: (Q, L) int64, items per level.
        relevant: (Q, L) int64, relevant items per level.

    Returns:
        All items and relevant items, (Q, 2 L) int64 each.

    Example:
        >>> from mcmfh_lightning.metrics.functional import precision_at
        >>> precision_at(*relevant_last(torch.tensor([[4]]), torch.tensor([[1]])), torch.tensor([1, 4]))
        tensor([[0.0000, 0.2500]], dtype=torch.float64)
    """
    return _interleaved(total - relevant, relevant), _interleaved(torch.zeros_like(relevant), relevant)


def _interleaved(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack((first, second), dim=2).flatten(1)
