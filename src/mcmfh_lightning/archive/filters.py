"""Which items of an archive a search may return."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mcmfh_lightning.archive.groups import of_groups
from mcmfh_lightning.errors import DataError, McmfhError

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
    """Groups (studies, articles, patients) by their own names; see `mcmfh_lightning.archive.groups`."""
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
