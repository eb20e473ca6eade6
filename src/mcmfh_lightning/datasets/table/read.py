"""Manifests, tables of a user's own collection: reading of all rows, and what may be wrong with them together."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.progress import track

from mcmfh_lightning.datasets.collection import Unusable, check_images
from mcmfh_lightning.datasets.table.files import Table, is_encoded, read_table
from mcmfh_lightning.datasets.table.label_hints import label_rules, look_at_labels
from mcmfh_lightning.datasets.table.row_reader import RowReader
from mcmfh_lightning.datasets.table.rows import Manifest, Problem, Reading
from mcmfh_lightning.datasets.table.values import DateReader, date_hint
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.images.unusable import FIXES
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.tables import counted, quoted

_MADE_OF = {"given": "split", "date": "date", "group": "group"}


def read_manifest(path: Path, images: Path, reading: Reading) -> Manifest:
    """Read every row, and find all that is wrong with it short of decoding its image.

    Args:
        path: ``.csv``, ``.jsonl`` or ``.parquet``.
        images: The folder below which all images are.
        reading: Names of columns and so on.

    Raises:
        DataError: If the file cannot be read as a whole, its labels are numbers, or no row has a label. What is wrong
            with single rows is in ``problems``.
    """
    columns = reading.columns
    dates = DateReader(reading.date_formats)
    table = read_table(path, reading.encoding, reading.wanted(), reading.delimiter)
    reading = reading.of_table(table.columns)
    split_by = reading.split_by or ("given" if columns.get("split") in table.columns else "group")
    unread = _check_columns(path, table.columns, reading, {"id", "labels", "group", _MADE_OF[split_by]})
    _require_used(path, table, reading)
    manifest = Manifest(path, reading, split_by, unread, table.blank, images)
    if not table.rows and not table.problems:
        raise DataError(f"{path}: no row; write one for each image or text")
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of images; correct --images")
    labels = label_rules(path, table, reading)
    rows = RowReader(manifest, dates, labels)
    for row in table.rows:
        rows.read(row)
    manifest.problems += table.problems
    if split_by == "date":
        dated = {candidate.group for candidate in manifest.candidates.values() if candidate.date is not None}
        for number in [row for row, candidate in manifest.candidates.items() if candidate.group not in dated]:
            fix = "--split-by date needs a date in at least one row of each group"
            manifest.reject(Problem(number, "no date", fix))
    hints = look_at_labels(manifest, table, labels) if reading.columns_of_labels else []
    if rows.unread_dates:
        hints.append(date_hint(rows.unread_dates, left_out=split_by != "date"))
    if rows.shared_images:
        first = min(rows.shared_images, key=lambda text: "splits" not in text)
        hints.append(
            f"{counted(len(rows.shared_images), 'row shows', 'rows show')} an image file that a row of another group "
            f"shows too, such as {first}; in two splits it is a leak that raises every number: give all rows of an "
            "image one group"
        )
    if unused := [name for name in reading.split_names if name not in rows.split_names]:
        near = did_you_mean(unused[0], rows.split_names - {""})
        hints.append(f"no row has the split {unused[0]!r}, which --split-names names{near or ';'} correct it")
    if rows.spelled:
        hints.append(
            f"{counted(len(rows.spelled), 'row spells its', 'rows spell their')} group almost as an earlier row does, "
            f"the first: {rows.spelled[0]}; they count as different groups: spell them alike if they are one patient"
        )
    manifest.hints = [f"{path}: {hint}" for hint in hints]
    return manifest


def columns_there(path: Path, found: Sequence[str], encoding: str) -> str:
    """List the columns that a table has, for a message about one that it has not.

    Args:
        path: The table.
        found: Names of its columns.
        encoding: Encoding that it is read with: with a wrong one, names are not what they seem.
    """
    doubtful = is_encoded(path, encoding) and not all(map(str.isascii, found))
    return f"has {quoted(found)}" + (f"; if these are not its names, correct --encoding {encoding}" if doubtful else "")


def refuse_one_column(path: Path, found: Sequence[str]) -> None:
    """Refuse a table whose columns are separated by another character than the one it was read with.

    Raises:
        DataError: If its header is one name that holds such a character.
    """
    if len(found) == 1 and (sign := next((sign for sign in (";", "\t", "|", ",") if sign in found[0]), None)):
        shown = "$'\\t'" if sign == "\t" else quote(sign)
        raise DataError(
            f"{path}, row 1: one single column, {quoted(found)}; pass what separates columns: --delimiter {shown}"
        )


def _check_columns(path: Path, found: Sequence[str], reading: Reading, needed: Collection[str]) -> list[str]:
    """Refuse a manifest whose columns are not clear.

    Args:
        path: The file, for messages.
        found: Names of its columns.
        reading: Names of the columns that are read.
        needed: Fields that must have a column.

    Returns:
        The columns that will not be read.

    Raises:
        DataError: If a column is missing, occurs twice, or differs from a documented name in spelling.
    """
    columns = reading.columns
    first_row, there = f"{path}, row 1", columns_there(path, found, reading.encoding)
    if twice := sorted({name for name in found if name and list(found).count(name) > 1}):
        raise DataError(f"{first_row}: column {twice[0]!r} occurs twice; rename or remove one")
    refuse_one_column(path, found)
    unread = [name for name in found if name not in {*columns.values(), *reading.label_columns}]
    named = [(column, "--label-columns") for column in reading.label_columns]
    named += [(column, f"--{field}-column") for field, column in columns.items() if column != field]
    for column, option in named:
        if column not in found:
            near = did_you_mean(column, unread)
            raise DataError(f"{first_row}: no column {column!r} ({there}){near or ';'} correct {option}")
    for field in [field for field, column in columns.items() if column == field and column not in found]:
        _require_column(first_row, field, there, unread, columns["id"], needed=field in needed)
    sides = [field for field in ("image", "text") if field in columns]
    if not {columns[side] for side in sides} & set(found):
        raise DataError(
            f"{first_row}: no column {' and none '.join(map(repr, sides))} ({there}); add it, or name "
            f"another by {' or '.join(f'--{side}-column' for side in sides)}"
        )
    return unread


def _require_column(first_row: str, field: str, there: str, unread: Sequence[str], ids: str, *, needed: bool) -> None:
    """Refuse that a field has no column if it is needed, or if a column looks like it."""
    option = f"--{field}-column"
    if alike := _alike(field, unread):
        switch = "" if needed else f", or --no-column {field} if it is something else"
        raise DataError(
            f"{first_row}: column {alike!r} looks like {field!r}; rename it, or pass {option} {quote(alike)}{switch}"
        )
    if needed:
        why = {
            "labels": ": items are relevant to each other where they share a label; for one column for each finding "
            "pass --label-columns with each of them, for a collection without labels --no-labels",
            "group": ": rows of one study or patient must stay in one split; if each row stands alone pass "
            f"--group-column {quote(ids)}",
        }.get(field, "")
        raise DataError(f"{first_row}: no column {field!r} ({there}); add it, or name another by {option}{why}")


def _alike(field: str, names: Sequence[str]) -> str | None:
    """Return a name that differs from a field's in case, white space or a letter: somebody meant that field."""
    plain = {name.strip().casefold(): name for name in names}
    close = get_close_matches(field, plain, n=1, cutoff=0.8)
    return plain[close[0]] if close else None


def _require_used(path: Path, table: Table, reading: Reading) -> None:
    """Refuse options about a column that the table does not have: it may have another name."""
    options = {"split": ("--split-names", reading.split_names), "date": ("--date-format", reading.date_formats)}
    for field, (option, value) in options.items():
        column = reading.columns.get(field)
        if reading.split_by is not None and _MADE_OF[reading.split_by] == field and column is None:
            raise DataError(f"--split-by {reading.split_by} and --no-column {field}: leave out one of them")
        if value and column is None:
            raise DataError(f"{option} and --no-column {field}: leave out one of them")
        if value and column not in table.columns:
            there = columns_there(path, table.columns, reading.encoding)
            raise DataError(
                f"{path}, row 1: {option} needs a column {column!r} ({there}); add it, or name another by "
                f"--{field}-column"
            )


def verify_images(manifest: Manifest, console: Console, value_range: ValueRange | None = None) -> None:
    """Decode the image of each candidate on every core; rows whose image does not decode become problems."""
    rows: dict[Path, list[int]] = {}
    for row, candidate in manifest.candidates.items():
        if candidate.image is not None:
            rows.setdefault(candidate.image, []).append(row)
    folder = manifest.images.resolve()
    checks = zip(rows, check_images(rows, value_range), strict=True)
    for path, check in track(checks, "Checking images", total=len(rows), console=console):
        if isinstance(check, Unusable):
            name = str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name
            for row in rows[path]:
                manifest.reject_image(
                    row, check.reason, FIXES[check.reason], f"{name}: {check.detail}" if check.detail else name
                )
