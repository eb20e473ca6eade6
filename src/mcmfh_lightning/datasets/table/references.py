"""Groups and image files that the rows of a manifest refer to."""

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import NamedTuple

from mcmfh_lightning.datasets.table.values import BadValueError, is_missing, read_word, shortened
from mcmfh_lightning.shards.packing import group_number
from mcmfh_lightning.shards.pair import is_name

_LONGEST_PATH = 4096
_ROUNDED = re.compile(r"\d(?:[.,]\d+)?[Ee]\+\d+")
_WORDS = "unknown unk missing undefined unspecified known available applicable specified given blank empty withheld "
_WORDS += "anon anonym anonymous anonymized anonymised deidentified redacted removed"
_UNKNOWN = frozenset(_WORDS.split())
_WORDS = "not no name id p pid patient patients subject study case group number value"
_NOT_A_NAME = frozenset(_WORDS.split())
"""Words that stand next to one of those, as in ``patient unknown`` and ``not available``."""


class Group(NamedTuple):
    """Group under its own name, and its number."""

    name: str
    number: int


class Groups:
    """Names and numbers of groups; each number belongs to one name."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def read(self, value: object) -> Group:
        """Read the name of a group.

        Words such as ``unknown`` are refused: rows of several patients would be one group. ``Unknown patient`` is such
        a word and ``unknown 17`` is not: it may be kept apart from other patients.

        Raises:
            BadValueError: If there is no usable name, or another name has its number.
        """
        no_group = "fill in the study or patient; for a row that stands alone, its id"
        if isinstance(value, str) and _says_unknown(value):
            raise BadValueError("no group", no_group, shortened(value))
        if isinstance(value, str) and _ROUNDED.fullmatch(value.strip()):
            raise BadValueError(
                "group rounded by a spreadsheet", "export the column as text, with all its digits", shortened(value)
            )
        name = read_word(value)
        if name is None:
            raise BadValueError("no group", no_group)
        if not is_name(name):
            raise BadValueError(
                "unusable group",
                "groups have 200 printable characters or fewer: shorten or correct it",
                shortened(name),
            )
        number = group_number(name)
        other = self._names.setdefault(number, name)
        if other != name:
            raise BadValueError(
                "group number is taken by another group",
                "number the groups yourself: 1, 2, 3, ...",
                f"{shortened(name)} and {shortened(other)}",
            )
        return Group(name, number)


def _says_unknown(name: str) -> bool:
    if not any(map(str.isalnum, name)):
        return True
    words = re.findall(r"[^\W_]+", name.casefold().replace("de-", "de"))
    unknown = [word in _UNKNOWN or is_missing(word) for word in words]
    return any(unknown) and all(says or word in _NOT_A_NAME for says, word in zip(unknown, words, strict=True))


def group_key(value: object) -> str:
    """Return what is equal for spellings of a group that may mean one: ``P1`` and ``p-01``, ``7``, ``007`` and ``7.0``.

    Spreadsheets drop zeros, put an apostrophe before numbers and points or commas into them; tables with a missing
    number print the others as 7.0. What is between two digits is kept as a point: ``1-2`` is not ``12``.
    """
    name = "".join(unicodedata.normalize("NFKC", str(value)).casefold().split())
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.0+)?", name):
        name = name.replace(",", "")
    negative = re.match(r"[-\u2212]\d", name) is not None
    if len(re.findall("[.,]", name)) == 1:
        name = re.sub(r"(?<=\d)[.,]0+(?=\W*$)", "", name)
    key = re.sub(r"(?<=\d)[\W_]+(?=\d)", ".", name)
    key = re.sub(r"(?<!\d)[\W_]+|[\W_]+(?!\d)", "", key)
    key = re.sub(r"(?<!\d)0+(?=\d)", "", key)
    return f"-{key}" if negative and key != "0" else key


class ImageFolder:
    """Folder below which all images of a manifest are.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def read(self, value: object, note: Callable[[str], None]) -> Path | None:
        """Find the file that a path names.

        A path is taken unchanged first, then with ``/`` for backslashes (Windows), then in another form of Unicode
        (macOS) or with another case of the ending. The case of other letters is never changed: ``A1`` and ``a1`` may be
        films of two patients.

        Args:
            value: Path relative to the folder, or absolute.
            note: Takes what had to be assumed, for the summary.

        Raises:
            BadValueError: If there is no such file, it is outside the folder, or it is not a file.
        """
        name = read_word(value)
        if name is None:
            return None
        try:
            return self._find(name, note)
        except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be read, a circle of links
            raise _missing(_whole(name)) from error

    def _find(self, name: str, note: Callable[[str], None]) -> Path:
        path, spelled = self._below(name, name), name
        if not path.exists() and "\\" in name:
            spelled = name.replace("\\", "/")
            path = self._below(spelled, name)
        if not path.exists():
            path = self._respelled(name, spelled)
            note("an image file found under another spelling (form of Unicode, case of the ending)")
        elif spelled != name:
            note("a path with backslashes, read with / in their place")
        if not path.is_file():  # reading a pipe or a device may never end
            raise BadValueError("image is not a file", "name a file, not a folder or a device", _whole(name))
        return path

    def _below(self, spelled: str, name: str) -> Path:
        """Resolve a path. Its folder is checked first: a manifest learns nothing of what else is on the machine."""
        path = (self._root / spelled).resolve()
        if not path.is_relative_to(self._root):
            fix = "copy it below --images, or pass a folder above as --images"
            raise BadValueError("image outside --images", fix, _whole(name))
        return path

    def _respelled(self, name: str, spelled: str) -> Path:
        wanted = self._below(spelled, name).relative_to(self._root).parts
        found = self._walk(wanted, _same_file)
        if found is not None:
            return found
        detail = _whole(name)
        if spelled != name:
            detail += f", and with / in place of the backslashes {spelled!r} is missing too"
        if near := self._walk(wanted, _same_letters):
            detail += f"; there is {str(near.relative_to(self._root))!r}"
        raise _missing(detail)

    def _walk(self, parts: tuple[str, ...], key: Callable[[str], str]) -> Path | None:
        """Follow a path through names that are equal under a key; None if one has no or several such names."""
        path = self._root
        for part in parts:
            same = [part]
            if not (path / part).exists():
                same = [name for name in self._names(path).get(_same_letters(part), []) if key(name) == key(part)]
            if len(same) != 1:
                return None
            path = (path / same[0]).resolve()
            if not path.is_relative_to(self._root):  # by a link
                return None
        return path

    def _names(self, folder: Path) -> dict[str, list[str]]:
        """Return the names in a folder by their letters; the folder is listed once."""
        if folder not in self._listings:
            listing: dict[str, list[str]] = {}
            for path in folder.iterdir() if folder.is_dir() else ():
                listing.setdefault(_same_letters(path.name), []).append(path.name)
            self._listings[folder] = listing
        return self._listings[folder]


def _whole(name: str) -> str:
    """Show a path in a message; it can be copied from there, unless it is longer than paths may be."""
    return repr(name) if len(name) <= _LONGEST_PATH else shortened(name)


def _missing(detail: str) -> BadValueError:
    fix = "paths are relative to --images: correct it, or leave it empty to keep the text"
    return BadValueError("missing image file", fix, detail)


def _same_file(name: str) -> str:
    path = PurePath(unicodedata.normalize("NFC", name))
    return path.stem + path.suffix.lower()


def _same_letters(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
