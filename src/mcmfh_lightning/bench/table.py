"""The report as a table."""

from collections.abc import Sequence
from math import isnan

from rich.markup import escape
from rich.table import Table

from mcmfh_lightning.bench.constants import CONSTANTS
from mcmfh_lightning.bench.summary import Row
from mcmfh_lightning.bench.task import Task

RESEARCH_USE = "Research use, not diagnosis."


def rank_table(rows: Sequence[Row], task: Task) -> Table:
    """One line for each metric.

    Args:
        rows: Rows of the report.
        task: What they are of.
    """
    first = rows[0]
    without = len(task.query) - first.num_queries
    numbers = (
        f"{len(task.query):,} queries ({without:,} without relevant items, left out), {len(task.database):,} items, "
        f"{task.query.num_bits} bits, {task.query.num_labels} labels"
    )
    readings = f"codes were read as: {task.query.reading} (queries), {task.database.reading} (database)"
    excluded = f"left out of each ranking: {task.excluded}"
    foot = [readings, excluded, _constants_used(rows), _legacy_note(rows), RESEARCH_USE]
    title = f"Tie-aware ranking metrics{', ' if task.direction else ''}{task.direction}\n{numbers}"
    made = Table(title=title, caption="\n".join(filter(None, foot)))
    made.add_column("metric", no_wrap=True)
    made.add_column("divided by", no_wrap=True)
    for heading in ("value", f"95 % over {task.resampled}", "worst to best order", "chance", "best constant"):
        made.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        made.add_row(
            row.metric,
            row.denominator,
            _short(row.value),
            escape(_span(row.low, row.high)),
            escape(_span(row.pessimistic, row.optimistic)),
            _short(row.chance),
            _short(row.constant),
        )
    return made


def _constants_used(rows: Sequence[Row]) -> str:
    names = dict.fromkeys(row.constant_ranking for row in rows if row.constant_ranking)
    if not names:
        return ""
    return "constant rankings read the database's labels: " + "; ".join(f"{name}: {CONSTANTS[name]}" for name in names)


def _legacy_note(rows: Sequence[Row]) -> str:
    if not any(row.metric.startswith("legacy") for row in rows):
        return ""
    return "legacy rows break ties by position, leave nothing out and count queries without hits as 0"


def _span(low: float, high: float) -> str:
    return "-" if isnan(low) else f"[{_short(low)}, {_short(high)}]"


def _short(value: float) -> str:
    return "-" if isnan(value) else f"{value:.4f}"
