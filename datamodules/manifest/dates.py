"""Dates of a manifest: ISO, a year or a month alone, or forms that the user names."""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime

from mcmfh_lightning.datamodules.manifest.problems import BAD_DATE, BadValueError
from mcmfh_lightning.datamodules.manifest.values import read_word, shortened
from mcmfh_lightning.errors import DataError

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
