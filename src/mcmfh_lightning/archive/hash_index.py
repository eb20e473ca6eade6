"""A hash table of the codes by faiss: exact, and fast where a query's near codes are few buckets away."""

import threading
from math import comb
from typing import ClassVar, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.archive.flat_index import FlatIndex, check_k, check_query, in_order

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
