"""Encoding and columns of a table, and the image files that a column of it names."""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mcmfh_lightning.datasets.table.files import Table, read_table
from mcmfh_lightning.datasets.table.guess.columns import IMAGE_ENDINGS, Answer, Column, Proposal, Words
from mcmfh_lightning.datasets.table.references import ImageFolder
from mcmfh_lightning.datasets.table.values import BadValueError, is_missing, shortened
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.tables import counted, quoted

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
    reason = ""
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")
    if encoding == "utf-16":
        reason = "the mark at its start says so"
    elif not encoding and (b"\0" in content[:2] or content[:2000].count(b"\0") > len(content[:2000]) // 4):
        encoding, reason = "utf-16-be" if content[:1] == b"\0" else "utf-16-le", "every second byte is 0"
    if reason:
        proposal.take("encoding", encoding, reason)
    if encoding:
        return encoding
    try:
        content.decode()
    except UnicodeDecodeError:
        return _guess_old(content, proposal)
    return "utf-8"


def _guess_old(content: bytes, proposal: Proposal) -> str:
    """Take cp1252 if it reads letters of Western Europe, and else ask."""
    text = content.decode("cp1252", errors="replace")
    words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
    letters = "".join(words)
    foreign = sum(not letter.isascii() for letter in letters)
    if "\ufffd" not in text and 2 * foreign <= len(letters):  # words of other scripts are foreign letters alone
        word = max(words, key=len, default="")
        proposal.take("encoding", "cp1252", f"not UTF-8; so read it says {shortened(word)}: is that right?")
        return "cp1252"
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
    usual = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    signs: list[str] = []
    if usual is not None:
        with path.open(encoding=encoding, errors="replace") as file:
            start = file.read(_START)
        signs = [sign for sign in _DELIMITERS if sign in start and sign != usual]
    found: dict[str | None, Sequence[str]] = {}
    for delimiter in signs:
        with suppress(DataError):
            if len(names := read_table(path, encoding, (), delimiter).columns) > 1:
                found[delimiter] = names
    try:
        found = {None: read_table(path, encoding, ()).columns, **found}
    except DataError:
        if not found:
            raise
    best = max(found, key=lambda delimiter: len(found[delimiter]))  # the first of equals: the usual one
    return found[best], best


def _require_names(path: Path, names: Sequence[str], images: frozenset[str]) -> None:
    """Refuse a first row that is data."""
    numbers = [name for name in names if name.replace(".", "", 1).isdigit()]
    files = [name for name in names if name.replace("\\", "/").rpartition("/")[2] in images]
    if files or len(numbers) > len(names) / 2:
        raise DataError(
            f"{path}, row 1: {shortened([*files, *numbers][0])} looks like a value, not like the name of a column; add "
            "a first row that names the columns: id,image,text,labels,group"
        )


_PATIENT_FOLDER = re.compile(r"(?i)(?:patient|subject|pat|sub|p)[-_]?\d+(?=[\\/])")
_SAMPLE = 200
_MOST_FOLDERS = 50


class Found(NamedTuple):
    """Column of images below a folder, and the files that its rows show."""

    column: str
    folder: Path
    files: tuple[Path | None, ...]


def list_images(folder: Path) -> dict[str, list[Path]]:
    """List the image files below a folder, by their names.

    Raises:
        DataError: If there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images; correct --images")
    files: dict[str, list[Path]] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(IMAGE_ENDINGS):
                files.setdefault(name, []).append(Path(place, name))
    return files


def guess_images(
    columns: Sequence[Column], folder: Path, files: dict[str, list[Path]], proposal: Proposal
) -> Found | None:
    """Find the column whose values are image files.

    Args:
        columns: The columns of the table.
        folder: Folder of the images.
        files: The images below it, by name.
        proposal: Takes the column and the folder, or the question.

    Returns:
        The column that was proposed.
    """
    for place in _places(folder, files):
        shares = {column.name: _share(column, place) for column in columns}
        best = max(shares.values(), default=0.0)
        likely = [name for name, share in shares.items() if share >= max(0.5, best - 0.1)]
        if "image" in likely[:-1] or "image" in likely[1:]:
            proposal.odd.append(f"several columns name image files: {quoted(likely, 4)}; 'image' is taken")
            likely = ["image"]
        if len(likely) > 1:
            answers = [Answer("image-column", name, f"its values are files below {place}") for name in likely]
            proposal.ask(f"{len(likely)} columns name image files, and a row has one image", *answers)
            return None
        if likely:
            return _take(next(column for column in columns if column.name == likely[0]), place, folder, proposal)
    _none(columns, folder, files, proposal)
    return None


def _places(folder: Path, files: dict[str, list[Path]]) -> Iterator[Path]:
    """List folders that paths may begin at: the one given, one above it, those below it."""
    yield folder
    if folder.resolve() != folder.resolve().parent:
        yield folder.parent
    below = {path.parent for paths in files.values() for path in paths} - {folder}
    yield from sorted(below)[:_MOST_FOLDERS]


def _share(column: Column, place: Path) -> float:
    """Return the share of values that are files; looked at in a sample."""
    sample = [cell for cell in column.present[:: max(1, len(column.present) // _SAMPLE)] if isinstance(cell, str)]
    finder = ImageFolder(place)
    return sum(_can_be_a_name(cell) and _file(finder, cell) is not None for cell in sample) / max(1, len(sample))


def _can_be_a_name(cell: str) -> bool:
    """Say whether a value can be the name of a file in this locale: in the locale C, some texts cannot."""
    try:
        os.fsencode(cell)
    except UnicodeEncodeError:
        return False
    return True


def _file(finder: ImageFolder, cell: object) -> Path | None:
    try:
        return finder.read(cell, lambda note: None)
    except BadValueError:
        return None


def _take(column: Column, place: Path, folder: Path, proposal: Proposal) -> Found:
    finder = ImageFolder(place)
    found = {value: _file(finder, value) for value in column.counts}
    values = ["" if is_missing(cell) else str(cell).strip() for cell in column.cells]
    missing = [value for value in values if value and found[value] is None]
    total = len(column.present)
    proposal.take("image-column", column.name, f"{total - len(missing):,} of {total:,} values are files")
    if folders := [match[0] for value in column.counts if (match := _PATIENT_FOLDER.search(value))]:
        proposal.odd.append(
            f"folders of {column.name!r} such as {folders[0]!r} may name the patient: copy that part into a column"
        )
    if place != folder:
        proposal.take("images", str(place), f"its paths begin there, not in {folder}")
    if missing:
        proposal.odd.append(
            f"{counted(len(missing), 'image')} of the column {column.name!r} not found, such as "
            f"{shortened(missing[0])}; copy them, or correct the paths"
        )
    return Found(column.name, place, tuple(found.get(value) for value in values))


def _none(columns: Sequence[Column], folder: Path, files: dict[str, list[Path]], proposal: Proposal) -> None:
    """Say why no column names images, as far as it can be seen, and ask."""
    if not files:
        proposal.odd.append(f"{folder} has no image (.png, .jpg, .jpeg, .dcm); correct --images")
    by_name = [column for column in columns if column.words & Words.IMAGE]
    if sys.getfilesystemencoding() != "utf-8":
        for cell in (str(cell) for column in columns for cell in column.present):
            if PurePosixPath(cell).suffix.lower() in IMAGE_ENDINGS:
                os.fsencode(cell)  # raises where the locale is why no file was found
    stems = {PurePosixPath(name).stem for name in files}
    for column in columns:
        names = [PurePosixPath(str(cell).replace("\\", "/")).name for cell in column.present[:_SAMPLE]]
        if names and sum(name in files for name in names) >= len(names) / 2:
            value = shortened(column.present[0])
            text = f"{column.name!r} names images of {folder}, but in other folders ({value}); correct these paths"
        elif names and sum(name in stems for name in names) >= len(names) / 2:
            endings = Counter(PurePosixPath(name).suffix for name in files)
            text = f"{column.name!r} names images without the ending; add {endings.most_common(1)[0][0]!r} to each"
        elif column in by_name:
            text = f"no value of {column.name!r} is a file below {folder} ({shortened((column.present or [''])[0])})"
        else:
            continue
        proposal.odd.append(f"the column {text}")
        if column not in by_name:
            by_name.append(column)
    answers = [Answer("image-column", column.name, "once its paths are right") for column in by_name]
    without = Answer("no-column", ["image"], "there are none: nothing can be trained")
    proposal.ask("no column names image files that are there", *answers, without, options=("image-column",))


def say_unnamed(found: Found, files: dict[str, list[Path]], proposal: Proposal) -> None:
    """Say which images no row names."""
    named = set(found.files)
    rest = sorted(path for paths in files.values() for path in paths if path.resolve() not in named)
    if rest:
        names = quoted((path.name for path in rest), 2)
        proposal.odd.append(f"{counted(len(rest), 'image')} that no row names stay out: {names}")
