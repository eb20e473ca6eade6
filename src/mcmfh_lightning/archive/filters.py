"""Conditions on the items that a search may return, and the names that they ask for."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError, McmfhError
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shards.info import SPLITS
from mcmfh_lightning.shards.packing import group_number
from mcmfh_lightning.shards.pair import is_name

Mask = NDArray[np.bool_]


class QueryError(McmfhError, ValueError):
    """Search that makes no sense: a number out of its range, a date that is not one, two queries at once."""


class UnknownError(DataError):
    """Question about something that an archive does not have.

    Args:
        message: What is missing, and the fix.
        public: The same without names, for a service whose errors repeat nothing of a request.
    """

    def __init__(self, message: str, public: str) -> None:
        super().__init__(message)
        self.public = public


class UnknownItemError(UnknownError):
    """Question about an item that an archive does not have."""


@dataclass(frozen=True)
class Filters:
    """Conditions that must all hold; an empty one always holds.

    Attributes:
        labels: Labels that an item must all have.
        any_labels: Labels of which an item must have at least one.
        since: Earliest ISO date; items without a date do not pass.
        until: Latest ISO date, inclusive; items without a date do not pass.
        licences: Licences of which an item must have one.
        groups: Groups (studies, articles, patients) that an item must belong to, by name; see `of_groups`.
        without_groups: Groups that an item must not belong to.
        splits: Splits that an item must be in.
        has_image: Whether an item must have, or must lack, an image.
        has_text: Whether an item must have, or must lack, a text.

    Raises:
        QueryError: If a date is not ISO (YYYY-MM-DD), the earliest is after the latest, or a name holds half a
            character.
    """

    labels: tuple[str, ...] = ()
    any_labels: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    licences: tuple[str, ...] = ()
    groups: tuple[str | int, ...] = ()
    without_groups: tuple[str | int, ...] = ()
    splits: tuple[str, ...] = ()
    has_image: bool | None = None
    has_text: bool | None = None

    def __post_init__(self) -> None:
        for name, value in (("since", self.since), ("until", self.until)):
            if value is not None and not is_date(value):
                raise QueryError(f"{name}={value!r} is not a date; write it as YYYY-MM-DD")
        if self.since is not None and self.until is not None and self.since > self.until:
            raise QueryError(f"since={self.since} is after until={self.until}; exchange them")
        for name in (*self.named_labels, *self.licences, *self.splits):
            if any("\ud800" <= character <= "\udfff" for character in name):
                raise QueryError(f"{name!r} holds half a character; write it again")

    @property
    def named_labels(self) -> tuple[str, ...]:
        """Labels that are asked for."""
        return (*self.labels, *self.any_labels)

    def check_values(self, labels: Collection[str], licences: Collection[str], splits: Collection[str]) -> None:
        """Refuse a label, license or split that an archive does not have, because a mistyped one would find nothing.

        Args:
            labels: Labels of its items and of its vocabulary.
            licences: Licenses of its items.
            splits: Splits of its items; those that every collection may have are known as well.

        Raises:
            UnknownError: If there is one; the message names the nearest.
        """
        _check_known("label", self.named_labels, labels)
        _check_known("license", self.licences, licences)
        _check_known("split", self.splits, {*SPLITS, *splits})

    def passing(self, items: pa.Table) -> Mask | None:
        """Find the items that pass.

        Args:
            items: N items with the columns of `mcmfh_lightning.archive.schema`.

        Returns:
            (N,) bool; None if no condition is set, so that all pass.
        """
        masks = self.conditions(items)
        return np.logical_and.reduce(list(masks.values())) if masks else None

    def conditions(self, items: pa.Table) -> dict[str, Mask]:
        """Find the items that meet each condition; those that are not set are left out.

        Args:
            items: As in `passing`.

        Returns:
            (N,) bool by name.
        """
        masks: dict[str, Mask] = {}
        if self.labels:
            masks["labels"] = _with_all_labels(items, self.labels)
        if self.any_labels:
            masks["any_labels"] = _with_any_label(items, self.any_labels)
        for name, compared, day in (("since", pc.greater_equal, self.since), ("until", pc.less_equal, self.until)):
            if day is not None:
                # ISO dates compare as strings do; a time of day may follow the date.
                values, numbers = _numbered(_whole(items["date"]))
                masks[name] = _of_values(compared(pc.utf8_slice_codeunits(values, 0, 10), day), numbers)
        for name, column, allowed in (("licences", "licence", self.licences), ("splits", "split", self.splits)):
            if allowed:
                values, numbers = _numbered(_whole(items[column]))
                masks[name] = _of_values(pc.is_in(values, value_set=pa.array(allowed, pa.string())), numbers)
        modalities = {"has_image": self.has_image, "has_text": self.has_text}
        masks |= {name: items[name].to_numpy() == has for name, has in modalities.items() if has is not None}
        if self.groups:
            masks["groups"] = of_groups(items, map(str, self.groups))
        if self.without_groups:
            masks["without_groups"] = ~of_groups(items, map(str, self.without_groups))
        return masks


def _check_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            # Labels, licenses and splits describe a collection, so a service may name them too. It never names groups.
            near = did_you_mean(name, known)
            raise UnknownError(
                f"{what} {name!r} is unknown to the archive{near} (`mcmfh-archive info` lists them)",
                f"filters: a {what} is unknown to the archive{near} (/api/facets lists them)",
            )


def of_groups(items: pa.Table, groups: Iterable[str]) -> Mask:
    """Find the items of some groups.

    A group is asked for by its own name. Items that an earlier release added, or that were added from features of
    version 2 of the format, have the number of the group as its name: they are found by the name too, whose number is
    known. Where no item has the name, it may be the number itself, as earlier releases showed it.

    Args:
        items: N items with the columns ``group`` and ``group_name``.
        groups: Names, or numbers in digits.

    Returns:
        (N,) bool.
    """
    found = np.zeros(len(items), dtype=np.bool_)
    for name in groups:
        found |= _of_group(items, name)
    return found


def other_names(items: pa.Table, found: Mask) -> list[str]:
    """Name the groups that have the number of an item that was found, but were not asked for.

    Args:
        items: As in `of_groups`.
        found: What that returned.
    """
    same = pc.is_in(items["group"], value_set=items["group"].filter(pa.array(found)).combine_chunks()).to_numpy()
    names: list[str] = pc.unique(items["group_name"].filter(pa.array(same & ~found))).to_pylist()
    return names


def check_groups(items: pa.Table, groups: Iterable[str]) -> None:
    """Refuse a group without items: a mistyped one would find or delete nothing.

    Raises:
        UnknownError: If there is one.
    """
    if unknown := [name for name in groups if not _of_group(items, name).any()]:
        # No nearest name: P-035 and P-036 are near, and two patients.
        example = f", such as {items['group_name'][0].as_py()!r}" if len(items) else ""
        raise UnknownError(
            f"the archive has no item of group {', '.join(map(repr, unknown))}: write the names of groups as the "
            f"collection does{example}",
            "filters: a group is unknown to the archive; items have their group",
        )


def is_date(text: str) -> bool:
    """Tell whether a text is a date as YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _of_group(items: pa.Table, name: str) -> Mask:
    if not is_name(name):  # half a character, for one
        return np.zeros(len(items), dtype=np.bool_)
    names, number = items["group_name"], group_number(name)
    found = pc.equal(names, name)
    if name != str(number):
        found = pc.or_(found, pc.equal(names, str(number)))
    if not pc.any(found).as_py():
        found = pc.equal(items["group"], number)
    mask: Mask = found.to_numpy()
    return mask


def _with_all_labels(items: pa.Table, wanted: tuple[str, ...]) -> Mask:
    """Find the items that have all labels, one or more."""
    mask: Mask = np.logical_and.reduce([_with_any_label(items, (label,)) for label in dict.fromkeys(wanted)])
    return mask


def _with_any_label(items: pa.Table, wanted: tuple[str, ...]) -> Mask:
    """Find the items that have at least one of the labels."""
    column = _whole(items["labels"])
    values, numbers = _numbered(column.values)
    places = np.flatnonzero(_of_values(pc.is_in(values, value_set=pa.array(wanted, pa.string())), numbers))
    # The list that holds each place: the last that begins there or before, as an empty one begins where the next does.
    offsets = column.offsets.to_numpy()
    rows = np.searchsorted(offsets, places.astype(offsets.dtype), side="right") - 1  # of another type, it copies them
    mask = np.zeros(len(items), dtype=np.bool_)
    mask[rows[(rows >= 0) & (rows < len(items))]] = True  # a slice has the values of the whole
    return mask


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; that of a mapped file is not copied."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _numbered(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return the distinct values of a column, and for each row the number of its value; null stays."""
    numbered = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return numbered.dictionary, numbered.indices


def _of_values(passing: pa.Array, numbers: pa.Array) -> Mask:
    """Find the rows whose value passes, where that is known of each value; a row without one does not pass."""
    known = np.array([*passing.to_pylist(), False])  # the last for null, the place -1
    found: Mask = known.take((numbers.fill_null(-1) if numbers.null_count else numbers).to_numpy())
    return found
