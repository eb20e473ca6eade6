"""Dates of a manifest."""

from datetime import date, datetime, timedelta

import pytest

from mcmfh_lightning.datasets.table.values import MONTH_ASSUMED, BadValueError, DateReader, date_hint
from mcmfh_lightning.errors import DataError


def read(value: object, *formats: str) -> tuple[str | None, list[str]]:
    noted: list[str] = []
    return DateReader(formats).read(value, noted.append), noted


@pytest.mark.parametrize(
    "value",
    [
        "2011-11-22",
        "20111122",
        " 2011-11-22 ",
        "20111122.0",
        20111122,
        20111122.0,
        "2011-11-22 13:05",
        "2011-11-22T13:05:09Z",
        "2011-11-22 13:05:09.120+01:00",
        date(2011, 11, 22),
        datetime(2011, 11, 22, 13),
    ],
)
def test_days_as_programs_print_them(value):
    assert read(value) == ("2011-11-22", [])


@pytest.mark.parametrize(
    ("value", "day"),
    [("2011", "2011-01-01"), (2011, "2011-01-01"), ("2011.0", "2011-01-01"), ("2011-11", "2011-11-01")],
)
def test_a_year_or_a_month_alone_is_its_first_day(value, day):
    assert read(value) == (day, [MONTH_ASSUMED])


@pytest.mark.parametrize(
    "form",
    ["%B %d, %Y", "%d.%m.%Y", "%m/%d/%y", "%d%b%Y", "%Y/%m/%d", "%A, %d. %B %Y", "%c", "%Y-%j", "%G-%V-%u", "%a %W %Y"],
)
def test_forms_that_are_named(form):
    for days in range(0, 4000, 37):
        day = datetime(2009, 3, 1) + timedelta(days)
        assert read(day.strftime(form), form) == (day.date().isoformat(), [])


def test_forms_without_a_day_are_the_first_day():
    assert read("May 2011", "%B %Y") == ("2011-05-01", [MONTH_ASSUMED])
    assert read("'11", "'%y") == ("2011-01-01", [MONTH_ASSUMED])


def test_iso_dates_are_read_next_to_a_form_unless_it_begins_with_the_year():
    assert read("2011-05-06", "%d.%m.%Y") == ("2011-05-06", [])
    assert read("2011", "%d.%m.%Y") == ("2011-01-01", [MONTH_ASSUMED])
    assert read("2011-05-06", "%Y-%d-%m") == ("2011-06-05", [])
    with pytest.raises(BadValueError):
        read("2011-05-30", "%Y-%d-%m")


def test_a_date_that_two_forms_read_as_different_days_is_not_read():
    both = ("%d/%m/%Y", "%m/%d/%Y")
    assert read("22/11/2011", *both) == read("11/22/2011", *both) == ("2011-11-22", [])
    assert read("05/05/2011", *both) == ("2011-05-05", [])
    with pytest.raises(BadValueError) as error:
        read("05/06/2011", *both)
    assert error.value.detail == "'05/06/2011', which '%d/%m/%Y' and '%m/%d/%Y' read as different days"


@pytest.mark.parametrize("form", ["%d%m%Y", "%m%d%Y"])
def test_iso_counts_as_one_more_form(form):
    with pytest.raises(BadValueError) as error:
        read("10111122" if form == "%m%d%Y" else "20111122", form)
    assert error.value.detail.endswith(f"which '{form}' and ISO read as different days")
    day = datetime(2012, 11, 22)
    assert read(day.strftime(form), form) == read("2012-11-22", form) == ("2012-11-22", [])


def test_a_format_comes_before_a_year_alone():
    assert read("2011", "%y%m") == ("2020-11-01", [MONTH_ASSUMED])


@pytest.mark.parametrize(
    "value", ["2011-02-30", "2011-13", "201111", "22.11.2011", "1", "0000", "2011-1-12", "2011-11-22 or so"]
)
def test_other_dates_are_bad(value):
    with pytest.raises(BadValueError) as error:
        read(value)
    assert error.value.reason == "impossible date"


@pytest.mark.parametrize("form", ["%d/%m", "%H:%M", "day", "%Q", "%d.%m.%Y %", "%U %Y", "%d %Y", "%Y week %W"])
def test_forms_that_are_none(form):
    with pytest.raises(DataError, match="--date-format"):
        DateReader([form])


@pytest.mark.parametrize(
    ("dates", "fix"),
    [
        (["January 22, 2020", "May 1, 2019"], "--date-format '%B %d, %Y'"),
        (["1/2/2020", "3/4/2020"], "--date-format '%d/%m/%Y' or '%m/%d/%Y'"),
        (["1/2/2020", "30/4/2020"], "--date-format '%d/%m/%Y'"),
        (["1.2.2020 13:05"], "--date-format '%d.%m.%Y %H:%M' or '%m.%d.%Y %H:%M'"),
    ],
)
def test_formats_that_would_read_all_dates_are_found(dates, fix):
    hint = date_hint(dict(enumerate(dates, 2)))
    many = f"{len(dates)} dates cannot be read and are" if len(dates) > 1 else "1 date cannot be read and is"
    assert hint.startswith(f"{many} left out, the first is {dates[0]!r} in row 2; ")
    assert hint.endswith(f"what reads all of them is {fix}")


def test_dates_that_no_common_format_reads():
    assert date_hint({2: "1/2/2020", 3: "soon"}).endswith("or name their form, as in --date-format '%d.%m.%Y'")
