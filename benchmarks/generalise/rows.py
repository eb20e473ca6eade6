"""One number of the report, and the files and tables of many."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import isnan, nan
from pathlib import Path
from statistics import fmean
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """A number and what it is of; one that is not defined is NaN, an entry that does not apply is empty."""

    part: str
    system: str
    seed: int
    train: str
    """Data the system was trained on."""
    test: str
    """Data it is tested on."""
    protocol: str
    direction: str
    queries: str
    subset: str = ""
    """Group of labels, label, or share of the database that lacks a text."""
    metric: str
    value: float
    low: float
    high: float
    """Ends of the 95 % interval of the value."""
    chance: float
    """Every item tied."""
    null: str = ""
    """What else learns nothing, or nothing of this query ..."""
    null_value: float = nan
    """... and what it scores."""
    number: int
    """Queries, or labels, that the value is a mean of."""


_TYPES: Mapping[str, type] = {"seed": int, "number": int} | dict.fromkeys(
    ("value", "low", "high", "chance", "null_value"), float
)


def read_csv(path: Path) -> list[Row]:
    """Rows of a file that `write_csv` wrote."""
    with path.open(newline="") as file:
        return [
            Row(**{name: _TYPES.get(name, str)(text) for name, text in row.items()}) for row in csv.DictReader(file)
        ]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write one line for each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def measured_anew(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Old rows, except those of a part, run and test data that were measured anew, and the new ones; sorted by part."""
    again = {_run_of(row) for row in new}
    kept = [row for row in old if _run_of(row) not in again]
    return sorted([*kept, *new], key=lambda row: PARTS.index(row.part))


def _run_of(row: Row) -> tuple[Any, ...]:
    return row.part, row.system, row.seed, row.train, row.test


PARTS = ("cross", "labels", "short", "missing")
ARROWS = {"i2t": "I→T", "t2i": "T→I", "i2case": "I→case", "t2case": "T→case"}


@dataclass(frozen=True)
class _Layout:
    """Which entries name the lines of a part's tables, and which their columns."""

    lines: tuple[str, ...]
    column: str
    title: str
    """Of each table, from the entries that its rows share."""


_LAYOUTS = {
    "cross": _Layout(("train", "system", "direction"), "metric", "tested on {test}, {queries} queries"),
    "labels": _Layout(("system", "direction"), "subset", "{test}, {metric} by label"),
    "short": _Layout(("system",), "metric", "{test}"),
    "missing": _Layout(("system", "direction"), "subset", "{test}, {metric}, {queries} queries"),
}


def markdown(rows: Sequence[Row], part: str) -> str:
    """Tables of a part, one for each test data: means over seeds; in brackets chance and, if there is one, the null."""
    layout = _LAYOUTS[part]
    shown = [row for row in rows if row.part == part and not (part == "short" and row.subset)]  # not label by label
    tables = []
    for title in dict.fromkeys(layout.title.format(**asdict(row)) for row in shown):
        lines = _table([row for row in shown if layout.title.format(**asdict(row)) == title], layout)
        tables.append(f"**{title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join(tables)


def _table(rows: Sequence[Row], layout: _Layout) -> Iterator[list[str]]:
    columns = list(dict.fromkeys(getattr(row, layout.column) for row in rows))
    yield [*layout.lines, "seeds", *columns]
    yield ["---"] * len(layout.lines) + ["---:"] * (1 + len(columns))
    for line in dict.fromkeys(_names(row, layout) for row in rows):
        of_line = [row for row in rows if _names(row, layout) == line]
        seeds = len({row.seed for row in of_line})
        cells = [_cell([row for row in of_line if getattr(row, layout.column) == column]) for column in columns]
        yield [*line, str(seeds), *cells]


def _names(row: Row, layout: _Layout) -> tuple[str, ...]:
    return tuple(ARROWS.get(entry, entry) for entry in (str(getattr(row, name)) for name in layout.lines))


def _cell(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    value, *beside = (fmean(getattr(row, name) for row in rows) for name in ("value", "chance", "null_value"))
    defined = ", ".join(f"{number:.3f}" for number in beside if not isnan(number))
    return f"{value:.3f}" + (f" ({defined})" if defined else "")
