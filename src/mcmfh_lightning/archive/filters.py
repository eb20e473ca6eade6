"""Which items of an archive a search may return.

Which items are of a group, as people name it.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError, McmfhError
from mcmfh_lightning.shards.packing import group_number
from mcmfh_lightning.shards.pair import is_name


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


_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class QueryError(McmfhError, ValueError):
    """A search that cannot be meant: a number out of its range, a date that is none, two queries at once."""


@dataclass(frozen=True)
class Filters:
    """Conditions that all must hold; an empty one holds always.

    Raises:
        QueryError: If a date is not ISO (YYYY-MM-DD), the earliest is after the latest, or a name holds half a
            character.
    """

    labels: tuple[str, ...] = ()
    """Labels that an item must all have."""
    any_labels: tuple[str, ...] = ()
    """Labels of which an item must have at least one."""
    since: str | None = None
    """Earliest ISO date; items without a date do not pass."""
    until: str | None = None
    """Latest ISO date, inclusive; items without a date do not pass."""
    licences: tuple[str, ...] = ()
    groups: tuple[str | int, ...] = ()
    """Groups (studies, articles, patients) by their own names; see `mcmfh_lightning.archive.filters`."""
    without_groups: tuple[str | int, ...] = ()
    splits: tuple[str, ...] = ()
    has_image: bool | None = None
    has_text: bool | None = None

    def __post_init__(self) -> None:
        for name, value in (("since", self.since), ("until", self.until)):
            if value is not None and not _is_date(value):
                raise QueryError(f"{name}={value!r} is not a date; write it as YYYY-MM-DD")
        if self.since is not None and self.until is not None and self.since > self.until:
            raise QueryError(f"since={self.since} is after until={self.until}; exchange them")
        for name in (*self.named_labels, *self.licences, *self.splits):
            if not _is_text(name):
                raise QueryError(f"{name!r} holds half a character; write it anew")

    @property
    def named_labels(self) -> tuple[str, ...]:
        """All labels that are asked for."""
        return (*self.labels, *self.any_labels)

    @property
    def named_groups(self) -> tuple[str, ...]:
        """All groups that are asked for, or that are to be left out."""
        return tuple(map(str, (*self.groups, *self.without_groups)))

    def check_labels(self, known: Collection[str]) -> None:
        """Refuse a label that nothing carries and no vocabulary has, as a mistyped one would only find nothing.

        Raises:
            DataError: If there is one.
        """
        for label in self.named_labels:
            if label not in known:
                close = get_close_matches(label, sorted(known), n=1, cutoff=0.0)
                hint = f"; the nearest is {close[0]!r}" if close else ""
                raise DataError(f"label {label!r} is unknown to the archive{hint} (`mcmfh-archive info` lists them)")

    def passing(self, items: pa.Table) -> NDArray[np.bool_] | None:
        """Which items pass.

        Args:
            items: N items with the columns of `mcmfh_lightning.archive.schema`.

        Returns:
            (N,) bool; None if no condition is set, so that all pass.
        """
        masks = [*self._label_masks(items), *self._date_masks(items), *self._other_masks(items)]
        return np.logical_and.reduce(masks) if masks else None

    def _label_masks(self, items: pa.Table) -> list[NDArray[np.bool_]]:
        masks = [_with_any(items, (label,)) for label in dict.fromkeys(self.labels)]
        return [*masks, _with_any(items, self.any_labels)] if self.any_labels else masks

    def _date_masks(self, items: pa.Table) -> list[NDArray[np.bool_]]:
        # ISO dates compare as strings do; a time of day may follow the date.
        dates = pc.utf8_slice_codeunits(items["date"], 0, 10)
        masks = []
        if self.since is not None:
            masks.append(_numpy(pc.greater_equal(dates, self.since)))
        if self.until is not None:
            masks.append(_numpy(pc.less_equal(dates, self.until)))
        return masks

    def _other_masks(self, items: pa.Table) -> list[NDArray[np.bool_]]:
        masks = [
            _numpy(pc.is_in(items[column], value_set=pa.array(allowed, type=items.schema.field(column).type)))
            for column, allowed in (("licence", self.licences), ("split", self.splits))
            if allowed
        ]
        if self.groups:
            masks.append(of_groups(items, map(str, self.groups)))
        if self.without_groups:
            masks.append(~of_groups(items, map(str, self.without_groups)))
        for column, wanted in (("has_image", self.has_image), ("has_text", self.has_text)):
            if wanted is not None:
                masks.append(_numpy(items[column]) == wanted)
        return masks


def _is_date(value: str) -> bool:
    if not _ISO_DATE.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _with_any(items: pa.Table, wanted: tuple[str, ...]) -> NDArray[np.bool_]:
    """(N,) bool: which items carry at least one of the labels."""
    column = items["labels"].combine_chunks()
    carries = pc.is_in(pc.list_flatten(column), value_set=pa.array(wanted, pa.string()))
    rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    mask = np.zeros(len(items), dtype=np.bool_)
    mask[rows[carries.to_numpy(zero_copy_only=False)]] = True
    return mask


def _numpy(mask: pa.ChunkedArray) -> NDArray[np.bool_]:
    """A boolean column, unknown counting as not passed."""
    found: NDArray[np.bool_] = pc.fill_null(mask, fill_value=False).to_numpy()
    return found
