"""One number of the report, its file and its tables."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

DRAWN, UNIFORM = "drawn around Open-i", "uniform"
"""Codes drawn around real ones, and codes of which every bit is a coin."""

REAL = "real-valued, faiss IndexFlatIP"
FLAT, HASH = "codes, FlatIndex", "codes, HashIndex"
FAISS_FLAT, MULTI_HASH = "codes, faiss IndexBinaryFlat", "codes, faiss IndexBinaryMultiHash"
SYSTEMS = (REAL, FLAT, HASH, FAISS_FLAT, MULTI_HASH)
ENCODING = "encoding a text query"

ONE, BATCH = "ms, one query", "ms a query, batch"
ONE_RATIO, BATCH_RATIO = "times as fast, one query", "times as fast, batch"
BYTES, RESIDENT, OPENING = "index, bytes", "resident growth, MB", "opening, ms"
DISTINCT, TIED = "distinct codes", "items at the distance of the last hit"
QUALITY = ("mAP@all I→T", "mAP@all T→I", "mAP@50 I→T", "mAP@50 T→I")

_TITLES = {
    REAL: "(a) real-valued, faiss `IndexFlatIP`",
    FLAT: "`FlatIndex`",
    HASH: "`HashIndex`",
    FAISS_FLAT: "(b) faiss `IndexBinaryFlat`",
    MULTI_HASH: "(c) faiss `IndexBinaryMultiHash`",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A number and what it is of; an entry that does not apply is empty or 0."""

    system: str
    data: str = ""
    items: int = 0
    width: int
    """Bits of a code, numbers of an embedding."""
    threads: int = 0
    metric: str
    value: float


Values = Mapping[tuple[str, str, int, int, int, str], float]


def read_csv(path: Path) -> list[Row]:
    """Rows of a file that `write_csv` wrote."""
    with path.open(newline="") as file:
        return [
            Row(
                system=line["system"],
                data=line["data"],
                items=int(line["items"]),
                width=int(line["width"]),
                threads=int(line["threads"]),
                metric=line["metric"],
                value=float(line["value"]),
            )
            for line in csv.DictReader(file)
        ]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write one line for each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) | {"value": f"{row.value:.6g}"} for row in rows)


def by_key(rows: Sequence[Row]) -> Values:
    """Values by system, data, items, width, threads and metric."""
    return {(row.system, row.data, row.items, row.width, row.threads, row.metric): row.value for row in rows}


def sizes(rows: Sequence[Row]) -> list[int]:
    """Numbers of items that were searched, ascending."""
    return sorted({row.items for row in rows if row.metric == BYTES})


def speed(rows: Sequence[Row], data: str, items: int) -> str:
    """Milliseconds a query and, in brackets, how many times as fast as real-valued search, by system and threads."""
    values = by_key(rows)
    columns = [(ONE, ONE_RATIO, 1)]
    columns += [(BATCH, BATCH_RATIO, count) for count in sorted({row.threads for row in rows if row.metric == BATCH})]
    heads = [f"N = {items:,}, {data}: ms a query", "width"]
    heads += [f"{metric.split(', ')[1]}, {count} thread{'s' if count > 1 else ''}" for metric, _, count in columns]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for system in SYSTEMS:
        for width in sorted({row.width for row in rows if (row.system, row.data, row.items) == (system, data, items)}):
            cells = []
            for metric, ratio, count in columns:
                key = system, data, items, width, count
                cell = "" if (*key, metric) not in values else _short(values[*key, metric])
                cells.append(f"{cell} ({times(values[*key, ratio])} x)" if (*key, ratio) in values else cell)
            lines.append([_TITLES[system], _width(system, width), *cells])
    return _table(lines)


def memory(rows: Sequence[Row], data: str, items: int) -> str:
    """MB of the index and what opening it takes, by system."""
    values = by_key(rows)
    heads = [f"N = {items:,}, {data}", "width", "index, MB", "of real-valued", "resident, MB", "opening, ms"]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    real = next(row.value for row in rows if (row.system, row.items, row.metric) == (REAL, items, BYTES))
    for system in SYSTEMS:
        for width in sorted({row.width for row in rows if (row.system, row.data, row.items) == (system, data, items)}):
            key = system, data, items, width, 0
            size = values[*key, BYTES]
            share = f"1/{real / size:,.0f}"
            numbers = [_short(size / 1e6), share, *(_short(values[*key, metric]) for metric in (RESIDENT, OPENING))]
            lines.append([_TITLES[system], _width(system, width), *numbers])
    return _table(lines)


def quality(rows: Sequence[Row], items: int) -> str:
    """Each width's mAP beside how the items crowd: distinct codes and items tied with the last hit."""
    values = by_key(rows)
    heads = ["width", *QUALITY, f"distinct codes of {items:,}", "tied with the 50th"]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for system, _, _, width, _, metric in values:
        if metric != QUALITY[0]:
            continue
        cells = [f"{values[system, '', 0, width, 0, name]:.3f}" for name in QUALITY]
        crowd = [values.get((FLAT, DRAWN, items, width, 0, name)) for name in (DISTINCT, TIED)]
        cells += ["" if system == REAL or value is None else f"{value:,.0f}" for value in crowd]
        lines.append([_width(system, width), *cells])
    return _table(lines)


def times(ratio: float) -> str:
    """How many times, to two or three digits."""
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2f}"


def _width(system: str, width: int) -> str:
    return f"{width} numbers" if system == REAL else f"{width} bits"


def _short(value: float) -> str:
    return (
        f"{value:,.0f}"
        if value >= 100
        else f"{value:.1f}"
        if value >= 10
        else f"{value:.2f}"
        if value >= 0.1
        else f"{value:.3f}"
    )


def _table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
