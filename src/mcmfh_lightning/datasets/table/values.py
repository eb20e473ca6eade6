"""Meaning of the values of a row: words, ids, texts, splits and dates.

Each function takes a value as the file has it, or None where there is none. Dates are ISO, a year or a month alone, or
in formats that the user names.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shards.info import SPLITS, Split
from mcmfh_lightning.shards.members import MAX_TEXT_CHARACTERS
from mcmfh_lightning.shards.pair import MAX_ID_LENGTH
from mcmfh_lightning.tables import counted


class BadValueError(Exception):
    """Value that cannot be used.

    Args:
        reason: What is wrong with it, as summaries count it.
        fix: What to do about it.
        detail: What exactly is wrong, or nothing.
        column: The column at fault, or None if the caller knows it.
    """

    def __init__(self, reason: str, fix: str, detail: str = "", column: str | None = None) -> None:
        super().__init__(reason, fix, detail, column)
        self.reason, self.fix, self.detail, self.column = reason, fix, detail, column


_EXACT_FLOATS = 2**53
NUL_FIX = "remove it; if every row has one the file is UTF-16: pass --encoding utf-16"

_AROUND = " \t\r\n'\"`\u2018\u2019\u201c\u201d[](){}<>"
_NOTHING = r"(?:nan|none|null|nil|nat|na|n[/.]a)"
_MISSING = re.compile(
    rf"-?{_NOTHING}(?:[\s_.,;:|/-]+{_NOTHING})*(?:\.0*)?"  # also nan.0 and None_None, of columns that were joined
    rf"|(?:pd|np|pandas|numpy|math)\.{_NOTHING}|-?nan\(\w*|na_\w+_|object object|\\n|-?1\.#\w+"
    r"|#\S*[!?]|#n/?a(?: n/a)?|#nv|err:\d+"  # errors of spreadsheets
)
"""Spellings of a missing value by pandas, R, Excel and databases: in lower case, without what is around it."""


def is_missing(value: object) -> bool:
    """Decide whether a value says nothing: None, white space, not a number, or a word that programs write for it."""
    if isinstance(value, str):
        word = value.strip(_AROUND).casefold()
        return not word or _MISSING.fullmatch(word) is not None
    return value is None or (isinstance(value, float | Decimal) and math.isnan(value))


def shortened(value: object) -> str:
    """Show a value in a message."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def read_string(value: object) -> str | None:
    """Return a string or a whole number as a string; None for white space alone.

    pandas turns a column of integers in which one is missing into 2.0: that is 2.

    Raises:
        BadValueError: If it has another type, NUL bytes, or cannot be written as UTF-8.
    """
    if value is None:
        return None
    if isinstance(value, float | Decimal) and abs(float(value)) <= _EXACT_FLOATS and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadValueError("value of the wrong type", "write a string", f"{type(value).__name__} {shortened(value)}")
    text = str(value)
    if "\0" in text:
        raise BadValueError("NUL byte", NUL_FIX)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadValueError("half of a surrogate pair", "write valid Unicode", shortened(text)) from error
    return text if text.strip() else None


def read_word(value: object) -> str | None:
    """Return what `read_string` returns, without white space at the ends."""
    text = read_string(value)
    return None if text is None else text.strip()


def read_id(value: object) -> str:
    """Read an id: 1 to 200 printable characters.

    Raises:
        BadValueError: If it is not one.
    """
    name = read_word(value)
    if name is None:
        raise BadValueError("no id", "give each row an id")
    if len(name) > MAX_ID_LENGTH:
        raise BadValueError("id too long", "ids have 200 characters or fewer: shorten it", f"{len(name)} characters")
    if not name.isprintable():
        raise BadValueError("unprintable id", "remove control characters and line breaks from it", shortened(name))
    return name


def read_text(value: object) -> str | None:
    """Read a text; nothing of it is changed.

    Raises:
        BadValueError: If it is too long, or not a text.
    """
    text = read_string(value)
    if text is not None and len(text) > MAX_TEXT_CHARACTERS:
        raise BadValueError(
            "text too long", "texts have 100,000 characters or fewer: shorten it", f"{len(text):,} characters"
        )
    return text


def read_split(value: object, names: Mapping[str, Split], note: Callable[[str], None]) -> Split:
    """Read a split.

    Args:
        value: What the row says.
        names: Splits by other names.
        note: Takes what had to be assumed, for the summary.

    Raises:
        BadValueError: If it is not a split, or empty.
    """
    name = read_word(value)
    if name is None:
        raise BadValueError("no split", "write train, val or test, or pass --split-by group to have splits drawn")
    if name in names:
        note(f"split {name!r} read as {names[name]!r}")
        return names[name]
    for split in SPLITS:
        if name == split:
            return split
    near = did_you_mean(name, SPLITS)
    raise BadValueError(
        "unknown split",
        "write train, val or test, or map its name, as in --split-names dev=val",
        shortened(name) + near,
    )


_ISO = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{2}))?(?:\.0+)?"  # a year or a month; programs print a year as 2011.0
    r"|(?P<y>\d{4})(?P<dash>-?)(?P<m>\d{2})(?P=dash)(?P<d>\d{2})(?:\.0+|[T ]\d{2}:\d{2}(?::\d{2})?(?:[.,:+Z\d-]*))?",
    re.ASCII,
)
_ORDERS = ("%d-%m-%Y", "%m-%d-%Y", "%Y-%m-%d", "%d-%m-%y", "%m-%d-%y", "%m-%Y")
_DAYS = [form.replace("-", separator) for separator in "./-" for form in _ORDERS]
_DAYS += ["%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y", "%d-%b-%Y", "%d%b%Y", "%B %Y", "%b %Y"]
_COMMON = [f"{day}{time}" for time in ("", " %H:%M", " %H:%M:%S") for day in _DAYS]
_MAY_BE_DATE = re.compile(r"(?=.*\d)(?=.*[^\W\d]|.*[./-])[\w ./:,-]{6,40}")  # strptime takes its time for others
# Two first days of a year that are the same day of the week: they differ in nothing but the year.
_FIRST, _OTHER_YEAR, _OTHER_DAY = datetime(2010, 1, 1), datetime(2021, 1, 1), datetime(2010, 1, 15)
_ONE_DAY = datetime(2010, 11, 23)
MONTH_ASSUMED = "a date that is a year or a month alone, stored as its first day"


class DateReader:
    """Reader of days as ISO or given formats write them.

    Args:
        formats: Formats of dates in the language of ``strptime``. ISO dates are read as well, unless a format begins
            with the year: then 2011-05-06 may mean the fifth of June.

    Raises:
        DataError: If a format is not one, names no year, or names a day without its month.
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
            BadValueError: If no format reads it, or two formats read it as different days.
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
        if len({day for day, _ in days.values()}) != 1:
            raise BadValueError(
                "impossible date",
                "write days as 2011-11-22 or 20111122, and nothing where unknown, or name their --date-format",
                shortened(word) + (f", which {' and '.join(days)} read as different days" if days else ""),
            )
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


def fitting_formats(words: Iterable[str]) -> list[str]:
    """List the common forms of dates that read every word.

    >>> fitting_formats(["22.11.2011", "01.02.2011"])
    ['%d.%m.%Y']
    """
    fitting = _COMMON
    for word in words:
        if not _MAY_BE_DATE.fullmatch(word.strip()):
            return []
        fitting = [form for form in fitting if _by_format(word.strip(), form) is not None]
    return list(fitting)


def date_hint(unread: Mapping[int, str], *, left_out: bool = True) -> str:
    """Say how many dates were dropped, and which formats would read them.

    Args:
        unread: The dates that could not be read, by row; at least one.
        left_out: Whether they are left out and their rows kept.
    """
    row = min(unread)
    fitting = fitting_formats(unread.values())
    fix = "write days as 2011-11-22, or name their form, as in --date-format '%d.%m.%Y'"
    if fitting:
        fix = f"what reads all of them is --date-format {' or '.join(map(repr, fitting))}"
    dates = counted(len(unread), "date cannot be read", "dates cannot be read")
    if left_out:
        dates += f" and {'is' if len(unread) == 1 else 'are'} left out"
    return f"{dates}, the first is {unread[row]!r} in row {row}; {fix}"
