"""The systems whose searches are compared: each is opened on its items, and searched with one query or many."""

import ctypes
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray
from search_tables import DRAWN, FAISS_FLAT, FAISS_HASH, FLAT, HASH, MULTI_HASH, REAL

from mcmfh_lightning.archive.address_table import AddressTable, number_type
from mcmfh_lightning.archive.flat_index import FlatIndex
from mcmfh_lightning.archive.hash_index import HashIndex

K = 50
SCAN, BLAS = 1 << 30, 1  # values for `choose_way`: a size that no search reaches, and one that every search reaches
Array = NDArray[np.generic]
Codes = NDArray[np.uint8]
Found = tuple[Array, Array]


@dataclass(frozen=True)
class Engine:
    """An open index.

    Attributes:
        system: Name of the system.
        width: Number of bits, or of numbers of an embedding.
        queries: (Q, ...) as the system takes them.
        search: Finds distances (or products) and rows of the nearest `K` items of one query.
        search_all: Does the same for many queries, with a number of threads; None where the system takes too long.
        nbytes: Size of the index, as far as the system says or writes.
        data: Name of the items.
        resident: MB that the process grew by until the first search was answered.
        opening: Milliseconds until the index was open.
        omp_threads: Threads of faiss for a query; None: as many as are measured.
        ways: How it may take a single query, for `choose_way`; the faster way counts.
    """

    system: str
    width: int
    queries: Array
    search: Callable[[Array], Found]
    search_all: Callable[[Array, int], object] | None
    nbytes: int
    data: str = DRAWN
    resident: float = 0.0
    opening: float = 0.0
    omp_threads: int | None = None
    ways: tuple[int, ...] = (0,)

    def one(self, number: int) -> Found:
        """Search with a single query."""
        return self.search(self.queries[number])


def choose_way(way: int) -> None:
    """Let faiss compute inner products by a scan or by BLAS, which it calls for searches from this size on."""
    if way:
        faiss.cvar.distance_compute_blas_threshold = way


def measured(opened: Callable[[], Engine]) -> Engine:
    """Open an index, and measure what that takes."""
    before, begin = _resident(), time.perf_counter()
    engine = opened()
    opening = time.perf_counter() - begin
    engine.one(0)
    return replace(engine, opening=1e3 * opening, resident=_resident() - before)


def real_valued(chunks: Iterator[NDArray[np.float32]], queries: NDArray[np.float32]) -> Engine:
    """Open the flat inner product of faiss: one query by a scan or by BLAS, many by BLAS."""
    width = queries.shape[1]
    index = faiss.IndexFlatIP(width)
    for chunk in chunks:
        index.add(np.ascontiguousarray(chunk, np.float32))

    def search_all(several: Array, _: int) -> None:
        choose_way(BLAS)  # a scan reads all vectors for each query
        index.search(several, K)

    size = index.ntotal * index.code_size
    return Engine(REAL, width, queries, _search_alone(index), search_all, size, ways=(SCAN, BLAS))


def ours(build: type[FlatIndex], codes: Path, num_bits: int, queries: Codes) -> Engine:
    """Open an index of the archive over a file of codes, mapped into memory. One thread a query, as in an archive.

    The table of a hash index is mapped too, from the files of `save_table`.
    """
    mapped = np.load(codes, mmap_mode="r")
    if build is HashIndex:
        table = AddressTable(*(np.load(table_file(codes, name), mmap_mode="r") for name in AddressTable._fields))
        index: FlatIndex = HashIndex(mapped, num_bits, table)
    else:
        index = build(mapped, num_bits)
    search = partial(index.nearest, k=K)

    def search_all(several: Array, threads: int) -> None:
        with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
            list(pool.map(lambda part: [search(query) for query in part], np.array_split(several, threads)))

    system = HASH if build is HashIndex else FLAT
    return Engine(system, num_bits, queries, search, search_all, index.nbytes, omp_threads=1)


def table_file(codes: Path, name: str) -> Path:
    """Name the file of a column of the table of a file of codes."""
    return codes.with_name(f"{codes.stem}-{name}.npy")


def save_table(codes: Path, num_bits: int) -> None:
    """Make the table of a file of codes; its rows are written where they belong, so that memory does not limit it."""
    mapped = np.load(codes, mmap_mode="r")
    kind = number_type(len(mapped))
    rows = np.lib.format.open_memmap(table_file(codes, "rows"), "w+", kind, (len(mapped),))
    np.save(table_file(codes, "offsets"), AddressTable.build(mapped, num_bits, rows).offsets)
    rows.flush()


def faiss_flat(codes: Path, num_bits: int, queries: Codes) -> Engine:
    """Open the flat binary index of faiss by its defaults: a copy of the codes, queries divided among threads."""
    index = faiss.IndexBinaryFlat(num_bits)
    index.add(np.load(codes))
    alone, size = _search_alone(index), index.ntotal * index.code_size
    return Engine(FAISS_FLAT, num_bits, queries, alone, lambda several, _: index.search(several, K), size)


def faiss_multi_hash(codes: Path, num_bits: int, queries: Codes) -> Engine:
    """Open the hash index of faiss for long codes, made exact: a table for every 16 bits.

    An item within ``radius`` bits differs by at most ``radius // tables`` bits in one of the tables. So flipping more
    and more bits until ``K`` items are within that radius finds the nearest.
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

    return Engine(MULTI_HASH, num_bits, queries, search, None, len(faiss.serialize_index_binary(index)))


def faiss_hash(codes: Path, num_bits: int, queries: Codes) -> Engine:
    """Open the hash index of faiss for short codes, made exact: more and more bits are flipped until `K` are found."""
    index = faiss.IndexBinaryHash(num_bits, num_bits)
    index.add(np.load(codes))

    def search(query: Array) -> Found:
        for flips in range(num_bits + 1):
            index.nflip = flips
            _, distances, rows = index.range_search(query[None], flips + 1)  # faiss wants less than this
            if len(rows) >= K:
                break
        order = np.lexsort((rows, distances))[:K]
        return distances[order].astype(np.int64), rows[order]

    return Engine(FAISS_HASH, num_bits, queries, search, None, index.ntotal * (index.code_size + 8))


def _search_alone(index: faiss.Index | faiss.IndexBinary) -> Callable[[Array], Found]:
    def search(query: Array) -> Found:
        distances, rows = index.search(query[None], K)
        return distances[0], rows[0]

    return search


def _resident() -> float:
    """Measure the MB of the process in memory, after the unused part of the heap is given back."""
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6
