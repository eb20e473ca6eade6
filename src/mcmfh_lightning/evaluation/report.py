"""Files and table of a ranking report.

The report query by query, from which other averages, intervals and comparisons follow.

The report label by label: which findings a method retrieves, and which it does not.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite, isnan
from pathlib import Path
from typing import Any

from rich.table import Table
from torch import Tensor

from mcmfh_lightning.evaluation.protocols import PROTOCOLS, database_side
from mcmfh_lightning.evaluation.stream import MODEL, StreamResult
from mcmfh_lightning.evaluation.summary import Row
from mcmfh_lightning.metrics.functional import average_precision, mean_by_label, tie_all


def write_queries(
    path: Path, result: StreamResult, subsets: Mapping[str, Tensor], ids: Sequence[str], group_names: Sequence[str]
) -> None:
    """Write one line for each query, in the order of their index.

    Columns: ``id`` and ``group`` as the collection names them, ``index`` in the split, ``group_number`` (for sums and
    resampling), each query subset (1 for its members, else 0) and, as ``<protocol>/<database>/<direction>``, the
    tie-aware AP over all items (AP@all) of the model's ranking; empty where no item is relevant.

    Args:
        path: File to write.
        result: Counts of an epoch.
        subsets: Query subsets by name, (Q,) bool each.
        ids: Ids of the queries' split, by index.
        group_names: Names of the groups of the same.
    """
    indices = result.queries.indices.tolist()
    columns: dict[str, list[object]] = {
        "id": [ids[index] for index in indices],
        "group": [group_names[index] for index in indices],
        "index": indices,
        "group_number": result.queries.groups.tolist(),
        **{name: members.int().tolist() for name, members in subsets.items()},
    }
    for database, rankings in result.rankings.items():
        for ranking, counts in rankings.items():
            if ranking.system == MODEL:
                values = average_precision(counts.total, counts.relevant).tolist()
                name = f"{ranking.protocol}/{database}/{ranking.direction}"
                columns[name] = ["" if isnan(value) else value for value in values]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


@dataclass(frozen=True)
class LabelRow:
    """One statistic of the model over the queries that carry a label; a number that is not defined is NaN."""

    protocol: str
    database: str
    direction: str
    label: str
    metric: str
    value: float
    chance: float
    num_queries: int
    """Queries that carry the label and have relevant items."""


def label_rows(result: StreamResult, vocabulary: Sequence[str]) -> list[LabelRow]:
    """The mAP@all of the model for every protocol, database, direction and label.

    Args:
        result: Counts of an epoch.
        vocabulary: The labels, by position.

    Returns:
        Rows, the labels in their order.
    """
    rows = []
    for database, rankings in result.rankings.items():
        for ranking, counts in rankings.items():
            if ranking.system != MODEL:
                continue
            model = average_precision(counts.total, counts.relevant)
            chance = average_precision(tie_all(counts.total), tie_all(counts.relevant))
            values, numbers = mean_by_label(model, result.queries.labels, len(vocabulary))
            chances, _ = mean_by_label(chance, result.queries.labels, len(vocabulary))
            rows += [
                LabelRow(
                    ranking.protocol,
                    database,
                    ranking.direction,
                    label,
                    "mAP@all",
                    float(value),
                    float(by_chance),
                    number,
                )
                for label, value, by_chance, number in zip(vocabulary, values, chances, numbers.tolist(), strict=True)
            ]
    return rows


RESEARCH_USE = "Research use, not diagnosis."
PAIRED_NOTE = "paired: a query sees its own partner; not comparable with the other protocols"
_NUMBERS = (
    "value",
    "low",
    "high",
    "pessimistic",
    "optimistic",
    "chance",
    "best_null",
    "difference",
    "difference_low",
    "difference_high",
)


def write_csv(path: Path, rows: Sequence[Row] | Sequence[LabelRow]) -> None:
    """Write one line for each row, under the names of its fields.

    Args:
        path: File to write; what is undefined stays empty.
        rows: Rows of the report, at least one.
    """
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(rows[0])])
        writer.writeheader()
        writer.writerows({name: _blank(value) for name, value in asdict(row).items()} for row in rows)


def write_json(path: Path, rows: Sequence[Row], provenance: Mapping[str, Any]) -> None:
    """Write the numbers nested by protocol, database, query subset, direction, system and metric.

    Args:
        path: File to write; what is undefined is null.
        rows: Rows of the report.
        provenance: What the numbers are of: versions, encoder, seed, ...
    """
    databases: dict[str, Any] = {}
    results: dict[str, Any] = {}
    for row in rows:
        # What a database holds depends on the side that is ranked: items without an image have no image code.
        side = database_side(row.protocol, row.direction)
        database = databases.setdefault(row.database, {"size": {}, "queries": {}})
        database["size"][side] = row.database_size
        queries = database["queries"].setdefault(row.queries, {"number": row.num_queries, "without_relevant": {}})
        # The first rows are about labels; those about instances, which come last, have their partner in any database.
        queries["without_relevant"].setdefault(side, row.num_without_relevant)
        branch = results
        for name in (row.protocol, row.database, row.queries, row.direction, row.system):
            branch = branch.setdefault(name, {})
        numbers = {name: _blank(getattr(row, name)) for name in _NUMBERS}
        branch[row.metric] = {name: value for name, value in numbers.items() if value is not None}
        if row.system == MODEL:
            branch[row.metric]["denominator"] = row.denominator
    content = {**provenance, "research_use": RESEARCH_USE, "databases": databases, "results": results}
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def table(rows: Sequence[Row], notes: Sequence[str]) -> Table:
    """The mAP@all of the model with interval, beside chance and the best null.

    Args:
        rows: Rows of the report.
        notes: Lines for the foot.

    Returns:
        One line for each protocol, database and query subset.
    """
    by_key = {
        (row.protocol, row.database, row.queries, row.direction): row
        for row in rows
        if row.system == MODEL and row.metric == "mAP@all"
    }
    shown = dict.fromkeys((row.protocol, row.database, row.queries) for row in by_key.values())
    foot = "\n".join([*([PAIRED_NOTE] if any(key[0] == "paired" for key in shown) else []), *notes, RESEARCH_USE])
    made = Table(title="Tie-aware mAP@all [95 % interval over groups]", caption=foot)
    for heading in ("protocol", "database", "queries"):
        made.add_column(heading, no_wrap=True)
    for heading in ("number", "chance", "I→T", "best null", "T→I", "best null"):
        made.add_column(heading, justify="right", no_wrap=True)
    for protocol, database, queries in shown:
        of_image, of_text = (by_key[protocol, database, queries, direction.name] for direction in PROTOCOLS[protocol])
        made.add_row(
            protocol,
            database,
            queries,
            _of_both(*(str(row.num_queries - row.num_without_relevant) for row in (of_image, of_text))),
            _of_both(_short(of_image.chance), _short(of_text.chance)),
            _with_interval(of_image),
            _best_null(of_image),
            _with_interval(of_text),
            _best_null(of_text),
        )
    return made


def _of_both(of_image: str, of_text: str) -> str:
    """One value where the directions agree: their databases differ only by items that lack a modality."""
    return of_image if of_image == of_text else f"{of_image} / {of_text}"


def _with_interval(row: Row) -> str:
    if isnan(row.low):
        return _short(row.value)
    return f"{_short(row.value)} [{_short(row.low)}, {_short(row.high)}]"


def _best_null(row: Row) -> str:
    return f"{row.best_null} {_short(row.value - row.difference)}" if row.best_null else "-"


def _short(value: float) -> str:
    return "-" if isnan(value) else f"{value:.3f}".replace("0.", ".", 1) if value < 1 else f"{value:.3f}"


def _blank(value: object) -> object:
    """None for what is undefined."""
    undefined = value == "" or (isinstance(value, float) and not isfinite(value))
    return None if undefined else value
