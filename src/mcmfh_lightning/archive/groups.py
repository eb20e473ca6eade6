"""Which items are of a group, as people name it."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mcmfh_lightning.datamodules.shards.groups import group_number
from mcmfh_lightning.datamodules.shards.pair import is_name
from mcmfh_lightning.errors import DataError


def of_groups(items: pa.Table, groups: Iterable[str]) -> NDArray[np.bool_]:
    """Find the items of some groups.

    A group is asked for by its own name. Items that an earlier release added, or that were added from features of
    version 2 of the format, have the number of the group as its name: they are found by the name too, whose number is
    known. Where no item has the name, it may be the number itself, as earlier releases showed it.

    Args:
        items: N items with the columns ``group`` and ``group_name``.
        groups: Names, or numbers in digits.

    Returns:
        (N,) bool: whether an item is of one of them.
    """
    found = np.zeros(len(items), dtype=np.bool_)
    for name in groups:
        found |= _of_group(items, name)
    return found


def others_of_their_number(items: pa.Table, found: NDArray[np.bool_]) -> list[str]:
    """Name the groups that have the number of an item that was found, but were not asked for.

    Args:
        items: As `of_groups` takes them.
        found: What it returned.
    """
    same = pc.is_in(items["group"], value_set=items["group"].filter(pa.array(found)).combine_chunks()).to_numpy()
    names: list[str] = pc.unique(items["group_name"].filter(pa.array(same & ~found))).to_pylist()
    return names


def unknown_groups(items: pa.Table, groups: Iterable[str]) -> list[str]:
    """Name the groups that none of the items is of."""
    return [name for name in groups if not _of_group(items, name).any()]


def check_groups(items: pa.Table, groups: Iterable[str]) -> None:
    """Refuse a group that none of the items is of: a mistyped one would find or delete nothing.

    Raises:
        DataError: If there is one.
    """
    if unknown := unknown_groups(items, groups):
        like = f", such as {items['group_name'][0].as_py()!r}" if len(items) else ""
        raise DataError(
            f"the archive has no item of group {', '.join(map(repr, unknown))}: write the names of groups as the "
            f"collection does{like}"
        )


def _of_group(items: pa.Table, name: str) -> NDArray[np.bool_]:
    if not is_name(name):  # half a character, for one
        return np.zeros(len(items), dtype=np.bool_)
    names, numbers = items["group_name"], items["group"]
    number = group_number(name)
    found = pc.or_(pc.equal(names, name), pc.equal(names, str(number)))
    if not pc.any(found).as_py():
        found = pc.equal(numbers, number)
    mask: NDArray[np.bool_] = found.to_numpy()
    return mask
