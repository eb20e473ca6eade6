"""Files of a report on rankings: ranking.csv, labels.csv, queries.csv and metrics.json."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from torch import Tensor

from mcmfh_lightning.evaluation.protocols import MODEL, PROTOCOLS
from mcmfh_lightning.evaluation.statistics import AP, Statistic, tied
from mcmfh_lightning.evaluation.stream import StreamResult
from mcmfh_lightning.evaluation.summary import Row
from mcmfh_lightning.files import atomic_write
from mcmfh_lightning.metrics import RankingCounts
from mcmfh_lightning.metrics.functional import mean_by_label

RESEARCH_USE = "Research use, not diagnosis."
_DIFFERENCE = ("best_null", "difference", "difference_low", "difference_high")
_NUMBERS = ("value", "low", "high", "pessimistic", "optimistic", "chance")
RANKING_COLUMNS = (
    *("protocol", "database", "queries", "direction", "system", "metric", "k", "denominator"),
    *(*_NUMBERS, *_DIFFERENCE, "num_queries", "num_without_relevant", "database_size"),
)
"""Columns of ranking.csv."""
RESULT_COLUMNS = ("metric", "k", "denominator", *_NUMBERS, "constant", "constant_ranking", "num_queries")
"""Columns of results.csv."""
LABEL_COLUMNS = ("label", "metric", "value", "chance", "num_queries")


def defined(row: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    """Choose columns of a row; what is undefined (None, empty, not finite) is left out."""
    return {
        name: value
        for name in columns
        if (value := row[name]) not in ("", None) and (not isinstance(value, float) or isfinite(value))
    }


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one line for each row.

    Args:
        path: File to write; what is undefined stays empty.
        columns: Names of the columns, in their order.
        rows: Values by column; there may be none.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(defined(row, columns) for row in rows)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a report as JSON, which has no numbers that are not finite, atomically."""
    with atomic_write(path) as stream:
        stream.write(json.dumps(content, indent=1, allow_nan=False).encode() + b"\n")


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
    columns: dict[str, list[Any]] = {
        "id": [ids[index] for index in indices],
        "group": [group_names[index] for index in indices],
        "index": indices,
        "group_number": result.queries.groups.tolist(),
        **{name: members.int().tolist() for name, members in subsets.items()},
    }
    for place, counts in _of_model(result):
        columns["/".join(place.values())] = AP.per_query(counts).tolist()
    write_csv(
        path, list(columns), (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    )


def write_labels(path: Path, result: StreamResult, vocabulary: Sequence[str]) -> None:
    """Write the mAP@all of the model for every protocol, database, direction and label.

    Args:
        path: File to write.
        result: Counts of an epoch.
        vocabulary: The labels, by position.
    """
    rows = [
        place | row
        for place, counts in _of_model(result)
        for row in label_rows(counts, result.queries.labels, vocabulary, [AP])
    ]
    write_csv(path, ("protocol", "database", "direction", *LABEL_COLUMNS), rows)


def label_rows(
    counts: RankingCounts, labels: Tensor, vocabulary: Sequence[str], statistics: Sequence[Statistic]
) -> list[dict[str, Any]]:
    """Average statistics over the queries that carry a label, for every label.

    Args:
        counts: Counts of a ranking.
        labels: (Q, ceil(num_labels / 8)) uint8, packed label sets of its queries.
        vocabulary: The labels, by position.
        statistics: What to average.

    Returns:
        Rows of `LABEL_COLUMNS`, the labels in their order; ``num_queries`` carry the label and have relevant items.
    """
    rows = []
    for one in statistics:
        values, numbers = mean_by_label(one.per_query(counts), labels, len(vocabulary))
        chances, _ = mean_by_label(one.per_query(tied(counts)), labels, len(vocabulary))
        of_labels = zip(vocabulary, values.tolist(), chances.tolist(), numbers.tolist(), strict=True)
        rows += [
            {"label": label, "metric": one.name, "value": value, "chance": chance, "num_queries": number}
            for label, value, chance, number in of_labels
        ]
    return rows


def _of_model(result: StreamResult) -> list[tuple[dict[str, str], RankingCounts]]:
    """List the rankings of the model with their place in reports."""
    return [
        ({"protocol": ranking.protocol, "database": database, "direction": ranking.direction.name}, counts)
        for database, rankings in result.rankings.items()
        for ranking, counts in rankings.items()
        if ranking.system == MODEL
    ]


def nested(rows: Sequence[Row]) -> dict[str, Any]:
    """Nest the numbers by protocol, database, query subset, direction, system and metric, as metrics.json has them."""
    sides = {(name, one.name): one.side for name, directions in PROTOCOLS.items() for one in directions}
    databases: dict[str, Any] = {}
    results: dict[str, Any] = {}
    for row in rows:
        # What a database holds depends on the side that is ranked: items without an image have no image code.
        side = sides[row.protocol, row.direction]
        database = databases.setdefault(row.database, {"size": {}, "queries": {}})
        database["size"][side] = row.database_size
        queries = database["queries"].setdefault(row.queries, {"number": row.num_queries, "without_relevant": {}})
        # The first rows are about labels; those about instances, which come last, have their partner in any database.
        queries["without_relevant"].setdefault(side, row.num_without_relevant)
        branch = results
        for name in (row.protocol, row.database, row.queries, row.direction, row.system):
            branch = branch.setdefault(name, {})
        branch[row.metric] = defined(vars(row), (*_NUMBERS, *_DIFFERENCE))
        if row.system == MODEL:
            branch[row.metric]["denominator"] = row.denominator
    return {"research_use": RESEARCH_USE, "databases": databases, "results": results}
