"""Columns of a manifest: which of them are read, and as what."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from shlex import quote

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.tables import quoted

FIELDS = ("id", "image", "text", "labels", "group", "date", "split", "source", "licence")
"""What the columns of a manifest hold. Each is also the name of its column, unless ``--FIELD-column`` names another."""

_WITHOUT_LABELS = (
    ": items are relevant to each other where they share a label; for one column for each finding pass "
    "--label-columns with each of them, for a collection without labels --no-labels"
)


def choose_columns(named: Mapping[str, str], off: Sequence[str], *, labels: bool) -> dict[str, str]:
    """Choose the columns that are read.

    A column is switched off by the name of its field and not by a word in place of its name, such as ``none``: a
    column may be called that.

    Args:
        named: Name of the column of each field.
        off: Fields that are switched off.
        labels: Whether one column holds labels.

    Returns:
        Name of the column of each field that is read.

    Raises:
        DataError: If a field is unknown or needed, or is switched off although its column is named.
    """
    for field in off:
        if field not in FIELDS:
            meant = next((known for known, column in named.items() if column == field), None)
            hint = f"; did you mean {meant!r}?" if meant else did_you_mean(field, FIELDS)
            raise DataError(f"--no-column {field!r}: write one of {', '.join(FIELDS[1:])}{hint}")
        if named[field] != field and field != "group":
            raise DataError(f"--no-column {field} and --{field}-column {named[field]!r}: leave out one of them")
    if "id" in off:
        raise DataError("--no-column id: each row needs an id; name the column of ids by --id-column")
    if "group" in off and named["group"] != named["id"]:
        raise DataError(
            "--no-column group: films of one patient could then be in train and in test, which raises every number; "
            f"if each row is a patient of its own, say so by --group-column {quote(named['id'])}"
        )
    if {"image", "text"} <= set(off):
        raise DataError("--no-column image and --no-column text: nothing is left to convert; leave out one of them")
    for field, column in named.items():
        if not column:
            instead = {"labels": ", or pass --no-labels", "id": "", "group": ""}
            other = instead.get(field, f", or pass --no-column {field}")
            raise DataError(f"--{field}-column is empty; name a column{other}")
    dropped = {*off, *([] if labels else ["labels"])} - {"group"}
    return {field: column for field, column in named.items() if field not in dropped}


def refuse_one_column(path: Path, found: Sequence[str]) -> None:
    """Refuse a table whose columns are separated by another character than the one it was read with.

    Raises:
        DataError: If its header is one name that holds such a character.
    """
    if len(found) == 1 and (sign := next((sign for sign in (";", "\t", "|", ",") if sign in found[0]), None)):
        shown = "$'\\t'" if sign == "\t" else quote(sign)
        raise DataError(
            f"{path}, row 1: one single column, {found[0]!r}; pass what separates columns: --delimiter {shown}"
        )


def check_columns(
    manifest: Path,
    found: Sequence[str],
    columns: Mapping[str, str],
    label_columns: Sequence[str],
    needed: Collection[str],
) -> list[str]:
    """Refuse a manifest whose columns are not clear.

    Args:
        manifest: The file, for messages.
        found: Names of its columns.
        columns: Name of the column of each field.
        label_columns: Several columns of labels, or none.
        needed: Fields that must have a column.

    Returns:
        The columns that will not be read.

    Raises:
        DataError: If a column is missing, occurs twice, or differs from a documented name in spelling.
    """
    first_row = f"{manifest}, row 1"
    if twice := sorted({name for name in found if name and list(found).count(name) > 1}):
        raise DataError(f"{first_row}: column {twice[0]!r} occurs twice; rename or remove one")
    refuse_one_column(manifest, found)
    unread = [name for name in found if name not in {*columns.values(), *label_columns}]
    named = [(column, "--label-columns") for column in label_columns]
    named += [(column, f"--{field}-column") for field, column in columns.items() if column != field]
    for column, option in named:
        if column not in found:
            near = did_you_mean(column, unread)
            raise DataError(f"{first_row}: no column {column!r} (has {quoted(found)}){near or ';'} correct {option}")
    for field in [field for field, column in columns.items() if column == field and column not in found]:
        _require_column(first_row, field, found, unread, columns["id"], needed=field in needed)
    sides = [field for field in ("image", "text") if field in columns]
    if not {columns[side] for side in sides} & set(found):
        raise DataError(
            f"{first_row}: no column {' and none '.join(map(repr, sides))} (has {quoted(found)}); add it, or name "
            f"another by {' or '.join(f'--{side}-column' for side in sides)}"
        )
    return unread


def _require_column(
    first_row: str, field: str, found: Sequence[str], unread: Sequence[str], ids: str, *, needed: bool
) -> None:
    """Refuse that a field has no column if it is needed, or if a column looks like it."""
    option = f"--{field}-column"
    if alike := _alike(field, unread):
        switch = "" if needed else f", or --no-column {field} if it is something else"
        raise DataError(
            f"{first_row}: column {alike!r} looks like {field!r}; rename it, or pass {option} {quote(alike)}{switch}"
        )
    if needed:
        why = {"labels": _WITHOUT_LABELS, "group": _without_group(ids)}.get(field, "")
        raise DataError(
            f"{first_row}: no column {field!r} (has {quoted(found)}); add it, or name another by {option}{why}"
        )


def _without_group(ids: str) -> str:
    return (
        ": rows of one study or patient must stay in one split; if each row stands alone pass "
        f"--group-column {quote(ids)}"
    )


def _alike(field: str, names: Sequence[str]) -> str | None:
    """Return a name that differs from a field's in case, white space or a letter: somebody meant that field."""
    plain = {name.strip().casefold(): name for name in names}
    close = get_close_matches(field, plain, n=1, cutoff=0.8)
    return plain[close[0]] if close else None
