"""What the values of a row mean. Each function takes a value as it stands, None where there is none."""

import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from mcmfh_lightning.datamodules.manifest.problems import (
    BAD_DATE,
    BAD_GROUP,
    BAD_LABEL,
    BAD_LABELS,
    GROUP_COLLISION,
    LONG_ID,
    LONG_TEXT,
    NO_GROUP,
    NO_ID,
    NO_IMAGE_FILE,
    NO_SPLIT,
    NOT_A_FILE,
    NOT_UNICODE,
    NUL,
    OUTSIDE,
    UNKNOWN_SPLIT,
    UNPRINTABLE_ID,
    WRONG_TYPE,
    BadValueError,
)
from mcmfh_lightning.datamodules.shards.groups import group_number
from mcmfh_lightning.datamodules.shards.info import SPLITS, Split
from mcmfh_lightning.datamodules.shards.members import MAX_TEXT_CHARACTERS
from mcmfh_lightning.datamodules.shards.pair import MAX_ID_LENGTH, is_name

_DAY = re.compile(r"(\d{4})(-?)(\d{2})\2(\d{2})", re.ASCII)
_MAX_LABEL_LENGTH = 200


def read_string(value: object) -> str | None:
    """A string or integer, as a string; None for white space alone.

    Raises:
        BadValueError: for other types, NUL bytes and what cannot be written as UTF-8.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadValueError(WRONG_TYPE, f"{type(value).__name__} {_shortened(value)}")
    text = str(value)
    if "\0" in text:
        raise BadValueError(NUL)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadValueError(NOT_UNICODE, _shortened(text)) from error
    return text if text.strip() else None


def read_word(value: object) -> str | None:
    """`read_string` without white space at the ends."""
    text = read_string(value)
    return None if text is None else text.strip()


def _shortened(value: object) -> str:
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
        raise BadValueError(UNPRINTABLE_ID, _shortened(name))
    return name


def read_text(value: object) -> str | None:
    """A text, as it stands."""
    text = read_string(value)
    if text is not None and len(text) > MAX_TEXT_CHARACTERS:
        raise BadValueError(LONG_TEXT, f"{len(text):,} characters")
    return text


def read_image(value: object, root: Path) -> Path | None:
    """The file that a path names, if it lies below a folder when links are followed.

    Args:
        value: relative to the folder, or absolute.
        root: the folder, resolved.
    """
    name = read_word(value)
    if name is None:
        return None
    try:
        path = (root / name).resolve()
        # Whether it lies below comes first: a manifest learns nothing of what else is on the machine.
        if not path.is_relative_to(root):
            raise BadValueError(OUTSIDE, _shortened(name))
        if not path.exists():
            raise BadValueError(NO_IMAGE_FILE, _shortened(name))
        if not path.is_file():  # reading a pipe or a device may never end
            raise BadValueError(NOT_A_FILE, _shortened(name))
    except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be read, a circle of links
        raise BadValueError(NO_IMAGE_FILE, _shortened(name)) from error
    return path


def read_labels(value: object, separator: str) -> tuple[str, ...]:
    """A list of labels, or one string with separators: sorted, each once, without empty ones."""
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.split(separator)
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise BadValueError(BAD_LABELS, _shortened(value))
    labels = {label.strip() for label in value} - {""}
    for label in labels:
        if len(label) > _MAX_LABEL_LENGTH or not label.isprintable():
            raise BadValueError(BAD_LABEL, _shortened(label))
    return tuple(sorted(labels))


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
            raise BadValueError(BAD_GROUP, _shortened(name))
        number = group_number(name)
        other = self._names.setdefault(number, name)
        if other != name:
            raise BadValueError(GROUP_COLLISION, f"{_shortened(name)} and {_shortened(other)}")
        return Group(name, number)


def read_split(value: object) -> Split:
    """A split."""
    name = read_word(value)
    if name is None:
        raise BadValueError(NO_SPLIT)
    for split in SPLITS:
        if name == split:
            return split
    raise BadValueError(UNKNOWN_SPLIT, _shortened(name))


def read_date(value: object) -> str | None:
    """A day, as ISO writes it."""
    if isinstance(value, date):  # of Parquet; a datetime is one too
        return (value.date() if isinstance(value, datetime) else value).isoformat()
    word = read_word(value)
    if word is None:
        return None
    match = _DAY.fullmatch(word)
    if match is None:
        raise BadValueError(BAD_DATE, _shortened(word))
    try:
        return date(int(match[1]), int(match[3]), int(match[4])).isoformat()
    except ValueError as error:
        raise BadValueError(BAD_DATE, _shortened(word)) from error


def other_separator(values: Iterable[object], separator: str) -> str | None:
    """A separator that label strings hold where none holds the given one: ``a|b`` read with ``;`` is one label."""
    strings = [value for value in values if isinstance(value, str)]
    if any(separator in string for string in strings):
        return None
    return next((other for other in ";|,\t" if any(other in string for string in strings)), None)
