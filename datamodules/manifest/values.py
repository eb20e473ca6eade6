"""What the values of a row mean. Each function takes a value as it stands, None where there is none."""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
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

_PRINTED_INTEGER = re.compile(r"(-?)0*([0-9]+)(?:\.0+)?", re.ASCII)
_ROUNDED = re.compile(r"\d(?:[.,]\d+)?[Ee]\+\d+")

_WORDS = "nan -nan none null na n/a n.a. nat <na> <nan> <nat> <none> <null> (null) #n/a #na \\n 1.#ind -1.#ind 1.#qnan"
MISSING_WORDS = frozenset(["", "-1.#qnan", "#n/a n/a", *_WORDS.split()])
"""How pandas, R, Excel and databases write that a value is missing, in lower case."""


_UNKNOWN = frozenset({"", "unknown", "unk", "missing", "undefined", "not available", "not known", "anon", "anonymous"})


def is_missing(value: object) -> bool:
    """Decide whether a value says nothing: None, white space, not a number, or a word that programs write for it."""
    if isinstance(value, str):
        return value.strip().casefold() in MISSING_WORDS
    return value is None or (isinstance(value, float) and math.isnan(value))


def read_string(value: object) -> str | None:
    """A string or integer, as a string; None for white space alone.

    Raises:
        BadValueError: for other types, NUL bytes and what cannot be written as UTF-8.
    """
    if value is None:
        return None
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
    """Refuse a word that says that the group is not known, such as ``unknown``, or a number without its last digits."""
    if isinstance(value, str) and value.strip(" .?-*").casefold() in _UNKNOWN:
        raise BadValueError(NO_GROUP, shortened(value))
    if isinstance(value, str) and _ROUNDED.fullmatch(value.strip()):
        raise BadValueError(ROUNDED_GROUP, shortened(value))
    return value


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
    """Return what is equal for spellings of a group that may mean one: ``P1`` and ``p 1``, ``7``, ``007`` and ``7.0``.

    Spreadsheets drop zeros, and tables with a missing number print the others as 7.0.
    """
    name = "".join(unicodedata.normalize("NFKC", str(value)).casefold().split())
    match = _PRINTED_INTEGER.fullmatch(name)
    return name if match is None else f"{match[1]}{match[2]}"


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
