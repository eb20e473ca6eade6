"""One number of the report, the file and the tables of many."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

TITLES: Mapping[str, str] = {
    "ucmfh": "UCMFH, training steps",
    "mcmfh": "MCMFH, training steps",
    "compile": "MCMFH, torch.compile",
    "experts": "MoE layer, forward + backward",
}
"""The parts of the benchmark, in the order of the page."""

OURS, LITERAL, LEAN, PLAIN = "ours", "(a) literal", "(b) literal, one tensor", "(c) plain cross entropy"
PRODUCTS, STEP, LOADING = "(d) matrix products alone", "a step", "a step, data loading included"
COMPILED, BREAKS = "a step, layers compiled", "graph breaks"
MIXTURE, DENSE = "mixture of experts", "(e) plain MLP"

UNMEASURED = "Not measured."


@dataclass(frozen=True, kw_only=True)
class Row:
    """A number and what it is of."""

    part: str
    system: str
    device: str
    threads: int
    batch: int
    """Pairs, or tokens, of a step."""
    experts: int
    """0 where there are none."""
    value: float
    unit: str
    """Pairs or tokens per second, or a count."""


def read_csv(path: Path) -> list[Row]:
    """Rows of a file that `write_csv` wrote."""
    with path.open(newline="") as file:
        return [
            Row(
                part=line["part"],
                system=line["system"],
                device=line["device"],
                threads=int(line["threads"]),
                batch=int(line["batch"]),
                experts=int(line["experts"]),
                value=float(line["value"]),
                unit=line["unit"],
            )
            for line in csv.DictReader(file)
        ]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write one line for each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def ratio(rows: Sequence[Row], over: str, under: str) -> dict[int, float]:
    """How many times as fast one system of a part is as another, by experts or, where there are none, by batch."""
    rates = {(row.system, row.experts or row.batch): row.value for row in rows}
    columns = [column for system, column in rates if system == over]
    return {column: rates[over, column] / rates[under, column] for column in columns if (under, column) in rates}


def markdown(rows: Sequence[Row], part: str) -> str:
    """The table of a part: a line a system, a column a batch size or a number of experts; then the ratios."""
    shown = [row for row in rows if row.part == part]
    if not shown:
        return UNMEASURED
    threads = f", {shown[0].threads} thread{'s' if shown[0].threads > 1 else ''}" if shown[0].device == "cpu" else ""
    columns = list(dict.fromkeys(row.experts or row.batch for row in shown))
    heads = [f"{column:,} {_column(shown[0], column)}" for column in columns]
    batch = f", batch {shown[0].batch:,}" if shown[0].experts else ""
    lines = [
        f"| {TITLES[part]}: {shown[0].device}{threads}{batch} | " + " | ".join(heads) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for system in dict.fromkeys(row.system for row in shown):
        cells = {row.experts or row.batch: row for row in shown if row.system == system}
        unit = next(iter(cells.values())).unit
        name = system if unit == "count" else f"{system}, {unit}"
        lines.append(_line(name, [f"{cells[column].value:,.0f}" if column in cells else "" for column in columns]))
    for name, found, digits in _ratios(shown, part):
        lines.append(_line(name, [f"{found[column]:.{digits}f}" if column in found else "" for column in columns]))
    return "\n".join(lines)


def fill(page: str, rows: Sequence[Row]) -> str:
    """The page with the table of every part under its comment ``<!-- training: PART -->``.

    Raises:
        ValueError: If the page lacks the comment of a part.
    """
    for part in TITLES:
        comment = f"<!-- training: {part} -->\n"
        if comment not in page:
            raise ValueError(f"the page has no line '{comment.strip()}': add it")
        known = rf"(\n({UNMEASURED}|(\|[^\n]*\n)*\|[^\n]*)\n)?"
        page = re.sub(re.escape(comment) + known, f"{comment}\n{markdown(rows, part)}\n", page)
    return page


def _column(row: Row, column: int) -> str:
    if not row.experts:
        return "pairs"
    return "expert" if column == 1 else "experts"


def _ratios(rows: Sequence[Row], part: str) -> Iterator[tuple[str, dict[int, float], int]]:
    if part == "ucmfh":
        for rival in (LITERAL, LEAN, PLAIN):
            yield f"ours, times as fast as {rival[:3]}", ratio(rows, OURS, rival), 2
    elif part == "mcmfh":
        yield "share of the floor (d)", ratio(rows, STEP, PRODUCTS), 2
        yield "with data loading, times as fast", ratio(rows, LOADING, STEP), 2
    elif part == "compile":
        yield "compiled, times as fast", ratio(rows, COMPILED, STEP), 2
    else:
        rates = {row.experts: row.value for row in rows if row.system == MIXTURE}
        yield "time of 1 expert", {experts: rates[1] / rate for experts, rate in rates.items()}, 2


def _line(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"
