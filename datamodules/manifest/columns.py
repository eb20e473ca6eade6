"""The columns of a manifest: documented names, other names by option, and look-alikes that would go unread."""

from collections.abc import Sequence, Set as AbstractSet
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path

from mcmfh_lightning.errors import DataError


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
    for field, column in columns.names.items():
        if column in found:
            continue
        option = f"--{field}-column"
        if column != field:
            raise DataError(f"{manifest}, row 1: no column {column!r} (has {listed}); correct {option}")
        if alike := _alike(field, unread):
            raise DataError(
                f"{manifest}, row 1: column {alike!r} looks like {field!r}; rename it, or pass {option} {alike!r}"
            )
        if field in needed:
            why = f": {_WITHOUT[field]}" if field in _WITHOUT else ""
            raise DataError(
                f"{manifest}, row 1: no column {field!r} (has {listed}); add it, or name another by {option}{why}"
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
