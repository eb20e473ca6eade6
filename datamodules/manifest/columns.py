"""The columns of a manifest: documented names, other names by option, and look-alikes that would go unread."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path

from mcmfh_lightning.errors import DataError


@dataclass(frozen=True)
class Columns:
    """The name that each field has in a manifest."""

    id: str = "id"
    image: str = "image"
    text: str = "text"
    labels: str = "labels"
    group: str = "group"
    date: str = "date"
    split: str = "split"
    source: str = "source"
    licence: str = "licence"

    @property
    def names(self) -> dict[str, str]:
        """Column names by field."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


_OPTIONS = ("id", "image", "text", "labels", "group", "date", "split", "source", "licence")
_WITHOUT = {
    "labels": "items are relevant to each other where they share a label",
    "group": "rows of one study or patient must stay in one split; if each row stands alone pass --group-column id",
}


def check_columns(manifest: Path, found: Sequence[str], columns: Columns, needed: Collection[str]) -> list[str]:
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
    listed = ", ".join(repr(name) for name in found)
    twice = sorted({name for name in found if name and list(found).count(name) > 1})
    if twice:
        raise DataError(f"{manifest}, row 1: column {twice[0]!r} occurs twice; rename or remove one")
    if len(found) == 1 and any(separator in found[0] for separator in ";\t|"):
        raise DataError(f"{manifest}, row 1: one single column, {listed}; columns are separated by commas: save it so")
    unread = [name for name in found if name not in columns.names.values()]
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


def _alike(field: str, names: Sequence[str]) -> str | None:
    """A name that differs from a field's in case, white space or a letter: someone meant that field."""
    plain = {name.strip().casefold(): name for name in names}
    close = get_close_matches(field, plain, n=1, cutoff=0.8)
    return plain[close[0]] if close else None
