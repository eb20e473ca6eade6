"""Exact search among short codes, in time that depends on what is found and not on the number of items."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.archive.address_table import LONGEST, AddressTable, flips
from mcmfh_lightning.archive.flat_index import FlatIndex, Found
from mcmfh_lightning.archive.results import IndexKind

__all__ = ["LONGEST", "AddressTable", "HashIndex"]

# Nanoseconds, measured with one thread. What is estimated too low or too high changes no result.
_STEP, _LOOK, _LOOK_FAR = 13_000, 4, 16  # of a distance, and of each code at it: in a table that fits a cache, or not
_GATHER, _FILTER = 10, 80  # of a row that is found, and of one that is looked for among the rows allowed
_CALL, _SCAN, _SCAN_THREE, _COPY = 10_000, 0.9, 3.6, 4  # of a scan, of each item in it, and of each item copied for it
_SHARE = 0.5  # of the time of a scan that may be spent before it is called all the same
_CACHED = 18  # bits of a code, a table of which fits a cache: 1 MiB
_NONE = np.empty(0, np.int64)


class HashIndex(FlatIndex):
    """Index that looks up codes in a table, outward from the query's, and scans where that is cheaper.

    Arguments and methods are those of `FlatIndex`. The table takes 4 bytes an item, and 4 for each of the 2^num_bits
    codes that exist.

    Args:
        codes: (N, ceil(num_bits / 8)) uint8, packed; a memory map is not read into memory.
        num_bits: Bits of a code, at most `LONGEST`.
        table: Table of these codes, for example memory maps; made if None.

    Raises:
        ValueError: If ``codes`` are not packed codes of that number of bits.

    Example:
        >>> index = HashIndex(np.array([[7], [0], [1], [0]], np.uint8), num_bits=8)
        >>> index.nearest(np.array([0], np.uint8), k=3)
        (array([0, 0, 1]), array([1, 3, 2]))
    """

    kind: ClassVar[IndexKind] = "hash"

    def __init__(self, codes: NDArray[np.uint8], num_bits: int, table: AddressTable | None = None) -> None:
        super().__init__(codes, num_bits)
        if num_bits > LONGEST:
            raise ValueError(f"codes of {num_bits} bits are too long for a table, {LONGEST} at most: use FlatIndex")
        offsets, rows = AddressTable.build(self._codes, num_bits) if table is None else table
        # Plain arrays: each operation on a memory map makes another one.
        self._table = AddressTable(np.asarray(offsets).view(np.ndarray), np.asarray(rows).view(np.ndarray))

    @property
    def nbytes(self) -> int:
        """Bytes that the index holds at least: the codes and the table."""
        return self._codes.nbytes + self._table.offsets.nbytes + self._table.rows.nbytes

    def nearest(self, query: NDArray[np.uint8], k: int, rows: NDArray[np.int64] | None = None) -> Found:
        """Find the nearest ``k`` codes; see `FlatIndex.nearest`."""
        self._check_query(query)
        wanted = min(k, len(self) if rows is None else len(rows))
        parts: list[NDArray[np.int64]] = []
        for part in self._outward(query, rows, self.num_bits if wanted > 0 else -1, wanted):
            parts.append(part[:wanted])
            wanted -= len(parts[-1])
            if not wanted:
                break
        return super().nearest(query, k, rows) if wanted else _joined(parts)

    def within(self, query: NDArray[np.uint8], radius: int, rows: NDArray[np.int64] | None = None) -> Found:
        """Find all codes at most ``radius`` bits away; see `FlatIndex.within`."""
        self._check_query(query)
        radius = min(max(radius, -1), self.num_bits)
        parts = list(self._outward(query, rows, radius))
        return _joined(parts) if len(parts) == radius + 1 else super().within(query, radius, rows)

    def _outward(
        self, query: NDArray[np.uint8], rows: NDArray[np.int64] | None, radius: int, wanted: int | None = None
    ) -> Iterator[NDArray[np.int64]]:
        """Find rows at distance 0, 1, ..., until that would take a good part of the time of a scan.

        Args:
            query: (ceil(num_bits / 8),) packed code.
            rows: Rows allowed, ascending; None allows all.
            radius: Largest distance.
            wanted: Rows that are needed in all; None for every one.

        Yields:
            Rows allowed at the next distance, ascending; without the last ones where nobody wants them.
        """
        budget = _SHARE * self._time_of_scan(rows)
        center = int.from_bytes(query.tobytes()) >> (8 * len(query) - self.num_bits)
        look = _LOOK if self.num_bits <= _CACHED else _LOOK_FAR
        for distance in range(radius + 1):
            near = flips(self.num_bits, distance)
            budget -= _STEP + look * len(near)
            if budget < 0:
                return
            near = near ^ center
            starts = self._table.offsets.take(near).astype(np.int64)
            lengths = self._table.offsets.take(near + 1) - starts
            first = wanted if rows is None else None
            found = int(lengths.sum())
            budget -= (_GATHER if rows is None else _FILTER) * (found if first is None else min(found, first))
            if budget < 0:
                return
            part = self._rows_of(starts, lengths, first) if found else _NONE
            if rows is not None and found:
                part = among(part, rows)
            if wanted is not None:
                wanted -= len(part)
            yield part

    def _time_of_scan(self, rows: NDArray[np.int64] | None) -> float:
        """Estimate the nanoseconds of a scan."""
        an_item = _SCAN_THREE if self._codes.shape[1] == 3 else _SCAN  # faiss has no loop for 3 bytes
        return _CALL + (an_item * len(self) if rows is None else (an_item + _COPY) * len(rows))

    def _rows_of(self, starts: NDArray[np.int64], lengths: NDArray[np.int64], first: int | None) -> NDArray[np.int64]:
        """Read the rows of several codes, ascending; the ``first`` ones of all at least, or all."""
        some = lengths.nonzero()[0]
        starts, lengths = starts[some], lengths[some]
        if first is not None:
            if len(starts) > first:  # the first rows of all are among the codes whose own first row is among the first
                chosen = np.argpartition(self._table.rows.take(starts), first - 1)[:first]
                starts, lengths = starts[chosen], lengths[chosen]
            lengths = np.minimum(lengths, first)
        if len(starts) == 1:
            return self._table.rows[starts[0] : starts[0] + lengths[0]].astype(np.int64)
        ends = lengths.cumsum()
        places = np.repeat(starts - ends + lengths, lengths) + np.arange(int(lengths.sum()))
        found = self._table.rows.take(places)
        found.sort()
        return found.astype(np.int64)


def among(found: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Select what is among some rows, which ascend."""
    return found[rows.take(np.searchsorted(rows, found), mode="clip") == found] if len(rows) else _NONE


def _joined(parts: list[NDArray[np.int64]]) -> Found:
    """Join the rows at distance 0, 1, ..."""
    lengths = np.array([len(part) for part in parts], np.int64)
    return np.repeat(np.arange(len(parts)), lengths), np.concatenate([_NONE, *parts])
