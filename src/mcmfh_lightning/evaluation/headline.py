"""The table that a validation or a test prints: what a person decides by. The files hold every other number."""

from collections.abc import Iterable, Sequence
from math import isnan

from rich.console import RenderableType

from mcmfh_lightning.evaluation.protocols import CHANCE, CONSTANT, HYPERPLANES, MODEL, SHUFFLED, SHUFFLED_WITHIN
from mcmfh_lightning.evaluation.remarks import headline
from mcmfh_lightning.evaluation.report import RESEARCH_USE
from mcmfh_lightning.evaluation.statistics import AP
from mcmfh_lightning.evaluation.summary import Row
from mcmfh_lightning.tables import counted, make_table, paragraph

UNSEEN = "unseen"
PAIRED_NOTE = "paired: a query sees its own partner; not comparable with the other protocols."
_TIES = "Ties: the mean over all their orders. Divided by R, all relevant items."
DIRECTIONS = {
    "i2t": "I->T",
    "t2i": "T->I",
    "i2i": "I->I",
    "t2t": "T->T",
    "i2case": "I->case",
    "t2case": "T->case",
}
"""Searches as tables show them."""
NULLS = {
    CHANCE: "every item tied",
    CONSTANT: "one order of the items for all queries",
    SHUFFLED: "each query has the code of another",
    SHUFFLED_WITHIN: "each query has the code of another one of its kind",
    HYPERPLANES: "random hyperplanes on the embeddings",
}
"""Rankings that learn nothing, and how each ranks."""
_COLUMNS = ("protocol", "direction", AP.name, "95 % interval", "chance", "best null", "its value", "above it?")


def headline_parts(stage: str, rows: Sequence[Row], code: str, notes: Iterable[str]) -> list[RenderableType]:
    """Make the table of the headline queries and the notes below it.

    Args:
        stage: What was run, the first word of the title.
        rows: Rows of the report.
        code: Size of the codes, in words.
        notes: Lines for the foot; empty ones are left out.

    Returns:
        Parts to print, at most 100 columns wide.
    """
    queries = headline({row.queries: None for row in rows})
    shown = [
        row for row in rows if (row.system, row.database, row.queries, row.metric) == (MODEL, UNSEEN, queries, AP.name)
    ]
    if not shown:
        return [paragraph(f"{stage}: no query was seen, so there is no {AP.name} to show.")]
    used = [name for name in NULLS if any(row.best_null == name for row in shown)]
    nulls = "; ".join(f"{name}: {NULLS[name]}" for name in used)
    lines = [
        PAIRED_NOTE if any(row.protocol == "paired" for row in shown) else "",
        f"Nulls learn nothing. {nulls}." if nulls else "",
        f"{_TIES} {RESEARCH_USE}",
        *notes,
    ]
    return [_table(_title(stage, shown, code), shown), *(paragraph(line) for line in lines if line)]


def _title(stage: str, shown: Sequence[Row], code: str) -> str:
    # Databases of two directions may differ by items that lack a modality, and with them the queries that count.
    numbers = dict.fromkeys(row.num_queries - row.num_without_relevant for row in shown)
    sizes = dict.fromkeys(f"{row.database_size:,}" for row in shown)
    of = "" if shown[0].queries == "all" else f"{shown[0].queries} "
    queries = " / ".join(counted(number, f"{of}query", f"{of}queries") for number in numbers)
    return f'{stage}: {queries} against the {" / ".join(sizes)} items of the database "{UNSEEN}", {code}'


def _table(title: str, shown: Sequence[Row]) -> RenderableType:
    has_intervals = any(not isnan(row.low) for row in shown)
    kept = [at for at, name in enumerate(_COLUMNS) if has_intervals or name != "95 % interval"]
    cells = [
        (
            row.protocol,
            DIRECTIONS.get(row.direction, row.direction),
            short(row.value),
            "-" if isnan(row.low) else f"[{short(row.low)}, {short(row.high)}]",
            short(row.chance),
            row.best_null or "-",
            short(row.value - row.difference) if row.best_null else "-",
            _verdict(row),
        )
        for row in shown
    ]
    return make_table(
        title,
        [_COLUMNS[at] for at in kept],
        [[row[at] for at in kept] for row in cells],
        numbers=(AP.name, "95 % interval", "chance", "its value"),
    )


def _verdict(row: Row) -> str:
    """Say whether a value is above the best null; where there are intervals, whether that is clear."""
    if isnan(row.difference):
        return "-"
    size = short(abs(row.difference))
    if row.difference <= 0:
        return "no, equal" if float(size) == 0 else f"no, {size} below"
    if row.difference_low <= 0:  # False without intervals
        return f"unclear, by {size}"
    return f"yes, by {size}"


def short(value: float) -> str:
    """Write three decimals without the leading zero; a dash for what is undefined."""
    return "-" if isnan(value) else f"{value:.3f}".replace("0.", ".", 1) if value < 1 else f"{value:.3f}"
