"""What the values of a row mean. Each function takes a value as it stands, None where there is none.

Dates of a manifest: ISO, a year or a month alone, or forms that the user names.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from mcmfh_lightning.datasets.table.problems import (
    BAD_DATE,
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
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.info import SPLITS, Split
from mcmfh_lightning.shards.members import MAX_TEXT_CHARACTERS
from mcmfh_lightning.shards.packing import group_number
from mcmfh_lightning.shards.pair import MAX_ID_LENGTH, is_name

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


_ISO = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{2}))?(?:\.0+)?"  # a year or a month; programs print a year as 2011.0
    r"|(?P<y>\d{4})(?P<dash>-?)(?P<m>\d{2})(?P=dash)(?P<d>\d{2})(?:\.0+|[T ]\d{2}:\d{2}(?::\d{2})?(?:[.,:+Z\d-]*))?",
    re.ASCII,
)
_ORDERS = ("%d-%m-%Y", "%m-%d-%Y", "%Y-%m-%d", "%d-%m-%y", "%m-%d-%y", "%m-%Y")
_DAYS = [form.replace("-", separator) for separator in "./-" for form in _ORDERS]
_DAYS += ["%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y", "%d-%b-%Y", "%d%b%Y", "%B %Y", "%b %Y"]
_COMMON = [f"{day}{time}" for time in ("", " %H:%M", " %H:%M:%S") for day in _DAYS]
# Two first days of a year that are the same day of the week: they differ in nothing but the year.
_FIRST, _OTHER_YEAR, _OTHER_DAY = datetime(2010, 1, 1), datetime(2021, 1, 1), datetime(2010, 1, 15)
_ONE_DAY = datetime(2010, 11, 23)
MONTH_ASSUMED = "a date that is a year or a month alone, stored as its first day"


class DateReader:
    """Reads days as ISO writes them.

    Args:
        formats: Forms of dates in the language of ``strptime``. ISO dates are read as well, unless a format begins with
            the year: then 2011-05-06 may mean the fifth of June.

    Raises:
        DataError: If a format is not one, or names no year, or a day of no month.
    """

    def __init__(self, formats: Sequence[str] = ()) -> None:
        for form in formats:
            _check(form)
        self._formats = tuple(formats)
        self._iso = not any(form.startswith("%Y") for form in formats)

    def read(self, value: object, note: Callable[[str], None]) -> str | None:
        """Read a day; a year or a month alone is its first day.

        Args:
            value: What the row says.
            note: Takes what had to be assumed, for the summary.

        Raises:
            BadValueError: If it has none of the forms, or two forms read it as different days.
        """
        if isinstance(value, date):  # of Parquet; a datetime is one too
            return (value.date() if isinstance(value, datetime) else value).isoformat()
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        word = read_word(value)
        if word is None:
            return None
        days = {repr(form): (day, _names_a_day(form)) for form in self._formats if (day := _by_format(word, form))}
        iso = _by_iso(word) if self._iso else None
        if iso is not None and (iso[1] or not days):  # a year or a month alone gives way to a format
            days["ISO"] = iso
        if not days:
            raise BadValueError(BAD_DATE, shortened(word))
        if len({day for day, _ in days.values()}) > 1:
            raise BadValueError(BAD_DATE, f"{shortened(word)}, which {' and '.join(days)} read as different days")
        day, whole = next(iter(days.values()))
        if not whole:
            note(MONTH_ASSUMED)
        return day.isoformat()


def _check(form: str) -> None:
    try:
        datetime.strptime(_FIRST.strftime(form), form)
    except ValueError as error:
        raise DataError(
            f"--date-format {form!r} is not a form of dates ({error}); write it as Python's strptime does, such as "
            "'%d.%m.%Y' for 22.11.2011 or '%B %d, %Y' for November 22, 2011"
        ) from error
    if _FIRST.strftime(form) == _OTHER_YEAR.strftime(form):
        raise DataError(f"--date-format {form!r} has no year; add %Y, or %y for one of two digits")
    if _names_a_day(form) and _by_format(_ONE_DAY.strftime(form), form) != _ONE_DAY.date():
        raise DataError(
            f"--date-format {form!r} names a day or a week and not which of the year; add %m or %B for the month, "
            "or %a for the day of the week"
        )


def _by_format(word: str, form: str) -> date | None:
    try:
        return datetime.strptime(word, form).date()
    except ValueError:
        return None


def _names_a_day(form: str) -> bool:
    return _FIRST.strftime(form) != _OTHER_DAY.strftime(form)


def _by_iso(word: str) -> tuple[date, bool] | None:
    """Return the day that an ISO date means, and whether it names that day; None for another form."""
    match = _ISO.fullmatch(word)
    if match is None:
        return None
    try:
        if match["y"] is not None:
            return date(int(match["y"]), int(match["m"]), int(match["d"])), True
        return date(int(match["year"]), int(match["month"] or 1), 1), False
    except ValueError:
        return None


def fitting_formats(words: Sequence[str]) -> list[str]:
    """Return the common forms that read every one of some dates, for a hint."""
    return [form for form in _COMMON if all(_by_format(word.strip(), form) is not None for word in words)]
