"""Kernels in plain torch, for any device and width: the reference of the fast ones, with what all kernels share.

Memory is bounded by chunks of the database. The fast kernels count all pairs, and pairs of a query and an item of its
own group are subtracted afterwards: a group is a study or a patient, so these pairs are few, and the kernels need not
compare groups. They read packed rows as columns of 64-bit words.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.histogram import (
    count_levels,
    database_chunks,
    hamming_distances,
    share_label,
    shared_labels,
)


class GradedCounts(NamedTuple):
    """Counts per query and level, best level first, own group excluded; all int64."""

    total: Tensor
    """(Q, L): items."""
    relevant: Tensor
    """(Q, L): items that share a label with the query."""
    gains: Tensor
    """(Q, L): labels shared with the query, summed over the items."""
    shared: Tensor
    """(Q, G + 1): items by the number of labels shared, over all levels; G is what the query with most labels has."""


def hamming_histogram_torch(
    query_codes: Tensor,
    codes: Tensor,
    query_labels: Tensor,
    labels: Tensor,
    query_groups: Tensor,
    groups: Tensor,
    num_bits: int,
) -> tuple[Tensor, Tensor]:
    """Ranking histogram; arguments and result are those of `hamming_histogram`."""
    total, hits = (_zeros(query_codes, num_bits + 1) for _ in range(2))
    for part, levels, valid in _compared(query_codes, codes, query_groups, groups):
        counts = count_levels(levels, share_label(query_labels, labels[part]), valid, num_bits + 1)
        total += counts[0]
        hits += counts[1]
    return total, hits


def graded_histogram_torch(
    query_codes: Tensor,
    codes: Tensor,
    query_labels: Tensor,
    labels: Tensor,
    query_groups: Tensor,
    groups: Tensor,
    num_bits: int,
    max_shared: int,
) -> GradedCounts:
    """Graded ranking histogram; arguments and result are those of `graded_histogram`."""
    total, relevant, gains = (_zeros(query_codes, num_bits + 1) for _ in range(3))
    shared = _zeros(query_codes, max_shared + 1)
    for part, levels, valid in _compared(query_codes, codes, query_groups, groups):
        grades = shared_labels(query_labels, labels[part])
        counts = count_levels(levels, grades > 0, valid, num_bits + 1)
        total += counts[0]
        relevant += counts[1]
        gains.scatter_add_(1, levels.long(), grades * valid)
        shared.scatter_add_(1, grades, valid.long())
    return GradedCounts(total, relevant, gains, shared)


def _compared(
    query_codes: Tensor, codes: Tensor, query_groups: Tensor, groups: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Chunks of the database, with the distances of their pairs and which of them count."""
    for part in database_chunks(len(query_codes), len(codes)):
        yield part, hamming_distances(query_codes, codes[part]), query_groups[:, None] != groups[None, part]


def _zeros(query_codes: Tensor, num_levels: int) -> Tensor:
    return torch.zeros(len(query_codes), num_levels, dtype=torch.int64, device=query_codes.device)


PAIRS_AT_ONCE = 1 << 18
"""Bounds the temporaries where, against all expectation, everything is one group."""
_ITEMS_AT_ONCE = 1 << 18
"""Bounds the temporaries of large databases."""


def own_group_pairs(query_groups: Tensor, groups: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Find the pairs of a query and an item of its own group.

    Args:
        query_groups: (Q,) int64.
        groups: (n,) int64.

    Yields:
        Positions of queries and of items, (M,) int64 each, every pair once.
    """
    order = query_groups.argsort(stable=True)
    ordered = query_groups[order]
    if not len(ordered):
        return
    step = max(1, PAIRS_AT_ONCE // len(ordered))
    for start in range(0, len(groups), _ITEMS_AT_ONCE):
        part = groups[start : start + _ITEMS_AT_ONCE]
        first = torch.searchsorted(ordered, part)
        items = (ordered[first.clamp(max=len(ordered) - 1)] == part).nonzero()[:, 0]
        for item in torch.split(items, step):
            begin = first[item]
            times = torch.searchsorted(ordered, part[item], right=True) - begin
            shift = (begin - times.cumsum(0) + times).repeat_interleave(times)
            found = torch.arange(len(shift), device=shift.device) + shift
            yield order[found], item.repeat_interleave(times) + start


_WORD_BYTES = 8


def to_words(packed: Tensor) -> Tensor:
    """Turn bytes of rows into words by column: neighboring rows are adjacent, as vector instructions want them.

    Args:
        packed: (N, W) uint8.

    Returns:
        (ceil(W / 8), N) int64, contiguous; bytes that are missing are 0. Which bit is where in a word does not matter
        to XOR, AND and counting.

    Example:
        >>> to_words(torch.tensor([[1], [2]], dtype=torch.uint8))
        tensor([[1, 2]])
    """
    rows, width = packed.shape
    num_words = -(-width // _WORD_BYTES)
    aligned = packed.is_contiguous() and packed.storage_offset() % _WORD_BYTES == 0
    if width and width % _WORD_BYTES == 0 and aligned:
        words = packed.view(torch.int64)  # the bytes as they are
    else:
        words = packed.new_zeros(rows, num_words, dtype=torch.int64)
        words.view(torch.uint8)[:, :width] = packed
    return words.T.contiguous()
