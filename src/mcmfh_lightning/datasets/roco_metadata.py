"""Metadata files of ROCO's repository, read strictly.

A folder such as ``data/test/radiology`` has one line an image in each of

- ``captions.txt``: id, tab, caption (which may contain tabs);
- ``cuis.txt``, ``keywords.txt``: id, tab, nothing, and a tab before each entry;
- ``semtypes.txt``: the same with entries in pairs, code and name;
- ``licences.txt``: CSV with the header ``ROCO_ID,PMC_ID,CC``; the second field is ``PMC<article>_<file>``.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from mcmfh_lightning.errors import DataError

LabelScheme = Literal["cuis", "semtypes"]

_LICENCE_HEADER = ["ROCO_ID", "PMC_ID", "CC"]
_FIX = "restore the file from the repository"
_Value = TypeVar("_Value")


class Licence(NamedTuple):
    """Line of ``licences.txt``: the article's number, its file of the figure, and its license."""

    article: int
    file: str
    name: str


@dataclass(frozen=True)
class Part:
    """Metadata of one folder, such as ``test/radiology``; each file by ROCO id, in the order of its lines."""

    scheme: LabelScheme
    captions: Mapping[str, str]
    labels: Mapping[str, tuple[str, ...]]
    keywords: Mapping[str, tuple[str, ...]]
    licences: Mapping[str, Licence]

    def ids(self) -> list[str]:
        """Return every id that a file names, those of the captions first."""
        return list(dict.fromkeys(roco_id for rows in self._files().values() for roco_id in rows))

    def gap(self, roco_id: str) -> str | None:
        """Name the first file that has no line of an id, as a reason to skip it, or None."""
        return next((f"not in {file}" for file, rows in self._files().items() if roco_id not in rows), None)

    def _files(self) -> dict[str, Mapping[str, object]]:
        # Keywords are left out: they explain labels and do not belong to a pair.
        return {"captions.txt": self.captions, f"{self.scheme}.txt": self.labels, "licences.txt": self.licences}


def read_part(folder: Path, scheme: LabelScheme) -> Part:
    """Read the metadata of one folder.

    Raises:
        DataError: If a file is missing or of an older release, a line has another shape or an id is named twice, with
            file and line.
    """
    parse_labels = _cuis if scheme == "cuis" else _semantic_types
    return Part(
        scheme=scheme,
        captions=_read(folder / "captions.txt", lambda text: " ".join(text.split())),
        labels=_read(folder / f"{scheme}.txt", parse_labels),
        keywords=_read(folder / "keywords.txt", _fields),
        licences=_read_licences(folder / "licences.txt"),
    )


def _read(path: Path, parse: Callable[[str], _Value]) -> dict[str, _Value]:
    """Read lines of a ROCO id, a tab and more."""
    rows: dict[str, _Value] = {}
    for number, line in enumerate(_text(path).removesuffix("\n").split("\n"), start=1):
        roco_id, _, rest = line.removesuffix("\r").partition("\t")
        try:
            _enter(rows, roco_id, parse(rest))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}; {_FIX}") from error
    return rows


def _read_licences(path: Path) -> dict[str, Licence]:
    rows: dict[str, Licence] = {}
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        _check_header(next(reader, []))
        for row in reader:
            _enter(rows, row[0] if row else "", _licence(row))
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; {_FIX}") from error
    return rows


def _check_header(row: Sequence[str]) -> None:
    if row != _LICENCE_HEADER:
        raise ValueError(f"the header is {','.join(row)!r}, not {','.join(_LICENCE_HEADER)}")


def _licence(row: Sequence[str]) -> Licence:
    if len(row) != len(_LICENCE_HEADER):
        raise ValueError(f"{len(row)} fields, not {len(_LICENCE_HEADER)}")
    _, figure, name = row
    match = re.fullmatch(r"PMC(\d{1,18})_(.+)", figure)
    if match is None:
        raise ValueError(f"{figure!r} is not an article and its file, such as PMC123_figure1.jpg")
    return Licence(int(match[1]), match[2], name.strip())


def _text(path: Path) -> str:
    if not path.is_file():
        older = sorted(other.name for other in path.parent.glob(f"{path.stem}*.txt"))
        if older:
            raise DataError(f"{path} is missing, but there is {older[0]}: an older release; update the repository")
        raise DataError(f"{path} is missing; {_FIX}")
    try:
        return path.read_bytes().decode()  # no translation of line ends
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8; {_FIX}") from error


def _enter(rows: dict[str, _Value], roco_id: str, value: _Value) -> None:
    if not re.fullmatch(r"ROCO_\d+", roco_id):
        raise ValueError(f"{roco_id!r} is not an id such as ROCO_00001")
    if roco_id in rows:
        raise ValueError(f"{roco_id} is listed twice")
    rows[roco_id] = value


def _fields(text: str) -> tuple[str, ...]:
    """Split the entries that follow an id and an empty field."""
    first, *fields = text.split("\t")
    if first:
        raise ValueError("the field after the id is not empty")
    return tuple(fields) if any(fields) else ()


def _cuis(text: str) -> tuple[str, ...]:
    cuis = _fields(text)
    for cui in cuis:
        if not re.fullmatch(r"C\d{7}", cui):
            raise ValueError(f"{cui!r} is not a CUI such as C0040405")
    return tuple(sorted(set(cuis)))


def _semantic_types(text: str) -> tuple[str, ...]:
    fields = _fields(text)
    codes, names = fields[::2], fields[1::2]
    if len(codes) != len(names) or not all(re.fullmatch(r"T\d{3}", code) for code in codes) or not all(names):
        raise ValueError("semantic types are pairs of a code such as T060 and a name")
    return tuple(sorted(set(names)))


class Word(NamedTuple):
    """Word of a caption, and how well its presence predicts a label.

    Attributes:
        word: The word.
        items: Number of items with the label.
        precision: Share of the items with the word that have the label.
        recall: Share of the items with the label that have the word.
    """

    word: str
    items: int
    precision: float
    recall: float


def typical_words(labels: Mapping[str, Iterable[str]], words: Mapping[str, Iterable[str]]) -> dict[str, Word]:
    """Find the word with the best F1 for each label, ties by alphabet.

    Args:
        labels: Labels of each item.
        words: Words of each item.

    Returns:
        The word of each label; labels whose items have no word at all are left out.
    """
    label_sets = {item: set(found) for item, found in labels.items()}
    word_sets = {item: set(words.get(item, ())) for item in labels}
    items = Counter(label for found in label_sets.values() for label in found)
    total = Counter(word for found in word_sets.values() for word in found)
    together = Counter(
        (label, word) for item, found in label_sets.items() for label in found for word in word_sets[item]
    )
    best: dict[str, tuple[float, Word]] = {}
    for (label, word), both in sorted(together.items()):
        f1 = 2 * both / (items[label] + total[word])
        if label not in best or f1 > best[label][0]:
            best[label] = f1, Word(word, items[label], both / total[word], both / items[label])
    return {label: word for label, (_, word) in best.items()}
