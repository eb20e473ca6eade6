"""The table that a test prints: which rows, next to which nulls, and in how few lines."""

from math import nan

import pytest

from mcmfh_lightning.evaluation.headline import headline_parts
from mcmfh_lightning.evaluation.protocols import MODEL, PROTOCOLS
from mcmfh_lightning.evaluation.summary import Row
from mcmfh_lightning.tables import WIDTH, as_text


def row(protocol="unimodal", direction="i2t", **entries):
    defaults = {
        "database": "unseen",
        "queries": "abnormal",
        "system": MODEL,
        "metric": "mAP@all",
        "k": None,
        "denominator": "R",
        "value": 0.5124,
        "low": 0.4834,
        "high": 0.5421,
        "chance": 0.1891,
        "best_null": "constant",
        "difference": 0.1624,
        "difference_low": 0.1201,
        "difference_high": 0.2001,
        "num_queries": 220,
        "num_without_relevant": 3,
        "database_size": 1281,
    }
    return Row(protocol=protocol, direction=direction, **(defaults | entries))


def printed(rows, notes=()):
    return as_text(*headline_parts("Test", rows, "16 bits", notes)).splitlines()


def test_the_headline_queries_alone_in_fourteen_lines():
    every = [
        row(protocol, one.name, database=database, queries=queries, metric=metric)
        for protocol, directions in PROTOCOLS.items()
        for one in directions
        for database in ("unseen", "train+val")
        for queries in ("all", "abnormal", "normal", "new_text")
        for metric in ("mAP@all", "mAP@50", "P@50")
    ]
    lines = printed(every, ["All numbers: metrics.json in runs/x"])
    assert len(lines) <= 15  # with the two searches within a modality
    assert max(map(len, lines)) <= WIDTH
    assert lines[0] == 'Test: 217 abnormal queries against the 1,281 items of the database "unseen", 16 bits'
    assert [line.split()[:2] for line in lines[3:11]] == [
        ["unimodal", "I->T"],
        ["unimodal", "T->I"],
        ["unimodal", "I->I"],
        ["unimodal", "T->T"],
        ["asymmetric", "I->case"],
        ["asymmetric", "T->case"],
        ["paired", "I->T"],
        ["paired", "T->I"],
    ]
    assert lines[3].split() == [
        "unimodal",
        "I->T",
        ".512",
        "[.483,",
        ".542]",
        ".189",
        "constant",
        ".350",
        "yes,",
        "by",
        ".162",
    ]
    assert "one order of the items for all queries" in " ".join(lines)
    assert "Divided by R, all relevant items" in " ".join(lines)
    assert lines[-1] == "All numbers: metrics.json in runs/x"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({}, "yes, by .162"),
        ({"difference_low": -0.01}, "unclear, by .162"),
        ({"difference": -0.02, "difference_low": -0.05}, "no, .020 below"),
        ({"difference": 0.0, "difference_low": 0.0}, "no, equal"),
        ({"difference": -0.0004, "difference_low": -0.1}, "no, equal"),
        ({"difference_low": nan, "low": nan, "high": nan}, "yes, by .162"),  # a validation has no intervals
    ],
)
def test_above_is_said_only_where_the_interval_says_it(entries, words):
    (line,) = (line for line in printed([row(**entries)]) if line.startswith("unimodal"))
    assert line.endswith(words)


def test_what_is_undefined_is_a_dash():
    undefined = dict.fromkeys(("value", "low", "high", "chance", "difference", "difference_low"), nan)
    (line,) = (line for line in printed([row(**undefined, best_null="")]) if line.startswith("unimodal"))
    assert line.split()[2:] == ["-", "-", "-", "-", "-"]
    assert "no query was seen" in printed([row(database="train+val")])[0]


def test_directions_that_count_other_queries_say_so():
    lines = printed([row(num_without_relevant=219), row(direction="t2i", database_size=9)])
    title = (
        'Test: 1 abnormal query / 217 abnormal queries against the 1,281 / 9 items of the database "unseen", 16 bits'
    )
    assert " ".join(lines[:2]).startswith(title)


def test_a_long_null_fits():
    lines = printed([row("asymmetric", "i2case", best_null="shuffled queries", difference_low=-1.0)])
    assert max(map(len, lines)) <= WIDTH
    assert "unclear, by .162" in lines[3]
