"""A scan of all codes by faiss: exact, over a memory map, without a copy of it.

A hash table of the codes by faiss: exact, and fast where a query's near codes are few buckets away.
"""

import threading
from math import comb
from typing import ClassVar, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.metrics.functional import packed_width

_DENSE = 16
"""Of faiss' counting search, which keeps ``k`` places for each distance, a ``k`` above one in this many of the codes is
not asked: the scan within a radius takes no more memory than its result."""


class FlatIndex:
    """Compares a query with every code.

    Functions of faiss for arrays are called rather than its index, which would hold a copy of the codes.

    Args:
        codes: (N, ceil(num_bits / 8)) uint8, packed; a memory map is not read into memory.
        num_bits: Bits of a code.

    Raises:
        ValueError: If ``codes`` are not packed codes of that many bits.

    Example:
        >>> index = FlatIndex(np.array([[0], [7], [1], [2]], np.uint8), num_bits=8)
        >>> index.nearest(np.array([0], np.uint8), k=3)
        (array([0, 1, 1]), array([0, 2, 3]))
        >>> index.within(np.array([0], np.uint8), radius=3, rows=np.array([1, 3]))
        (array([1, 3]), array([3, 1]))
    """

    kind: ClassVar[Literal["flat", "hash"]] = "flat"

    def __init__(self, codes: NDArray[np.uint8], num_bits: int) -> None:
        check_codes(codes, num_bits)
        self.num_bits = num_bits
        self._codes = np.ascontiguousarray(codes)

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def nbytes(self) -> int:
        """Bytes that the index holds: its codes."""
        return self._codes.nbytes

    def nearest(
        self, query: NDArray[np.uint8], k: int, rows: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The nearest ``k`` codes, or all if there are fewer; see `CodeIndex.nearest`."""
        check_query(query, self.num_bits)
        check_k(k)
        codes = self._allowed(rows)
        k = min(k, len(codes))
        if k == 0 or k > len(codes) // _DENSE:  # faiss' search aborts the process for none
            distances, places = _within(query, codes, self.num_bits)
            return distances[:k], places[:k] if rows is None else rows[places[:k]]
        # Counts per distance instead of a heap: what is tied comes in the order of rows.
        found = faiss.knn_hamming(_widened(query[None]), _widened(codes), k, variant="mc")
        distances, places = found[0][0].astype(np.int64), found[1][0]
        return distances, places if rows is None else rows[places]

    def within(
        self, query: NDArray[np.uint8], radius: int, rows: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All codes at most ``radius`` bits away; see `CodeIndex.within`."""
        check_query(query, self.num_bits)
        distances, places = _within(query, self._allowed(rows), radius)
        return distances, places if rows is None else rows[places]

    def _allowed(self, rows: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        """Codes of the rows allowed; `numpy.take` copies them ten times as fast as an index does."""
        return self._codes if rows is None else np.take(self._codes, rows, axis=0)


def check_codes(codes: NDArray[np.uint8], num_bits: int) -> None:
    """Refuse what are no packed codes.

    Raises:
        ValueError: If they are of another type or width.
    """
    width = packed_width(num_bits)
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != width:
        raise ValueError(
            f"codes of {num_bits} bits are (N, {width}) uint8, got {codes.shape} {codes.dtype}: pack them by "
            "mcmfh_lightning.metrics.functional.pack_bits"
        )


def check_query(query: NDArray[np.uint8], num_bits: int) -> None:
    """Refuse what is no packed code.

    Raises:
        ValueError: If it is of another type or width.
    """
    width = packed_width(num_bits)
    if query.dtype != np.uint8 or query.shape != (width,):
        raise ValueError(
            f"a query of {num_bits} bits is ({width},) uint8, got {query.shape} {query.dtype}: pack it by "
            "mcmfh_lightning.metrics.functional.pack_bits"
        )


def check_k(k: int) -> None:
    """Refuse a negative number of codes.

    Raises:
        ValueError: If it is negative.
    """
    if k < 0:
        raise ValueError(f"k must be 0 or more, got {k}")


def in_order(
    distances: NDArray[np.int64], rows: NDArray[np.int64], k: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first ``k``, or all, by distance and then by row; many that are tied beyond ``k`` are not sorted."""
    count = int(rows.max(initial=0)) + 1
    keys = distances * count + rows
    if k is not None and k < len(keys):
        keys = np.partition(keys, k)[:k]
    keys.sort()
    return np.divmod(keys, count)


def _widened(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes of 1 or 2 bytes with zeros to make 4, which change no distance.

    faiss has a loop for 4 bytes and none for fewer. The copy, 4 bytes an item while it is searched, takes a tenth of
    the time and the rest is a quarter of what it was.
    """
    width = codes.shape[1]
    if width > 2:
        return np.ascontiguousarray(codes)
    return np.ascontiguousarray(codes).view(np.dtype(f"u{width}")).astype(np.uint32).view(np.uint8)


def _within(
    query: NDArray[np.uint8], codes: NDArray[np.uint8], radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What faiss' ``IndexBinaryFlat.range_search`` does, on an array."""
    if radius < 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    result = faiss.RangeSearchResult(1)
    limit = min(radius, 8 * codes.shape[1]) + 1  # faiss wants less than this
    query, codes = _widened(query[None]), _widened(codes)
    faiss.hamming_range_search(  # type: ignore[attr-defined]  # its type stubs lack it
        faiss.swig_ptr(query), faiss.swig_ptr(codes), 1, len(codes), limit, codes.shape[1], result
    )
    count = int(faiss.rev_swig_ptr(result.lims, 2)[1])
    distances = faiss.rev_swig_ptr(result.distances, count).astype(np.int64)
    return in_order(distances, faiss.rev_swig_ptr(result.labels, count).copy())


_LONGEST_KEY = 64
"""Bits of a key at most: those of faiss' integers."""
_PROBE_COST = 64
"""Looking up a bucket takes as long as comparing so many codes: measured 30 if empty, 300 with 15 items in it."""


class HashIndex:
    """Looks up the buckets near a query's code, radius by radius, and scans instead where that would be cheaper.

    The code, or its first 64 bits, is the key of faiss' ``IndexBinaryHash``: flipping ``r`` bits of the query's key
    reaches every code at most ``r`` bits away, so the search is exact as far as it has looked. The table holds the code
    and an 8-byte number of each item, in memory.

    Args:
        codes: (N, ceil(num_bits / 8)) uint8, packed.
        num_bits: Bits of a code.

    Raises:
        ValueError: If ``codes`` are not packed codes of that many bits.

    Example:
        >>> index = HashIndex(np.array([[7], [0], [1], [0]], np.uint8), num_bits=8)
        >>> index.nearest(np.array([0], np.uint8), k=3)
        (array([0, 0, 1]), array([1, 3, 2]))
    """

    kind: ClassVar[Literal["flat", "hash"]] = "hash"

    def __init__(self, codes: NDArray[np.uint8], num_bits: int) -> None:
        self._scan = FlatIndex(codes, num_bits)
        self.num_bits = num_bits
        width = 8 * codes.shape[1]
        self._key = min(width, _LONGEST_KEY)
        self._table = faiss.IndexBinaryHash(width, self._key)
        if len(codes):
            self._table.add(np.ascontiguousarray(codes))
        # How many bits to flip is a setting of the table, not of a search.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._scan)

    @property
    def nbytes(self) -> int:
        """Bytes that the index holds at least: of each item its code, and code and 8-byte number in the table."""
        return 2 * self._scan.nbytes + 8 * len(self)

    def nearest(
        self, query: NDArray[np.uint8], k: int, rows: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The nearest ``k`` codes, or all if there are fewer; see `CodeIndex.nearest`."""
        check_query(query, self.num_bits)
        check_k(k)
        for radius in range(self._key + 1):
            if self._slower_than_scan(radius, rows):
                break
            distances, found = self._look_up(query, radius, rows)
            if len(found) >= k:
                return in_order(distances, found, k)
        return self._scan.nearest(query, k, rows)

    def within(
        self, query: NDArray[np.uint8], radius: int, rows: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All codes at most ``radius`` bits away; see `CodeIndex.within`."""
        check_query(query, self.num_bits)
        radius = min(radius, self.num_bits)
        if radius < 0 or self._slower_than_scan(radius, rows):
            return self._scan.within(query, radius, rows)
        return in_order(*self._look_up(query, radius, rows))

    def _slower_than_scan(self, radius: int, rows: NDArray[np.int64] | None) -> bool:
        buckets = sum(comb(self._key, flips) for flips in range(radius + 1))
        return buckets * _PROBE_COST > (len(self) if rows is None else len(rows))

    def _look_up(
        self, query: NDArray[np.uint8], radius: int, rows: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Distances and rows of the items within a radius, bucket by bucket."""
        with self._lock:
            self._table.nflip = radius
            _, distances, found = self._table.range_search(query[None], radius + 1)  # faiss wants less than this
        if rows is not None:
            places = np.searchsorted(rows, found)
            allowed = places < len(rows)
            allowed[allowed] = rows[places[allowed]] == found[allowed]
            distances, found = distances[allowed], found[allowed]
        return distances.astype(np.int64), found
