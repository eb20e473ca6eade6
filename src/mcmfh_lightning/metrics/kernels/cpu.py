"""The kernels for CPUs, compiled by Numba.

A pair costs an XOR, an AND and two counts of bits, for which the compiler uses vector instructions, and an increment of
a counter, which no vector instruction does. So rows are taken in blocks: first the bins of a block, into a buffer
in the nearest cache, then the increments.

Two ways of counting:

- *pairs*: the bins of a row for two queries, a byte each, are one index of 16 bits into a table that counts pairs of
  bins, which is summed over rows and columns at the end: a row is read once for both, and one increment counts it for
  both. For long runs of rows and bins that fit a byte.
- *single*: four tables in turn, so that an increment need not wait for the one before it.

Queries are shared out to as many threads as torch has. They are threads of Python, started and ended by each call,
since the compiled code releases the interpreter's lock: other than Numba's own pool they do not mind a process that
forks.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import numpy as np
import torch
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

from mcmfh_lightning.metrics.kernels.reference import GradedCounts

_Words = NDArray[np.uint64]
_Counts = NDArray[np.int64]
_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])

BLOCK = 1 << 13
"""Rows whose bins are buffered: some KB in the nearest cache, next to the tables, and enough to make slices cheap."""

_BYTE = 256
_PAIRS_FROM = 1 << 15
"""Rows from which on counting pairs of bins pays for summing their table."""
_FIELD = 17
"""Bits of a counter of rows: three counters share a word while no more than `_MAX_ROWS` rows are counted."""
_MAX_ROWS = (1 << 16) - BLOCK
"""Rows that are counted at a time, so that counters of 16 bits hold them: whole blocks."""


def _compiled(function: _Kernel) -> _Kernel:
    try:
        compiled: _Kernel = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # there is no folder for the cache that may be written to
        compiled = numba.njit(nogil=True)(function)
    return compiled


@intrinsic  # type: ignore[untyped-decorator]  # Numba has no type information
def _ones(_typing: object, word: types.Integer) -> Any:  # noqa: ANN401  # Numba has no types
    """Count the bits of a word: LLVM's own, which it knows how to vectorize."""

    def generate(_context: object, builder: Any, _signature: object, arguments: Any) -> Any:  # noqa: ANN401  # as above
        return builder.ctpop(arguments[0])

    return word(word), generate


@_compiled
def _bins_of_two(
    queries: _Words, words: _Words, query_labels: _Words, labels: _Words, start: int, bins: NDArray[np.uint16]
) -> None:
    """Fill a buffer with the bins of rows, from ``start`` on, for two queries, a byte each.

    Seven bits are the distance, the eighth is set if a label is shared.
    """
    none, byte, low, high = np.uint64(0), np.uint64(8), np.uint64(1 << 7), np.uint64(1 << 15)
    if len(words) == 1 and len(labels) == 1:
        code_a, code_b, label_a, label_b = queries[0, 0], queries[0, 1], query_labels[0, 0], query_labels[0, 1]
        codes, sets = words[0][start : start + len(bins)], labels[0][start : start + len(bins)]
        for i in range(len(bins)):
            bin_a = _ones(code_a ^ codes[i]) + (low if (label_a & sets[i]) != 0 else none)
            bin_b = (_ones(code_b ^ codes[i]) << byte) + (high if (label_b & sets[i]) != 0 else none)
            bins[i] = bin_a + bin_b
        return
    bins[:] = 0
    for w in range(len(labels)):
        label_a, label_b = query_labels[w, 0], query_labels[w, 1]
        if (label_a | label_b) != 0:
            sets = labels[w][start : start + len(bins)]
            for i in range(len(bins)):
                bins[i] |= low if (label_a & sets[i]) != 0 else none
                bins[i] |= high if (label_b & sets[i]) != 0 else none
    for w in range(len(words)):
        code_a, code_b = queries[w, 0], queries[w, 1]
        codes = words[w][start : start + len(bins)]
        for i in range(len(bins)):
            bins[i] += _ones(code_a ^ codes[i]) + (_ones(code_b ^ codes[i]) << byte)


@_compiled
def _count_pairs(
    queries: _Words,
    words: _Words,
    query_labels: _Words,
    labels: _Words,
    begin: int,
    end: int,
    total: _Counts,
    relevant: _Counts,
) -> None:
    """Add the counts of the rows from ``begin`` to ``end``."""
    num_queries, levels = total.shape
    bins = np.zeros(BLOCK, np.uint16)
    table = np.zeros((_BYTE, _BYTE), np.uint16)
    pairs, mask = table.reshape(-1), np.uint64(0xFFFF)
    for q in range(0, num_queries, 2):
        two = np.array([min(q + 1, num_queries - 1), q])  # the last of an odd number of queries is paired with itself
        codes_of_two, labels_of_two = queries[:, two], query_labels[:, two]
        for start in range(begin, end, BLOCK):
            part = bins[: min(BLOCK, end - start)]
            _bins_of_two(codes_of_two, words, labels_of_two, labels, start, part)
            fours = len(part) - len(part) % 4
            for four in part[:fours].view(np.uint64):
                pairs[four & mask] += np.uint16(1)
                pairs[(four >> np.uint64(16)) & mask] += np.uint16(1)
                pairs[(four >> np.uint64(32)) & mask] += np.uint16(1)
                pairs[four >> np.uint64(48)] += np.uint16(1)
            for i in range(fours, len(part)):
                pairs[part[i]] += np.uint16(1)
        counts = np.zeros((2, _BYTE), np.uint32)
        for half in (0, _BYTE // 2):
            for first in range(half, half + levels):
                counts[1, first] = _add_row(table[first], levels, counts[0])
        for i in range(1 if q + 1 == num_queries else 2):
            for level in range(levels):
                hits = counts[1 - i, _BYTE // 2 + level]
                total[q + i, level] += counts[1 - i, level] + hits
                relevant[q + i, level] += hits


@_compiled
def _add_row(row: NDArray[np.uint16], levels: int, counts: NDArray[np.uint32]) -> np.uint32:
    """Add a row of the table of pairs to the counts of the bins of its columns; empty it and return its sum."""
    of_row = np.uint32(0)
    for half in (0, _BYTE // 2):
        found, sums = row[half : half + levels], counts[half : half + levels]
        for second in range(levels):
            count = np.uint32(found[second])
            of_row = np.uint32(of_row + count)
            sums[second] += count
        found[:] = 0
    return of_row


@_compiled
def _bins(
    query: _Words,
    words: _Words,
    query_labels: _Words,
    labels: _Words,
    start: int,
    relevant: np.uint64,
    bins: NDArray[np.uint16],
) -> None:
    """Fill a buffer with the bins of rows, from ``start`` on: the distance, plus ``relevant`` if a label is shared."""
    none = np.uint64(0)
    # Slices, since an index that may be negative keeps the compiler from vectorizing.
    if len(query) == 1 and len(query_labels) == 1:
        code, label = query[0], query_labels[0]
        codes, sets = words[0][start : start + len(bins)], labels[0][start : start + len(bins)]
        for i in range(len(bins)):
            bins[i] = _ones(code ^ codes[i]) + (relevant if (label & sets[i]) != 0 else none)
        return
    bins[:] = 0
    for w in range(len(query_labels)):
        label = query_labels[w]
        if label != 0:  # few words of a query's labels are not empty
            sets = labels[w][start : start + len(bins)]
            for i in range(len(bins)):
                bins[i] |= relevant if (label & sets[i]) != 0 else none
    for w in range(len(query)):
        code = query[w]
        codes = words[w][start : start + len(bins)]
        for i in range(len(bins)):
            bins[i] += _ones(code ^ codes[i])


@_compiled
def _count_single(
    queries: _Words,
    words: _Words,
    query_labels: _Words,
    labels: _Words,
    begin: int,
    end: int,
    total: _Counts,
    relevant: _Counts,
) -> None:
    """Add the counts of the rows from ``begin`` to ``end``."""
    levels = total.shape[1]
    bit = 1
    while bit < levels:  # a power of two above every distance, so that it can be set once or more
        bit *= 2
    bins = np.zeros(BLOCK, np.uint16)
    tables = np.zeros((4, 2 * bit), np.uint32)
    for q in range(queries.shape[1]):
        query, label = queries[:, q].copy(), query_labels[:, q].copy()
        tables[:] = 0
        for start in range(begin, end, BLOCK):
            part = bins[: min(BLOCK, end - start)]
            _bins(query, words, label, labels, start, np.uint64(bit), part)
            fours = len(part) // 4
            for four in range(fours):
                for i in range(4):
                    tables[i, part[4 * four + i]] += np.uint32(1)
            for i in range(4 * fours, len(part)):
                tables[0, part[i]] += np.uint32(1)
        for level in range(levels):
            other, hits = np.int64(0), np.int64(0)
            for i in range(4):
                other += tables[i, level]
                hits += tables[i, bit + level]
            total[q, level] += other + hits
            relevant[q, level] += hits


@_compiled
def _distances_and_grades(
    query: _Words,
    words: _Words,
    query_labels: _Words,
    labels: _Words,
    start: int,
    distances: NDArray[np.uint16],
    grades: NDArray[np.uint16],
) -> None:
    """Fill two buffers with the distances and the numbers of shared labels of the rows from ``start`` on."""
    distances[:] = 0
    for w in range(len(query)):
        code = query[w]
        codes = words[w][start : start + len(distances)]
        for i in range(len(distances)):
            distances[i] += _ones(code ^ codes[i])
    grades[:] = 0
    for w in range(len(query_labels)):
        label = query_labels[w]
        if label != 0:
            sets = labels[w][start : start + len(grades)]
            for i in range(len(grades)):
                grades[i] += _ones(label & sets[i])


@_compiled
def _count_graded(
    queries: _Words,
    words: _Words,
    query_labels: _Words,
    labels: _Words,
    begin: int,
    end: int,
    counts: _Counts,
    shared: _Counts,
) -> None:
    """Add the counts of the rows from ``begin`` to ``end``.

    Items, relevant items and gains of a level, ``counts`` (3, Q, L), are in one word while they are counted.
    """
    distances, grades = np.zeros(BLOCK, np.uint16), np.zeros(BLOCK, np.uint16)
    tables = np.zeros((4, counts.shape[2]), np.uint64)
    by_grade = np.zeros((4, shared.shape[1]), np.uint32)
    one, field = np.uint64(1), np.uint64(_FIELD)
    mask = (one << field) - one
    for q in range(queries.shape[1]):
        query, label = queries[:, q].copy(), query_labels[:, q].copy()
        tables[:] = 0
        by_grade[:] = 0
        for start in range(begin, end, BLOCK):
            size = min(BLOCK, end - start)
            _distances_and_grades(query, words, label, labels, start, distances[:size], grades[:size])
            for i in range(size):
                grade = np.uint64(grades[i])
                tables[i & 3, distances[i]] += one | (np.uint64(grade != 0) << field) | (grade << (field + field))
                by_grade[i & 3, grade] += np.uint32(1)
        for i in range(4):
            for level in range(counts.shape[2]):
                word = tables[i, level]
                counts[0, q, level] += np.int64(word & mask)
                counts[1, q, level] += np.int64((word >> field) & mask)
                counts[2, q, level] += np.int64(word >> (field + field))
            for number in range(shared.shape[1]):
                shared[q, number] += by_grade[i, number]


def hamming_histogram_numba(
    query_words: Tensor, words: Tensor, query_label_words: Tensor, label_words: Tensor, num_bits: int
) -> tuple[Tensor, Tensor]:
    """Ranking histogram; groups are not looked at.

    Args:
        query_words: (Wk, Q) int64, codes of the queries as `to_words` makes them.
        words: (Wk, N) int64, codes.
        query_label_words: (Wl, Q) int64, label sets of the queries.
        label_words: (Wl, N) int64, label sets.
        num_bits: K.

    Returns:
        Two (Q, K + 1) int64: all items, relevant items.
    """
    total, relevant = (torch.zeros(query_words.shape[1], num_bits + 1, dtype=torch.int64) for _ in range(2))
    kernel = _count_pairs if num_bits < _BYTE // 2 and words.shape[1] >= _PAIRS_FROM else _count_single
    _run(kernel, query_words, words, query_label_words, label_words, total, relevant)
    return total, relevant


def graded_histogram_numba(
    query_words: Tensor, words: Tensor, query_label_words: Tensor, label_words: Tensor, num_bits: int, max_shared: int
) -> GradedCounts:
    """Graded ranking histogram; groups are not looked at.

    Args:
        query_words: (Wk, Q) int64, codes of the queries as `to_words` makes them.
        words: (Wk, N) int64, codes.
        query_label_words: (Wl, Q) int64, label sets of the queries.
        label_words: (Wl, N) int64, label sets.
        num_bits: K.
        max_shared: G, the largest number of labels of a query.

    Returns:
        The counts.
    """
    num_queries = query_words.shape[1]
    counts = torch.zeros(3, num_queries, num_bits + 1, dtype=torch.int64)
    total, relevant, gains = counts
    shared = torch.zeros(num_queries, max_shared + 1, dtype=torch.int64)
    _run(_count_graded, query_words, words, query_label_words, label_words, counts, shared)
    return GradedCounts(total, relevant, gains, shared)


def _run(
    kernel: Callable[..., None],
    query_words: Tensor,
    words: Tensor,
    query_label_words: Tensor,
    label_words: Tensor,
    *counts: Tensor,
) -> None:
    """Share the queries out to threads."""
    num_queries, rows = query_words.shape[1], words.shape[1]
    threads = max(1, min(torch.get_num_threads(), num_queries))
    queries, query_labels = _array(query_words), _array(query_label_words)
    database = _array(words), _array(label_words)
    results = [count.numpy() for count in counts]

    def work(thread: int) -> None:
        part = slice(num_queries * thread // threads, num_queries * (thread + 1) // threads)
        of_queries = np.ascontiguousarray(queries[:, part]), np.ascontiguousarray(query_labels[:, part])
        mine = [result[..., part, :] for result in results]
        for begin in range(0, rows, _MAX_ROWS):
            end = min(begin + _MAX_ROWS, rows)
            kernel(of_queries[0], database[0], of_queries[1], database[1], begin, end, *mine)

    if threads == 1:
        work(0)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


def _array(words: Tensor) -> _Words:
    array: _Words = words.contiguous().numpy().view(np.uint64)
    return array
