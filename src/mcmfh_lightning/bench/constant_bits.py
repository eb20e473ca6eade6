"""Find bits that are the same in every code of a file: they rank nothing, or the same for every query."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.bench.items import Items

_LISTED = 12
"""Numbers of bits that a warning shows at most."""


def constant_bit_warnings(query: Items, database: Items) -> list[str]:
    """Describe codes that are all equal and bits that never change, on one side or on both.

    A side of a single item is left out: all of its bits are constant by nature.

    Args:
        query: The queries.
        database: The database.

    Returns:
        One sentence for each finding; empty if every bit changes on both sides.
    """
    ours, theirs = _constant(query), _constant(database)
    warnings = []
    if ours.all():
        warnings.append(
            f"{query.where('codes')}: all {len(query):,} queries have the same code, so that all see one ranking"
        )
    if theirs.all():
        warnings.append(
            f"{database.where('codes')}: all {len(database):,} items have the same code, so that all are tied: the "
            "values are those of chance"
        )
    if ours.all() or theirs.all():
        return warnings
    for side, bits, what in (
        (query, ours & theirs, "in all queries and in the whole database, so that they rank nothing"),
        (query, ours & ~theirs, "in all queries but not in the database, so that they rank alike for every query"),
        (database, theirs & ~ours, "in the whole database but not in all queries, so that they rank nothing"),
    ):
        if bits.any():
            numbers = _numbered(np.flatnonzero(bits).tolist(), side.num_bits)
            warnings.append(f"{side.where('codes')}: {numbers} are the same {what}")
    return warnings


def _constant(items: Items) -> NDArray[np.bool_]:
    """Whether each bit is the same in all codes, (num_bits,)."""
    codes = items.codes.numpy()
    if len(codes) == 1:
        return np.zeros(items.num_bits, dtype=bool)
    changing = np.bitwise_or.reduce(codes) & ~np.bitwise_and.reduce(codes)  # (ceil(num_bits / 8),)
    constant: NDArray[np.bool_] = np.unpackbits(changing, count=items.num_bits) == 0
    return constant


def _numbered(bits: Sequence[int], num_bits: int) -> str:
    shown = ", ".join(map(str, bits[:_LISTED]))
    more = f" and {len(bits) - _LISTED} more" if len(bits) > _LISTED else ""
    return f"{len(bits)} of {num_bits} bits (counted from 0: {shown}{more})"
