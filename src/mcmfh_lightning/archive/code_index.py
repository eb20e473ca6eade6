"""Exact search among packed codes: what both indexes answer, and which one an archive takes.

Answering a query on one core.

One query gains little from several cores (faiss divides queries among them, not codes) and loses much where others use
them, as threads wait for the slowest. On two cores a text was encoded in 14 ms with one thread and with two; with two
in 180 ms while another program ran, and 7,426 codes were searched in 27 ms in place of less than 1.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal, Protocol

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from mcmfh_lightning.archive.faiss_indexes import FlatIndex, HashIndex

IndexKind = Literal["flat", "hash"]

# A scan of a million codes takes about a millisecond, a tenth of what encoding the query takes: below, nothing is
# gained by a table, which is made anew whenever an archive is opened (docs/results/benchmarks.md, Search).
LARGE = 1_000_000


class CodeIndex(Protocol):
    """Codes to search, one a row.

    Both methods are exact and return the distances in bits and the rows of the codes found, in the order of
    (distance, row): an archive's rows are sorted by id, so that ties come in the order of ids. ``rows`` are the rows
    allowed, ascending; None for all.
    """

    kind: ClassVar[IndexKind]
    """How it searches."""

    def __len__(self) -> int:
        """Number of codes."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes that the index holds, the codes included."""
        ...

    def nearest(
        self, query: NDArray[np.uint8], k: int, rows: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The nearest ``k`` codes, or all if there are fewer.

        Args:
            query: (ceil(num_bits / 8),) uint8, packed.
            k: How many, 0 or more.
            rows: (M,) rows allowed, ascending; None for all.

        Returns:
            Distances and rows, in the order of both.

        Raises:
            ValueError: If the query is of another width or ``k`` is negative.
        """
        ...

    def within(
        self, query: NDArray[np.uint8], radius: int, rows: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All codes at most ``radius`` bits away.

        Args:
            query: (ceil(num_bits / 8),) uint8, packed.
            radius: In bits.
            rows: (M,) rows allowed, ascending; None for all.

        Returns:
            Distances and rows, in the order of both.

        Raises:
            ValueError: If the query is of another width.
        """
        ...


def choose_kind(num_items: int, num_bits: int) -> IndexKind:
    """Index for an archive of a size: hash where the archive is large and its codes must repeat.

    There are 2^K codes of K bits. With four items for each, the nearest lie in a few buckets around the query's. Of
    longer codes most buckets are empty: a search would look into many and scan all the same.

    Args:
        num_items: Number of items.
        num_bits: Bits of a code.
    """
    return "hash" if num_items >= LARGE and num_items >= 4 * 2**num_bits else "flat"


def code_index(codes: NDArray[np.uint8], num_bits: int, kind: IndexKind | None = None) -> CodeIndex:
    """Index of an archive's codes.

    Args:
        codes: (N, ceil(num_bits / 8)) uint8, packed; a memory map is not read into memory.
        num_bits: Bits of a code.
        kind: How to search; `choose_kind` by default.

    Raises:
        ValueError: If ``codes`` are not packed codes of that many bits.
    """
    kind = choose_kind(len(codes), num_bits) if kind is None else kind
    return HashIndex(codes, num_bits) if kind == "hash" else FlatIndex(codes, num_bits)


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """Have torch use one thread meanwhile.

    Its setting is one of the process: who enters while another is inside would bring back 1, so callers hold a lock.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def faiss_on_one_thread() -> Iterator[None]:
    """Have faiss use one thread meanwhile; OpenMP keeps this setting for each thread that calls."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
