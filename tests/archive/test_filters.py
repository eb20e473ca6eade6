"""Filters against the same conditions written down item by item."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.archive.codes_cache import with_numbered_values
from mcmfh_lightning.archive.filters import Filters, QueryError, UnknownError
from mcmfh_lightning.archive.schema import count_facets, item_schema

LABELS = ("Cardiomegaly", "Catheters, Indwelling", 'it\'s "quoted"', "normal")
DATES = (None, "2012-12-31", "2013-01-01", "2013-06-30", "2013-06-30T08:00:00")
LICENCES = ("CC0", "CC BY 4.0", "")
SPLITS = (None, "train", "test")
GROUPS = {"P-1009": 5115433337965007585, "5115433337965007585": 5115433337965007585, "CXR12": 12, "7": 7, "007": 70}
"""Numbers by name: of a manifest, of the same one by an earlier release, of Open-i, and what an integer is."""
ASKED = ("P-1009", "CXR12", "12", 7, "007")
KNOWN = ["id", "group", "group_name", "split", "has_image", "has_text", "labels", "date", "licence"]

ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "group_name": st.sampled_from(tuple(GROUPS)),
            "split": st.sampled_from(SPLITS),
            "has_image": st.booleans(),
            "has_text": st.booleans(),
            "labels": st.lists(st.sampled_from(LABELS), unique=True),
            "date": st.sampled_from(DATES),
            "licence": st.sampled_from(LICENCES),
        }
    ),
    max_size=12,
)


def some(values):
    return st.lists(st.sampled_from(values), max_size=2).map(tuple)


FILTERS = st.builds(
    Filters,
    labels=some(LABELS),
    any_labels=some(LABELS),
    since=st.sampled_from((None, "2013-01-01")),
    until=st.sampled_from((None, "2013-06-30")),
    licences=some(LICENCES),
    groups=some(ASKED),
    without_groups=some(ASKED),
    splits=some(("train", "test")),
    has_image=st.sampled_from((None, True, False)),
    has_text=st.sampled_from((None, True, False)),
)


def is_of(item: dict, asked: str | int) -> bool:
    names = {"P-1009": ("P-1009", "5115433337965007585"), "12": ("CXR12",)}.get(asked, (str(asked),))
    return item["group_name"] in names


def passes(item: dict, filters: Filters) -> bool:
    day = None if item["date"] is None else item["date"][:10]
    return (
        set(filters.labels) <= set(item["labels"])
        and (not filters.any_labels or bool(set(filters.any_labels) & set(item["labels"])))
        and (filters.since is None or (day is not None and day >= filters.since))
        and (filters.until is None or (day is not None and day <= filters.until))
        and (not filters.licences or item["licence"] in filters.licences)
        and (not filters.groups or any(is_of(item, name) for name in filters.groups))
        and not any(is_of(item, name) for name in filters.without_groups)
        and (not filters.splits or item["split"] in filters.splits)
        and filters.has_image in (None, item["has_image"])
        and filters.has_text in (None, item["has_text"])
    )


@settings(max_examples=150, deadline=None)
@given(ITEMS, FILTERS, st.booleans(), st.booleans(), st.integers(0, 3))
def test_they_let_pass_what_meets_every_condition(items, filters, in_pieces, as_in_files, left_out):
    """Of whole tables and parts of one, also with labels as the files of an archive have them."""
    schema = pa.schema([field for field in item_schema(16) if field.name in KNOWN])
    rows = [{"id": str(place), "group": GROUPS[item["group_name"]], **item} for place, item in enumerate(items)]
    table = pa.Table.from_pylist(rows, schema=schema)
    if in_pieces and len(items) > 1:
        table = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    if as_in_files:
        table = with_numbered_values(table.combine_chunks())
    table, items = table.slice(left_out), items[left_out:]
    found = filters.passing(table)
    expected = [passes(item, filters) for item in items]
    assert (found is None) == (filters == Filters())
    assert (np.ones(len(items), dtype=bool) if found is None else found).tolist() == expected


@settings(max_examples=50, deadline=None)
@given(ITEMS)
def test_numbered_values_are_counted_as_they_are(items):
    schema = pa.schema([field for field in item_schema(16) if field.name in KNOWN])
    rows = [{"id": str(place), "group": GROUPS[item["group_name"]], **item} for place, item in enumerate(items)]
    table = pa.Table.from_pylist(rows, schema=schema)
    dates = [item["date"] for item in items if item["date"] is not None]
    facets = count_facets(with_numbered_values(table.combine_chunks()))
    assert facets == count_facets(table)
    assert facets.dates == ((min(dates), max(dates)) if dates else None)
    splits = [item["split"] for item in items if item["split"] is not None]
    assert facets.splits == {split: splits.count(split) for split in set(splits)}


def test_no_condition_is_none():
    assert Filters().passing(pa.Table.from_pylist([], schema=item_schema(16))) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"since": "2013-13-01"}, "since='2013-13-01' is not a date"),
        ({"since": "20130101"}, "YYYY-MM-DD"),
        ({"until": "yesterday"}, "until='yesterday'"),
        ({"since": "2013-02-01", "until": "2013-01-01"}, "exchange them"),
        ({"licences": ("\ud800",)}, "half a character"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message):
    with pytest.raises(QueryError, match=message):
        Filters(**arguments)


def check(**filters):
    Filters(**filters).check_values((*LABELS, "location: Brain and Neuro"), LICENCES, {"train"})


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"any_labels": ("Cardiomegally",)}, r"^label 'Cardiomegally' is unknown .*; did you mean 'Cardiomegaly'\? "),
        ({"labels": ("normal", "brain")}, r"label 'brain' .*; did you mean 'location: Brain and Neuro'\?"),
        ({"labels": ("megaly",)}, r"did you mean 'Cardiomegaly'\?"),
        ({"labels": ("x",)}, r"^label 'x' is unknown to the archive \(`mcmfh-archive info` lists them\)$"),
        ({"licences": ("CC-BY",)}, r"^license 'CC-BY' .*; did you mean 'CC BY 4\.0'\?"),
        ({"splits": ("tset",)}, r"^split 'tset' .*; did you mean 'test'\?"),
    ],
)
def test_an_unknown_value_is_refused_and_the_nearest_named(filters, message):
    with pytest.raises(UnknownError, match=message) as refusal:
        check(**filters)
    wrong = next(iter(filters.values()))[-1]
    assert repr(wrong) not in refusal.value.public  # a service repeats nothing of a request
    assert "/api/facets" in refusal.value.public


def test_known_values_pass_and_so_does_a_split_without_items():
    check(labels=("Cardiomegaly",), licences=("CC0", ""), splits=("train", "val"))
