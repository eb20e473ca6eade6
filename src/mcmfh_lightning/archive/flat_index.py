"""Exact search among packed codes by a scan of faiss."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import faiss
import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.archive.results import IndexKind
from mcmfh_lightning.shards import packed_width

# faiss' counting search keeps `k` places for each distance. For a `k` above this share of the codes the scan within a
# radius is used, which takes no more memory than its result.
_DENSE = 16

Found = tuple[NDArray[np.int64], NDArray[np.int64]]


class FlatIndex:
    """Index that compares a query with every code.

    Its methods are exact. They return the distances in bits and the rows of the codes found, in the order
    (distance, row): the rows of an archive are sorted by id, so that ties come in the order of ids. Functions of faiss
    for arrays are called, because its index would hold a copy of the codes.

    Args:
        codes: (N, ceil(num_bits / 8)) uint8, packed; a memory map is not read into memory.
        num_bits: Bits of a code.

    Raises:
        ValueError: If ``codes`` are not packed codes of that number of bits.

    Example:
        >>> index = FlatIndex(np.array([[0], [7], [1], [2]], np.uint8), num_bits=8)
        >>> index.nearest(np.array([0], np.uint8), k=3)
        (array([0, 1, 1]), array([0, 2, 3]))
        >>> index.within(np.array([0], np.uint8), radius=3, rows=np.array([1, 3]))
        (array([1, 3]), array([3, 1]))
    """

    kind: ClassVar[IndexKind] = "flat"

    def __init__(self, codes: NDArray[np.uint8], num_bits: int) -> None:
        width = packed_width(num_bits)
        if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != width:
            raise ValueError(
                f"codes of {num_bits} bits are (N, {width}) uint8, got {codes.shape} {codes.dtype}: pack them by "
                "mcmfh_lightning.metrics.functional.pack_bits"
            )
        self.num_bits = num_bits
        self._codes = np.ascontiguousarray(codes)

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def nbytes(self) -> int:
        """Bytes that the index holds at least, the codes included."""
        return self._codes.nbytes

    def nearest(self, query: NDArray[np.uint8], k: int, rows: NDArray[np.int64] | None = None) -> Found:
        """Find the nearest ``k`` codes, or all if there are fewer.

        Args:
            query: (ceil(num_bits / 8),) uint8, packed.
            k: Number of codes, 0 or more.
            rows: (M,) rows allowed, ascending; None allows all.

        Returns:
            Distances and rows, in the order of both.

        Raises:
            ValueError: If the query is of another width or ``k`` is negative.
        """
        self._check_query(query)
        if k < 0:
            raise ValueError(f"k must be 0 or more, got {k}")
        codes = self._allowed(rows)
        k = min(k, len(codes))
        if k == 0 or k > len(codes) // _DENSE:  # faiss' search aborts the process for none
            distances, places = _within(query, codes, self.num_bits)
            distances, places = distances[:k], places[:k]
        else:
            # Counts per distance instead of a heap: ties come in the order of rows.
            found = faiss.knn_hamming(_widened(query[None]), _widened(codes), k, variant="mc")
            distances, places = found[0][0].astype(np.int64), found[1][0]
        return distances, places if rows is None else rows[places]

    def within(self, query: NDArray[np.uint8], radius: int, rows: NDArray[np.int64] | None = None) -> Found:
        """Find all codes at most ``radius`` bits away.

        Args:
            query: (ceil(num_bits / 8),) uint8, packed.
            radius: Distance in bits.
            rows: (M,) rows allowed, ascending; None allows all.

        Returns:
            Distances and rows, in the order of both.

        Raises:
            ValueError: If the query is of another width.
        """
        self._check_query(query)
        distances, places = _within(query, self._allowed(rows), radius)
        return distances, places if rows is None else rows[places]

    def _allowed(self, rows: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        # `numpy.take` copies rows ten times as fast as an index does.
        return self._codes if rows is None else np.take(self._codes, rows, axis=0)

    def _check_query(self, query: NDArray[np.uint8]) -> None:
        width = packed_width(self.num_bits)
        if query.dtype != np.uint8 or query.shape != (width,):
            raise ValueError(
                f"a query of {self.num_bits} bits is ({width},) uint8, got {query.shape} {query.dtype}: pack it by "
                "mcmfh_lightning.metrics.functional.pack_bits"
            )


@contextmanager
def faiss_on_one_thread() -> Iterator[None]:
    """Let faiss use one thread; OpenMP keeps this setting for each thread that calls.

    One query gains little from several cores (faiss divides queries among them, not codes) and loses much where other
    programs use them: then 7,426 codes were searched in 27 ms with two threads, in less than 1 with one.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _widened(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill codes of 1 or 2 bytes up to 4 with zeros, which change no distance.

    faiss has a loop for 4 bytes and none for fewer. The copy, 4 bytes an item during a search, takes a tenth of the
    time and makes the rest four times as fast.
    """
    width = codes.shape[1]
    if width > 2:
        return np.ascontiguousarray(codes)
    return np.ascontiguousarray(codes).view(np.dtype(f"u{width}")).astype(np.uint32).view(np.uint8)


def _within(query: NDArray[np.uint8], codes: NDArray[np.uint8], radius: int) -> Found:
    """Do what faiss' ``IndexBinaryFlat.range_search`` does, on an array."""
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
    rows = faiss.rev_swig_ptr(result.labels, count)
    keys = np.sort(distances * len(codes) + rows)
    return np.divmod(keys, max(1, len(codes)))
