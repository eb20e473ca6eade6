"""The systems under test, each opened on its items and searched with one query or many."""

import ctypes
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.archive.indexes import FlatIndex, HashIndex
from retrieval.rows import FAISS_FLAT, FLAT, HASH, MULTI_HASH, REAL

K = 50
SCAN, BLAS = 1 << 30, 1
"""What `choose_way` takes: a size that no search reaches, and one that every search reaches."""
Array = NDArray[np.generic]
Found = tuple[Array, Array]


@dataclass(frozen=True)
class Engine:
    """An index that is open."""

    system: str
    width: int
    queries: Array
    """(Q, ...) as the system takes them."""
    search: Callable[[Array], Found]
    """Distances (or products) and rows of the nearest `K` items of one query."""
    search_all: Callable[[Array, int], object] | None
    """The same for many, with so many threads; None where the system takes too long for it."""
    nbytes: int
    """Of the index, as far as the system says or writes."""
    resident: float = 0.0
    """MB that the process grew by until the first search was answered."""
    opening: float = 0.0
    """Milliseconds until the index was open."""
    omp_threads: int | None = None
    """Of faiss for a query; None: as many as are measured."""
    ways: tuple[int, ...] = (0,)
    """How it may take a query alone, for `choose_way`; the faster one counts."""

    def one(self, number: int) -> Found:
        """Search with a single query."""
        return self.search(self.queries[number])


def choose_way(way: int) -> None:
    """Let faiss compute inner products by a scan or by BLAS; it calls BLAS for searches from this size on."""
    if way:
        faiss.cvar.distance_compute_blas_threshold = way


def measured(opened: Callable[[], Engine]) -> Engine:
    """Open an index and measure what that takes."""
    before, begin = _resident(), time.perf_counter()
    engine = opened()
    opening = time.perf_counter() - begin
    engine.one(0)
    return replace(engine, opening=1e3 * opening, resident=_resident() - before)


def real_valued(chunks: Iterator[NDArray[np.float32]], queries: NDArray[np.float32]) -> Engine:
    """The flat inner product of faiss: a query alone by a scan or by BLAS, many by BLAS (a scan reads all for each)."""
    index = faiss.IndexFlatIP(queries.shape[1])
    for chunk in chunks:
        index.add(np.ascontiguousarray(chunk, np.float32))

    def search_all(several: Array, _: int) -> None:
        choose_way(BLAS)
        index.search(several, K)

    return Engine(
        REAL,
        queries.shape[1],
        queries,
        lambda query: _one_row(index.search(query[None], K)),
        search_all,
        index.ntotal * index.code_size,
        ways=(SCAN, BLAS),
    )


def ours(build: type[FlatIndex] | type[HashIndex], codes: Path, num_bits: int, queries: NDArray[np.uint8]) -> Engine:
    """An index of the archive over a file of codes, mapped into memory. One thread a query, as an archive searches."""
    index: FlatIndex = build(np.load(codes, mmap_mode="r"), num_bits)

    def search_all(several: Array, threads: int) -> None:
        with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
            for _ in pool.map(
                lambda part: [index.nearest(query, K) for query in part], np.array_split(several, threads)
            ):
                pass

    return Engine(
        FLAT if index.kind == "flat" else HASH,
        num_bits,
        queries,
        lambda query: index.nearest(query, K),
        search_all,
        index.nbytes,
        omp_threads=1,
    )


def faiss_flat(codes: Path, num_bits: int, queries: NDArray[np.uint8]) -> Engine:
    """The flat binary index of faiss as it comes: a copy of the codes, a heap, queries divided among threads."""
    index = faiss.IndexBinaryFlat(num_bits)
    index.add(np.load(codes))
    return Engine(
        FAISS_FLAT,
        num_bits,
        queries,
        lambda query: _one_row(index.search(query[None], K)),
        lambda several, _: index.search(several, K),
        index.ntotal * index.code_size,
    )


def faiss_multi_hash(codes: Path, num_bits: int, queries: NDArray[np.uint8]) -> Engine:
    """The hash index of faiss for long codes, made exact: a table for every 16 bits.

    An item within ``radius`` bits differs by at most ``radius // tables`` bits in one of the tables, so that flipping
    ever more bits until ``K`` items lie within that radius finds the nearest.
    """
    tables = num_bits // 16
    index = faiss.IndexBinaryMultiHash(num_bits, tables, 16)
    index.add(np.load(codes))

    def search(query: Array) -> Found:
        for flips in range(17):
            index.nflip = flips
            _, distances, rows = index.range_search(query[None], tables * (flips + 1))  # faiss wants less than this
            if len(rows) >= K:
                break
        order = np.lexsort((rows, distances))[:K]
        return distances[order].astype(np.int64), rows[order]

    size = len(faiss.serialize_index_binary(index))
    return Engine(MULTI_HASH, num_bits, queries, search, None, size)


def _one_row(found: Found) -> Found:
    return found[0][0], found[1][0]


def _resident() -> float:
    """MB of the process in memory, what lies unused in the heap given back."""
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6
