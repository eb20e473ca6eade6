"""Encoding of a table, and its columns with all values."""

import re
from collections.abc import Sequence
from pathlib import Path

from mcmfh_lightning.datasets.table.files import Table, read_table
from mcmfh_lightning.datasets.table.guess.columns import Column
from mcmfh_lightning.datasets.table.guess.proposal import Answer, Proposal
from mcmfh_lightning.datasets.table.values import shortened
from mcmfh_lightning.errors import DataError

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8"}
_DELIMITERS = (",", ";", "\t", "|")
_START = 2000
_OLD = ("cp1252", "cp1251", "shift_jis", "gb18030")


def guess_encoding(path: Path, proposal: Proposal) -> str:
    """Find the encoding of a table.

    Args:
        path: The table.
        proposal: Takes the option, or the question.

    Returns:
        The encoding to look at the table with, also where the owner has to decide.

    Raises:
        DataError: If the file cannot be read.
    """
    if path.suffix.lower() == ".parquet":
        return "utf-8"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); correct --manifest") from error
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return encoding if encoding == "utf-8" else _taken(proposal, encoding, "the mark at its start says so")
    if b"\0" in content[:2] or content[:2000].count(b"\0") > len(content[:2000]) // 4:
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
        return _taken(proposal, encoding, "every second byte is 0")
    try:
        content.decode()
    except UnicodeDecodeError:
        return _guess_old(content, proposal)
    return "utf-8"


def _taken(proposal: Proposal, encoding: str, reason: str) -> str:
    proposal.take("encoding", encoding, reason)
    return encoding


def _guess_old(content: bytes, proposal: Proposal) -> str:
    """Take cp1252 if it reads letters of Western Europe, and else ask."""
    text = content.decode("cp1252", errors="replace")
    words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
    letters = "".join(words)
    foreign = sum(not letter.isascii() for letter in letters)
    if "\ufffd" not in text and 2 * foreign <= len(letters):  # words of other scripts are foreign letters alone
        word = max(words, key=len, default="")
        return _taken(proposal, "cp1252", f"not UTF-8; so read it says {shortened(word)}: is that right?")
    readable = []
    for encoding in _OLD:
        try:
            found = next(word for word in content.decode(encoding).split() if not word.isascii())
        except UnicodeDecodeError:
            continue
        readable.append(Answer("encoding", encoding, f"reads {shortened(found[:12])}"))
    proposal.ask("the table is not UTF-8, and does not say which encoding it has", *readable, options=("encoding",))
    return "latin-1"  # reads every byte: enough to find the columns


def read_columns(path: Path, encoding: str, images: frozenset[str], proposal: Proposal) -> tuple[Table, list[Column]]:
    """Read a table with all its columns.

    Args:
        path: The table.
        encoding: Its encoding.
        images: Names of image files, by which a first row without names of columns is found.
        proposal: Takes the delimiter, where it is not the usual one.

    Raises:
        DataError: If it cannot be read as a whole, or its first row does not name the columns.
    """
    names, delimiter = _header(path, encoding)
    _require_names(path, names, images)
    if delimiter is not None:
        proposal.take("delimiter", delimiter, f"it separates {len(names)} columns")
    table = read_table(path, encoding, names, delimiter)
    if not table.rows and not table.problems:
        raise DataError(f"{path}: no row; write one for each image or text")
    return table, [Column(name, table.cells(name)) for name in dict.fromkeys(names) if name]


def _header(path: Path, encoding: str) -> tuple[Sequence[str], str | None]:
    """Return the names of the columns, and the delimiter if it is not that of the ending of the file's name."""
    if path.suffix.lower() not in (".csv", ".tsv"):
        return read_table(path, encoding, ()).columns, None
    found: dict[str | None, Sequence[str]] = {}
    with path.open(encoding=encoding, errors="replace") as file:
        start = file.read(_START)
    usual = "," if path.suffix.lower() == ".csv" else "\t"
    for delimiter in (None, *(sign for sign in _DELIMITERS if sign in start and sign != usual)):
        try:
            names = read_table(path, encoding, (), delimiter).columns
        except DataError:
            continue
        if delimiter is None or len(names) > 1:
            found[delimiter] = names
    if not found:
        return read_table(path, encoding, ()).columns, None  # raises what is wrong with the file
    best = max(found, key=lambda delimiter: len(found[delimiter]))  # the first of equals: the usual one
    return found[best], best


def _require_names(path: Path, names: Sequence[str], images: frozenset[str]) -> None:
    """Refuse a first row that is data."""
    numbers = [name for name in names if name.replace(".", "", 1).isdigit()]
    data = next((name for name in names if name.replace("\\", "/").rpartition("/")[2] in images), None)
    if data is not None or len(numbers) > len(names) / 2:
        shown = data or numbers[0]
        raise DataError(
            f"{path}, row 1: {shortened(shown)} looks like a value, not like the name of a column; add a first row "
            "that names the columns: id,image,text,labels,group"
        )
