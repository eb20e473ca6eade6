"""Table of items by their codes, where a code is short enough to be an address."""

from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.shards import packed_width

LONGEST = 24  # bits of a code: 64 MiB of offsets
_CHUNK = 1 << 22  # items that are sorted at a time, for the memory that this takes
_DIGIT = 16  # bits that NumPy sorts by counting


class AddressTable(NamedTuple):
    """Rows of items sorted by (code, row), and the place where each code begins.

    Attributes:
        offsets: (2^num_bits + 1,) unsigned; the rows of code ``c`` are ``rows[offsets[c]:offsets[c + 1]]``.
        rows: (N,) unsigned, of 4 bytes where N is below 2^32.

    Example:
        >>> table = AddressTable.build(np.array([[128], [0], [128]], np.uint8), num_bits=1)
        >>> table.offsets.tolist(), table.rows.tolist()
        ([0, 1, 3], [1, 0, 2])
    """

    offsets: NDArray[np.unsignedinteger]
    rows: NDArray[np.unsignedinteger]

    @classmethod
    def build(cls, codes: NDArray[np.uint8], num_bits: int, rows: NDArray[np.unsignedinteger] | None = None) -> Self:
        """Sort items by counting, in time that is linear in their number.

        Args:
            codes: (N, ceil(num_bits / 8)) uint8, packed; a memory map is read in parts.
            num_bits: Bits of a code, at most `LONGEST`.
            rows: (N,) of the type of `number_type`, to write the rows to, for example a memory map.

        Raises:
            ValueError: If a code has bits beyond its number of bits.
        """
        kind = number_type(len(codes))
        rows = np.empty(len(codes), kind) if rows is None else rows
        parts = range(0, len(codes), _CHUNK)
        counts = np.zeros(2**num_bits, np.int64)
        for start in parts:
            counts += np.bincount(addresses(codes[start : start + _CHUNK], num_bits), minlength=2**num_bits)
        ends = np.cumsum(counts)
        free = ends - counts  # where the next row of each code goes
        for start in parts:
            found = addresses(codes[start : start + _CHUNK], num_bits)
            order = _order(found, num_bits)
            found = found[order]
            first = np.flatnonzero(np.diff(found, prepend=-1))  # of each code's items in this part
            lengths = np.diff(first, append=len(found))
            seen = found[first]
            rows[np.repeat(free[seen] - first, lengths) + np.arange(len(found))] = start + order
            free[seen] += lengths
        offsets = np.zeros(2**num_bits + 1, kind)
        offsets[1:] = ends
        return cls(offsets, rows)

    def fits(self, num_items: int, num_bits: int) -> bool:
        """Tell whether sizes and types fit a number of items, and whether the offsets ascend to the last.

        Args:
            num_items: Number of items.
            num_bits: Bits of a code.
        """
        kind = number_type(num_items)
        return (
            (self.offsets.shape, self.rows.shape) == ((2**num_bits + 1,), (num_items,))
            and self.offsets.dtype == self.rows.dtype == kind
            and bool(self.offsets[0] == 0 and self.offsets[-1] == num_items)
            and bool(np.all(self.offsets[1:] >= self.offsets[:-1]))
        )


def number_type(num_items: int) -> np.dtype[np.unsignedinteger]:
    """Return the type of rows and offsets for a number of items."""
    return np.dtype(np.uint32 if num_items < 2**32 else np.uint64)


def addresses(codes: NDArray[np.uint8], num_bits: int) -> NDArray[np.int64]:
    """Read packed codes as numbers, the first bit as the highest.

    Args:
        codes: (N, ceil(num_bits / 8)) uint8.
        num_bits: Bits of a code, at most `LONGEST`.

    Raises:
        ValueError: If a code has bits beyond its number of bits.
    """
    width = packed_width(num_bits)
    beyond = 8 * width - num_bits
    found = np.zeros(len(codes), np.int64)
    for byte in range(width):
        found = (found << 8) | codes[:, byte]
    if (found & ((1 << beyond) - 1)).any():
        raise ValueError(f"codes of {num_bits} bits have bits beyond these: pack them again")
    return found >> beyond


@lru_cache(maxsize=512)
def flips(num_bits: int, distance: int) -> NDArray[np.int32]:
    """List the numbers of ``num_bits`` bits of which ``distance`` are 1, ascending.

    >>> flips(3, 2).tolist()
    [3, 5, 6]
    """
    if distance == 0:
        return np.zeros(1, np.int32)
    fewer = flips(num_bits, distance - 1)
    tops = 1 << np.arange(num_bits, dtype=np.int32)
    # The highest bit of each, next to all that is possible below it.
    found = np.concatenate([fewer[:count] | top for top, count in zip(tops, np.searchsorted(fewer, tops), strict=True)])
    found.flags.writeable = False  # it is shared
    return found


def _order(found: NDArray[np.int64], num_bits: int) -> NDArray[np.int64]:
    """Sort addresses, equal ones by place: by their low bits, then by their high ones, each by counting."""
    order = np.argsort(found.astype(np.uint16), kind="stable")
    if num_bits <= _DIGIT:
        return order
    high = (found >> _DIGIT).astype(np.uint8)
    return order[np.argsort(high[order], kind="stable")]
