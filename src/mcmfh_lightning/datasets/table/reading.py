"""The columns of a manifest: documented names, other names by option, and look-alikes that would go unread.

How a manifest is to be read, and what was read.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.datasets.table.problems import Problem
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.info import Split
from mcmfh_lightning.shards.labels import NORMAL


@dataclass(frozen=True)
class Columns:
    """The name that each field has in a manifest.

    Attributes:
        id: As in the documentation, and so are those that follow.
        image: See there.
        text: See there.
        labels: See there; empty if labels are not read. Not read either if there are several columns of labels.
        group: See there.
        date: See there.
        split: See there.
        source: See there.
        licence: See there.
        label_columns: Several columns of labels, or none.
    """

    id: str = "id"
    image: str = "image"
    text: str = "text"
    labels: str = "labels"
    group: str = "group"
    date: str = "date"
    split: str = "split"
    source: str = "source"
    licence: str = "licence"
    label_columns: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """Column names by field; without labels where they have several columns, or none."""
        names = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "label_columns"}
        if self.label_columns or not self.labels:
            del names["labels"]
        return names

    @property
    def of_labels(self) -> tuple[str, ...]:
        """The columns that labels are read from."""
        return self.label_columns or ((self.labels,) if self.labels else ())


_WITHOUT = {
    "labels": "items are relevant to each other where they share a label; for one column for each finding pass "
    "--label-columns with all of them, for a collection without labels --no-labels",
    "group": "rows of one study or patient must stay in one split; if each row stands alone pass --group-column id",
}


def check_columns(manifest: Path, found: Sequence[str], columns: Columns, needed: AbstractSet[str]) -> list[str]:
    """Refuse a manifest whose columns cannot be told.

    Args:
        manifest: the file, for messages.
        found: its column names.
        columns: the names to look for.
        needed: fields that must have a column.

    Returns:
        The columns that will not be read.

    Raises:
        DataError: for a missing column, one that occurs twice, or one that differs from a documented name in spelling.
    """
    _require_separate(manifest, found)
    listed = ", ".join(repr(name) for name in found)
    unread = [name for name in found if name not in {*columns.names.values(), *columns.label_columns}]
    if absent := [column for column in columns.label_columns if column not in found]:
        raise DataError(f"{manifest}, row 1: no column {absent[0]!r} (has {listed}); correct --label-columns")
    for name, column in columns.names.items():
        if column in found:
            continue
        option = f"--{name}-column"
        if column != name:
            raise DataError(f"{manifest}, row 1: no column {column!r} (has {listed}); correct {option}")
        if alike := _alike(name, unread):
            raise DataError(
                f"{manifest}, row 1: column {alike!r} looks like {name!r}; rename it, or pass {option} {alike!r}"
            )
        if name in needed:
            why = f": {_WITHOUT[name]}" if name in _WITHOUT else ""
            raise DataError(
                f"{manifest}, row 1: no column {name!r} (has {listed}); add it, or name another by {option}{why}"
            )
    if not {columns.image, columns.text} & set(found):
        raise DataError(
            f"{manifest}, row 1: no column 'image' and none 'text' (has {listed}); add them, or name others by "
            "--image-column and --text-column"
        )
    return unread


def _require_separate(manifest: Path, found: Sequence[str]) -> None:
    """Refuse a column that occurs twice, and a header that another separator than the comma may divide."""
    twice = sorted({name for name in found if name and list(found).count(name) > 1})
    if twice:
        raise DataError(f"{manifest}, row 1: column {twice[0]!r} occurs twice; rename or remove one")
    if len(found) == 1 and any(separator in found[0] for separator in ";\t|"):
        raise DataError(
            f"{manifest}, row 1: one single column, {found[0]!r}; columns are separated by commas: save it so"
        )


def _alike(field: str, names: Sequence[str]) -> str | None:
    """A name that differs from a field's in case, white space or a letter: someone meant that field."""
    plain = {name.strip().casefold(): name for name in names}
    close = get_close_matches(field, plain, n=1, cutoff=0.8)
    return plain[close[0]] if close else None


SplitBy = Literal["given", "group", "date"]


@dataclass(frozen=True)
class Reading:
    """How a manifest is to be read.

    Attributes:
        columns: The name of each field.
        encoding: Of CSV and JSON lines.
        label_separator: Between the labels of a string.
        uncertain_is_present: Whether -1 in a column of one finding counts as present.
        normal_labels: Names of the normal label; all become the first. Without any it is called normal.
        date_formats: Forms of dates that are not ISO.
        split_names: Splits by other names.
        split_by: What the splits will be made of; the columns of the others are not read. None takes the column of
            splits if there is one, and draws groups if not.
        source: Where rows come from that do not say so.
        licence: Of rows that do not say so.
    """

    columns: Columns
    encoding: str
    label_separator: str
    uncertain_is_present: bool
    normal_labels: tuple[str, ...]
    date_formats: tuple[str, ...]
    split_names: Mapping[str, Split]
    split_by: SplitBy | None
    source: str
    licence: str

    @property
    def normal_label(self) -> str:
        """The label that says that nothing was found."""
        return self.normal_labels[0] if self.normal_labels else NORMAL


@dataclass
class Manifest:
    """A manifest that was read.

    Attributes:
        path: The file.
        reading: How it was read.
        split_by: As asked for, or as its columns suggest.
        unread: Columns that are not read.
        blank: Rows that say nothing.
        candidates: The items, by row.
        ids: The id of each row that has one.
        problems: Those of all other rows.
        traits: What had to be assumed or may be wrong, by row.
        hints: What may be wrong with all rows.
    """

    path: Path
    reading: Reading
    split_by: SplitBy
    unread: list[str]
    blank: int = 0
    candidates: dict[int, Candidate] = field(default_factory=dict)
    ids: dict[int, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    traits: dict[int, list[str]] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    def collection(self) -> Collection:
        """The good rows as candidates; each bad row is skipped for the first of its problems."""
        collection = Collection(
            list(self.candidates.values()),
            normal_label=self.reading.normal_label,
            labelled=bool(self.reading.columns.of_labels),
        )
        reasons: dict[int, str] = {}
        for problem in self.problems:
            reasons.setdefault(problem.row, problem.flaw.reason)
        for row, reason in sorted(reasons.items()):
            collection.skip(reason, f"row {row}: {self.ids[row]}" if row in self.ids else f"row {row}")
        for row in self.candidates:
            for trait in dict.fromkeys(self.traits.get(row, ())):
                collection.note(trait)
        collection.read = {
            "rows read": len(self.candidates) + len(reasons),
            "rows that can be used": len(self.candidates),
        }
        if self.blank:
            collection.read["blank rows"] = self.blank
        return collection
