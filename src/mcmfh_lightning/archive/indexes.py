"""Choice of the index over an archive's codes; both kinds find the same."""

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.archive.flat_index import FlatIndex
from mcmfh_lightning.archive.hash_index import LONGEST, AddressTable, HashIndex
from mcmfh_lightning.archive.results import IndexKind
from mcmfh_lightning.errors import ConfigError

# A scan of fewer items takes less than a tenth of a millisecond, a hundredth of what encoding the query takes.
LARGE = 100_000
_ADDRESSES = 16  # of a table for each item at most: 64 bytes of a file, of which a search reads few


def choose_kind(num_items: int, num_bits: int) -> IndexKind:
    """Choose the index of an archive: a hash table for many items with short codes.

    Args:
        num_items: Number of items.
        num_bits: Bits of a code.
    """
    fits = num_bits <= LONGEST and 2**num_bits <= _ADDRESSES * num_items
    return "hash" if num_items >= LARGE and fits else "flat"


def check_kind(kind: IndexKind | None, num_bits: int) -> None:
    """Refuse a hash table for codes that are too long to be addresses.

    Args:
        kind: Kind that was asked for; None for any.
        num_bits: Bits of a code.

    Raises:
        ConfigError: If the codes are longer than `LONGEST` bits.
    """
    if kind == "hash" and num_bits > LONGEST:
        raise ConfigError(
            f"index hash is for codes of at most {LONGEST} bits, the archive's have {num_bits}: choose flat, which "
            "finds the same"
        )


def code_index(
    codes: NDArray[np.uint8], num_bits: int, kind: IndexKind | None = None, table: AddressTable | None = None
) -> FlatIndex:
    """Make the index of an archive's codes.

    Args:
        codes: (N, ceil(num_bits / 8)) uint8, packed; a memory map is not read into memory.
        num_bits: Bits of a code.
        kind: How to search; `choose_kind` by default.
        table: Table of these codes; a hash index makes it if None.

    Raises:
        ConfigError: If a hash table is asked for and the codes are too long.
        ValueError: If ``codes`` are not packed codes of that number of bits.
    """
    check_kind(kind, num_bits)
    kind = choose_kind(len(codes), num_bits) if kind is None else kind
    return HashIndex(codes, num_bits, table) if kind == "hash" else FlatIndex(codes, num_bits)
