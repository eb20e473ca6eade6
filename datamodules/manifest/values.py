"""What the values of a row mean. Each function takes a value as it stands, None where there is none."""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

from mcmfh_lightning.datamodules.manifest.problems import (
    BAD_GROUP,
    GROUP_COLLISION,
    LONG_ID,
    LONG_TEXT,
    NO_GROUP,
    NO_ID,
    NO_SPLIT,
    NOT_UNICODE,
    NUL,
    ROUNDED_GROUP,
    UNKNOWN_SPLIT,
    UNPRINTABLE_ID,
    WRONG_TYPE,
    BadValueError,
)
from mcmfh_lightning.datamodules.shards.groups import group_number
from mcmfh_lightning.datamodules.shards.info import SPLITS, Split
from mcmfh_lightning.datamodules.shards.members import MAX_TEXT_CHARACTERS
from mcmfh_lightning.datamodules.shards.pair import MAX_ID_LENGTH, is_name

_ROUNDED = re.compile(r"\d(?:[.,]\d+)?[Ee]\+\d+")
_EXACT_FLOATS = 2**53

_AROUND = " \t\r\n'\"`\u2018\u2019\u201c\u201d[](){}<>"
_NOTHING = r"(?:nan|none|null|nil|nat|na|n[/.]a)"
_MISSING = re.compile(
    rf"-?{_NOTHING}(?:[\s_.,;:|/-]+{_NOTHING})*(?:\.0*)?"  # also nan.0 and None_None, of columns that were joined
    rf"|(?:pd|np|pandas|numpy|math)\.{_NOTHING}|-?nan\(\w*|na_\w+_|object object|\\n|-?1\.#\w+"
    r"|#\S*[!?]|#n/?a(?: n/a)?|#nv|err:\d+"  # errors of spreadsheets
)
"""How pandas, R, Excel and databases write that a value is missing, in lower case and without what is around it."""

_WORDS = "unknown unk missing undefined unspecified known available applicable specified given blank empty withheld "
_WORDS += "anon anonym anonymous anonymized anonymised deidentified redacted removed"
_UNKNOWN = frozenset(_WORDS.split())
_WORDS = "not no name id p pid patient patients subject study case group number value"
_NOT_A_NAME = frozenset(_WORDS.split())
"""Words next to one of those, as in ``patient unknown`` and ``not available``."""


def is_missing(value: object) -> bool:
    """Decide whether a value says nothing: None, white space, not a number, or a word that programs write for it."""
    if isinstance(value, str):
        word = value.strip(_AROUND).casefold()
        return not word or _MISSING.fullmatch(word) is not None
    return value is None or (isinstance(value, float | Decimal) and math.isnan(value))


def read_string(value: object) -> str | None:
    """Return a string or a whole number as a string; None for white space alone.

    pandas turns a column of integers in which one is missing into 2.0: that is 2.

    Raises:
        BadValueError: for other types, NUL bytes and what cannot be written as UTF-8.
    """
    if value is None:
        return None
    if isinstance(value, float | Decimal) and abs(float(value)) <= _EXACT_FLOATS and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadValueError(WRONG_TYPE, f"{type(value).__name__} {shortened(value)}")
    text = str(value)
    if "\0" in text:
        raise BadValueError(NUL)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadValueError(NOT_UNICODE, shortened(text)) from error
    return text if text.strip() else None


def read_word(value: object) -> str | None:
    """`read_string` without white space at the ends."""
    text = read_string(value)
    return None if text is None else text.strip()


def shortened(value: object) -> str:
    """Show a value in a message."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def read_id(value: object) -> str:
    """An id: 1 to 200 printable characters."""
    name = read_word(value)
    if name is None:
        raise BadValueError(NO_ID)
    if len(name) > MAX_ID_LENGTH:
        raise BadValueError(LONG_ID, f"{len(name)} characters")
    if not name.isprintable():
        raise BadValueError(UNPRINTABLE_ID, shortened(name))
    return name


def read_text(value: object) -> str | None:
    """A text, as it stands."""
    text = read_string(value)
    if text is not None and len(text) > MAX_TEXT_CHARACTERS:
        raise BadValueError(LONG_TEXT, f"{len(text):,} characters")
    return text


def known_group(value: object) -> object:
    """Refuse a word that says that the group is not known, such as ``unknown``, or a number without its last digits.

    ``Unknown patient`` is such a word and ``unknown 17`` is not: it may be kept apart from other patients.
    """
    if isinstance(value, str) and _says_unknown(value):
        raise BadValueError(NO_GROUP, shortened(value))
    if isinstance(value, str) and _ROUNDED.fullmatch(value.strip()):
        raise BadValueError(ROUNDED_GROUP, shortened(value))
    return value


def _says_unknown(name: str) -> bool:
    if not any(map(str.isalnum, name)):
        return True
    words = re.findall(r"[^\W_]+", name.casefold().replace("de-", "de"))
    unknown = [word in _UNKNOWN or is_missing(word) for word in words]
    return any(unknown) and all(says or word in _NOT_A_NAME for says, word in zip(unknown, words, strict=True))


class Group(NamedTuple):
    """A group under its own name, and its number."""

    name: str
    number: int


class Groups:
    """Names and numbers of groups; no two names have one number."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def read(self, value: object) -> Group:
        """Read the name of a group."""
        name = read_word(value)
        if name is None:
            raise BadValueError(NO_GROUP)
        if not is_name(name):
            raise BadValueError(BAD_GROUP, shortened(name))
        number = group_number(name)
        other = self._names.setdefault(number, name)
        if other != name:
            raise BadValueError(GROUP_COLLISION, f"{shortened(name)} and {shortened(other)}")
        return Group(name, number)


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


def read_split(value: object, names: Mapping[str, Split], note: Callable[[str], None]) -> Split:
    """Read a split.

    Args:
        value: What the row says.
        names: Splits by other names.
        note: Takes what had to be assumed, for the summary.
    """
    name = read_word(value)
    if name is None:
        raise BadValueError(NO_SPLIT)
    if name in names:
        note(f"split {name!r} read as {names[name]!r}")
        return names[name]
    for split in SPLITS:
        if name == split:
            return split
    raise BadValueError(UNKNOWN_SPLIT, shortened(name))
