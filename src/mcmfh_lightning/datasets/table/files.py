"""Rows and columns of a CSV, JSON lines or Parquet file, and what is wrong with them."""

import csv
import io
import json
from codecs import lookup
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mcmfh_lightning.datasets.table.rows import Problem
from mcmfh_lightning.datasets.table.values import NUL_FIX, BadValueError, is_missing
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.nearest import did_you_mean

if TYPE_CHECKING:
    from pyarrow import RecordBatch

_ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "utf-32", "ascii", "latin-1", "iso-8859-15", "cp1250", "cp1251", "cp1252"),
    *("mac-roman", "shift-jis", "euc-jp", "gb18030", "gbk", "big5", "euc-kr", "koi8-r"),
)


class Row(NamedTuple):
    """One row.

    Attributes:
        number: As an editor or spreadsheet counts: the header of a CSV is row 1, the first line of JSON lines and the
            first row of Parquet are row 1.
        values: Value of each column; None, or no entry, where the row says nothing.
    """

    number: int
    values: Mapping[str, object]


@dataclass
class Table:
    """Content of a manifest.

    Attributes:
        columns: Names of all columns.
        rows: The rows that could be read.
        problems: What is wrong with the others.
        blank: Number of rows that say nothing in any column, as spreadsheets leave them below a table.
    """

    columns: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    blank: int = 0

    def cells(self, column: str) -> list[object]:
        """Return the value of each row in a column."""
        return [row.values.get(column) for row in self.rows]


def read_table(path: Path, encoding: str, wanted: Collection[str], delimiter: str | None = None) -> Table:
    """Read a manifest; the ending of its name decides the format.

    Args:
        path: ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet``.
        encoding: Encoding of CSV and JSON lines; a byte order mark is not part of the first column's name.
        wanted: The columns whose values are kept.
        delimiter: Character between the fields of a CSV. None takes the comma, and of ``.tsv`` the tab.

    Raises:
        DataError: If the file cannot be read at all, or the delimiter cannot be one.
    """
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise DataError(f"--delimiter {delimiter!r}: one character is needed, such as ';', and not a quote")
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            return _read_parquet(path, wanted)
        if suffix == ".jsonl":
            return _read_jsonl(path, _decoded(path, encoding), wanted)
        if suffix in (".csv", ".tsv"):
            delimiter = delimiter or ("," if suffix == ".csv" else "\t")
            return _read_csv(path, _decoded(path, encoding), wanted, delimiter)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); correct --manifest") from error
    raise DataError(f"{path}: manifests end in .csv, .tsv, .jsonl or .parquet; save it as one of these")


def is_encoded(path: Path, encoding: str) -> bool:
    """Decide whether a table that could be read may have another encoding: in UTF-8 or Parquet it has not."""
    return path.suffix.lower() != ".parquet" and lookup(encoding).name not in ("utf-8", "utf-8-sig")


def _decoded(path: Path, encoding: str) -> str:
    content = path.read_bytes()
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, row {row}: byte {error.start} is not {encoding} ({error.reason}); save it as UTF-8 or pass its "
            "--encoding (cp1252 for most files of Windows, utf-16 for Unicode text of Excel)"
        ) from error
    except (LookupError, ValueError) as error:  # also "undefined", which Python has and which reads nothing
        near = did_you_mean(encoding, _ENCODINGS)
        raise DataError(f"{path}: no text encoding is called {encoding!r}{near or ';'} correct --encoding") from error
    if not text.strip():
        raise DataError(f"{path}: empty file; its first row names the columns")
    if not any(map(str.isascii, text)):  # no end of a line and no comma: each letter is two of another encoding
        raise DataError(
            f"{path}: not {encoding}, for so read it has no rows and columns; correct --encoding (utf-8, or cp1252 for "
            "most files of Windows)"
        )
    return text


def _read_csv(path: Path, text: str, wanted: Collection[str], delimiter: str) -> Table:
    table = Table()
    for number, cells in enumerate(read_records(path, text, delimiter), 1):
        if not cells:  # an empty line
            continue
        if all(map(is_missing, cells)):
            table.blank += 1
        elif not table.columns and cells[0].strip().casefold().startswith("sep="):
            continue  # for Excel; the delimiter is given, or the header shows that it is another
        elif not table.columns:
            if any("\0" in cell for cell in cells):
                raise DataError(
                    f"{path}, row {number}: NUL bytes in the header; if it is UTF-16 pass --encoding utf-16"
                )
            table.columns = tuple(cell.strip() for cell in cells)
        elif len(cells) != len(table.columns):
            fix = "quote fields that contain a comma, a quote or a line break"
            detail = f"{len(cells)}, not {len(table.columns)}"
            table.problems.append(Problem(number, "more or fewer fields than the header", fix, detail))
        elif any("\0" in cell for cell in cells):
            table.problems.append(Problem(number, "NUL byte", NUL_FIX))
        else:
            named = zip(table.columns, cells, strict=True)
            table.rows.append(Row(number, {name: cell for name, cell in named if name in wanted and cell.strip()}))
    return table


def read_records(path: Path, text: str, delimiter: str) -> list[list[str]]:
    """Split a CSV into the cells of its records; an empty line is one without cells.

    Args:
        path: The file, for messages.
        text: Its content.
        delimiter: Character between cells.

    Raises:
        DataError: If a quote is broken: the next row could begin anywhere.
    """
    records: list[list[str]] = []
    limit = csv.field_size_limit(len(text))  # our limit on texts names the row; that of csv would stop the reading
    try:
        records.extend(csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter))
    except csv.Error as error:
        raise DataError(
            f"{path}, row {len(records) + 1}: {error}; close each quote, and write quotes in a field twice"
        ) from error
    finally:
        csv.field_size_limit(limit)
    return records


def _read_jsonl(path: Path, text: str, wanted: Collection[str]) -> Table:
    table = Table()
    columns: dict[str, None] = {}
    # Not splitlines(): JSON strings may hold U+2028 and others that it takes for the end of a line.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = _parse_json(line)
        except BadValueError as error:
            table.problems.append(Problem(number, *error.args))
            continue
        columns |= dict.fromkeys(values)
        if all(map(is_missing, values.values())):
            table.blank += 1
        else:
            table.rows.append(Row(number, {name: values[name] for name in wanted if name in values}))
    if table.problems and not table.rows:
        raise DataError(f"{table.problems[0].line(path)} (and no other row is)")
    table.columns = tuple(columns)
    return table


def _parse_json(line: str) -> dict[str, object]:
    try:
        values = json.loads(line, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:
        raise BadValueError("not JSON", "write one JSON object a line", str(error)) from error
    if not isinstance(values, dict):
        fix = 'write {"id": ..., "image": ..., "text": ..., "labels": [...], "group": ...}'
        raise BadValueError("not a JSON object", fix, f"a {type(values).__name__}")
    return values


def _each_key_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key occurs twice")
    return values


def _read_parquet(path: Path, wanted: Collection[str]) -> Table:
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataError(f"{path}: Parquet needs pyarrow: pip install 'mcmfh-lightning[parquet]'") from error
    table = Table()
    number = 0
    try:
        with ParquetFile(path) as file:
            table.columns = tuple(file.schema_arrow.names)
            for batch in file.iter_batches(columns=[name for name in table.columns if name in wanted]):
                for values in _values(batch):
                    number += 1
                    if isinstance(values, BadValueError):
                        table.problems.append(Problem(number, *values.args))
                    elif all(map(is_missing, values.values())):
                        table.blank += 1
                    else:
                        table.rows.append(Row(number, values))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}); write it again") from error
    return table


def _values(batch: "RecordBatch") -> Sequence[Mapping[str, object] | BadValueError]:
    """Return the values of each row, or the one that Python cannot hold: Arrow's dates reach further."""
    try:
        return list(batch.to_pylist())
    except Exception:  # OverflowError, ArrowException, ValueError, and what else a conversion leads to
        return [_row_values(batch, row) for row in range(batch.num_rows)]


def _row_values(batch: "RecordBatch", row: int) -> Mapping[str, object] | BadValueError:
    values: dict[str, object] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            values[name] = column[row].as_py()
        except Exception as error:
            return BadValueError("value out of range", "correct it, or write it as a string", str(error), name)
    return values
