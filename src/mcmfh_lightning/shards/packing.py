"""Values as numbers: label sets as packed bits, hashes of texts, numbers of groups, checksums of places.

Groups (studies, articles, patients) have a name for people, and a number for sums and exclusions.
"""

import hashlib
import re
import zlib
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError


def packed_width(num_bits: int) -> int:
    """Return how many bytes hold ``num_bits`` bits."""
    return -(-num_bits // 8)


def unpack_bits(packed: NDArray[np.uint8], num_bits: int) -> NDArray[np.bool_]:
    """Unpack rows of bits, of which the first is the highest of the first byte, as `numpy.packbits` packs them.

    Args:
        packed: (N, ceil(L / 8)) uint8.
        num_bits: L.

    Returns:
        (N, L) bool.
    """
    return np.unpackbits(packed, axis=-1, count=num_bits).astype(np.bool_)


def pack_labels(label_sets: Sequence[Collection[str]], vocabulary: Sequence[str]) -> NDArray[np.uint8]:
    """Pack label sets; the first bit is the highest of the first byte, pad bits are 0.

    Args:
        label_sets: The labels of N pairs.
        vocabulary: The L labels that exist; bit ``i`` is the ``i``-th.

    Returns:
        (N, ceil(L / 8)) uint8.

    Raises:
        DataError: If a label is not in the vocabulary.
    """
    position = {label: i for i, label in enumerate(vocabulary)}
    bits = np.zeros((len(label_sets), len(vocabulary)), dtype=np.bool_)
    for row, labels in enumerate(label_sets):
        for label in labels:
            if label not in position:
                raise DataError(f"label {label!r} is not in the label vocabulary: write the folder again")
            bits[row, position[label]] = True
    return np.packbits(bits, axis=-1)


def hash_number(content: bytes) -> int:
    """Return the first 8 bytes of the SHA-256 of some bytes as a signed 64-bit integer."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big", signed=True)


def text_hash(text: str) -> int:
    r"""Return a number that is equal for texts that are equal up to white space.

    The `hash_number` of the text, runs of white space made one blank: in a million different texts the chance of a
    collision is about 3e-8.

    >>> text_hash("no  acute\nfinding ") == text_hash("no acute finding")
    True
    """
    return hash_number(" ".join(text.split()).encode())


_INTEGER = re.compile(r"0|-?[1-9][0-9]*")


def group_number(name: str) -> int:
    """Return the number of a group: that of its name if it is an integer of 64 bits, else a hash of the name.

    A hash, not a counter: the number of a group, and with it its split, must not depend on the other groups. Two names
    may therefore have one number; code that collects names has to check it.

    >>> group_number("17"), group_number("P-17")
    (17, -440880982678804470)
    """
    # Only as Python writes it: the patients 7 and 007 may be two.
    if _INTEGER.fullmatch(name) and len(name) <= 20 and -(2**63) <= int(name) < 2**63:
        return int(name)
    return hash_number(name.encode())


def place_checksum(shard: str, number: int, key: str) -> int:
    """Return what the checksums of a record start from, so that good bytes in the wrong place are found too.

    Args:
        shard: File name of the shard, such as ``train-000-00000.tar``.
        number: Number of the record in its shard, from 0.
        key: Key of the record.

    Returns:
        A CRC-32, to be given to `zlib.crc32` as its second argument.
    """
    return zlib.crc32(f"{shard}/{number}/{key}".encode())
