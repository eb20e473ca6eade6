"""Tables of published collections, read strictly: CSV, plain or compressed by gzip, and JSON lines.

Such a table was written by a program and is complete, so that a row that cannot be right means a damaged copy: it stops
the conversion with its file, its row and the fix. Rows are counted as a spreadsheet counts them: a CSV's header is
row 1. Files are read one row at a time, for some of them hold the reports of a whole hospital.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mcmfh_lightning.datasets.table.values import BadValueError, shortened
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.tables import quoted

_FIX = "copy the file from the collection again"
_GZIP = ".gz"
_LONGEST_FIELD = 1 << 24


@dataclass(frozen=True)
class Record:
    """Row of a table.

    Attributes:
        where: File and row, as messages name them.
        values: Value of each column that was asked for; a CSV has strings without white space at the ends.
    """

    where: str
    values: Mapping[str, object]

    def __getitem__(self, column: str) -> str:
        """Return the value of a column as a string, empty where there is none."""
        value = self.values[column]
        return "" if value is None else str(value)

    def error(self, problem: str, fix: str = _FIX) -> DataError:
        """Return an error about this row."""
        return DataError(f"{self.where}: {problem}; {fix}")

    @contextmanager
    def reading(self, column: str) -> Iterator[None]:
        """Turn a `BadValueError` into an error about this row.

        Raises:
            DataError: If the block raises one.
        """
        try:
            yield
        except BadValueError as error:
            detail = f" ({error.detail})" if error.detail else ""
            raise self.error(f"{error.column or column}: {error.reason}{detail}", error.fix) from error


def find_table(root: Path, name: str, option: str = "--root") -> Path:
    """Find a table by its name, with or without the ending of a compressed file.

    Args:
        root: Folder of the collection.
        name: File name as it was published.
        option: Option that names the folder, for the message.

    Raises:
        DataError: If it is missing.
    """
    plain = name.removesuffix(_GZIP)
    for path in (root / name, root / plain, root / f"{plain}{_GZIP}"):
        if path.is_file():
            return path
    others = sorted(path.name for path in root.iterdir() if path.is_file()) if root.is_dir() else []
    there = f" (there {'is' if len(others) == 1 else 'are'} {quoted(others, 5)})" if others else ""
    raise DataError(f"{root / name}: no such table{there}; give the folder that holds it by {option}")


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    """Read the rows of a CSV; columns that are not asked for are not kept, and blank lines are left out.

    Args:
        path: The file, compressed if its name ends in ``.gz``.
        columns: The columns that are needed.

    Raises:
        DataError: If the file cannot be read, lacks a column or is not UTF-8, or a row has more or fewer fields.
    """
    header: list[str] | None = None
    number = 0
    previous = csv.field_size_limit(_LONGEST_FIELD)
    try:
        for cells in csv.reader(_lines(path), strict=True):
            number += 1
            if header is None:
                header = _header(path, cells, columns)
            elif cells:
                if len(cells) != len(header):
                    raise DataError(f"{path}, row {number}: {len(cells)} fields, not {len(header)}; {_FIX}")
                named = dict(zip(header, map(str.strip, cells), strict=True))
                yield Record(f"{path}, row {number}", {column: named[column] for column in columns})
    except csv.Error as error:
        raise DataError(f"{path}, row {number + 1}: {error}; {_FIX}") from error
    finally:
        csv.field_size_limit(previous)
    if header is None:
        raise DataError(f"{path}: empty file; {_FIX}")


def _header(path: Path, cells: Sequence[str], columns: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    for column in columns:
        if names.count(column) != 1:
            problem = "no column" if column not in names else "two columns"
            near = did_you_mean(column, names) if column not in names else ""
            raise DataError(f"{path}, row 1: {problem} {column!r} (has {quoted(names)}){near or ';'} {_FIX}")
    return names


def read_json_lines(path: Path, keys: Sequence[str]) -> Iterator[Record]:
    """Read a file of one JSON object a line; keys that are not asked for are not kept.

    Raises:
        DataError: If the file cannot be read or is not UTF-8, or a line is not an object with all keys.
    """
    number = 0
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}, row {number}"
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not JSON ({error}); one object a line is expected: {_FIX}") from error
        if not isinstance(found, dict):
            raise DataError(f"{where}: a {type(found).__name__}, not an object; one object a line is expected: {_FIX}")
        for key in keys:
            if key not in found:
                near = did_you_mean(key, found)
                raise DataError(f"{where}: no key {key!r} (has {quoted(found)}){near or ';'} {_FIX}")
        yield Record(where, {key: found[key] for key in keys})
    if not number:
        raise DataError(f"{path}: empty file; {_FIX}")


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file with their ends. Each is decoded by itself, so that a message can name it."""
    number = 0
    try:
        with _open(path) as file:
            for line in file:
                number += 1
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except gzip.BadGzipFile as error:
        fix = f"download it again (it may be a page of a web site), or take {_GZIP} off the name of an unpacked file"
        raise DataError(f"{path}, line {number + 1}: damaged, or not a gzip file ({error}); {fix}") from error
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}, line {number + 1}: damaged gzip file ({error}); {_FIX}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, line {number}: byte {error.start} is not UTF-8; {_FIX}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); correct the path") from error


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    return gzip.open(path) if path.suffix == _GZIP else path.open("rb")


def index_records(records: Iterable[Record], key: str) -> tuple[dict[str, Record], int]:
    """Index records by a column.

    Args:
        records: The rows.
        key: Column whose value names one record.

    Returns:
        The records by key, and the number of rows that say again what an earlier row says.

    Raises:
        DataError: If a key is empty, or two rows with the same key say different things.
    """
    found: dict[str, Record] = {}
    repeated = 0
    for record in records:
        name = record[key]
        if not name:
            raise record.error(f"no {key}")
        first = found.setdefault(name, record)
        if first is not record:
            if first.values != record.values:
                row = first.where.rpartition(", ")[2]
                fix = "keep the row that is right"
                raise record.error(f"{key} {shortened(name)} is listed twice, with other values in {row}", fix)
            repeated += 1
    return found, repeated


def inner_path(record: Record, column: str, *parts: str) -> PurePosixPath:
    """Join the parts of a path that a row names, which must stay inside the folder of the images.

    Args:
        record: The row.
        column: Column that the path comes from, for the message.
        parts: The parts, as the row has them.

    Raises:
        DataError: If a part is empty, or the path is absolute, leaves the folder or cannot be one.
    """
    path = PurePosixPath(*parts)
    leaves = path.is_absolute() or ".." in path.parts or "\\" in str(path)
    if leaves or not all(parts) or not path.name or not str(path).isprintable():
        raise record.error(f"{column} {shortened(str(path))} is not a path inside the folder of images")
    return path
