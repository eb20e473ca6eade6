"""Exact search among packed codes: what both indexes answer, and which one an archive takes."""

from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.archive.flat_index import FlatIndex
from mcmfh_lightning.archive.hash_index import HashIndex

IndexKind = Literal["flat", "hash"]

# A scan of a million codes takes about a millisecond, a tenth of what encoding the query takes: below, nothing is
# gained by a table, which is made anew whenever an archive is opened (docs/benchmarks.md, Search).
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
