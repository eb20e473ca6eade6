"""The report as files: results.json, results.csv, labels.csv."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from math import isfinite
from pathlib import Path
from typing import Any

from mcmfh_lightning import __version__
from mcmfh_lightning.bench.constants import CONSTANTS
from mcmfh_lightning.bench.items import Items
from mcmfh_lightning.bench.summary import DRAWS, LabelRow, Row
from mcmfh_lightning.bench.table import RESEARCH_USE
from mcmfh_lightning.bench.task import Task


def write_json(path: Path, rows: Sequence[Row], task: Task, seed: int) -> None:
    """Write every number by metric, and what it is of.

    Args:
        path: File to write; what is undefined is left out.
        rows: Rows of the report.
        task: What they are of.
        seed: Seed of the intervals.
    """
    counted = rows[0].num_queries
    content = {
        "package": f"mcmfh-lightning {__version__}",
        "research_use": RESEARCH_USE,
        **({"direction": task.direction} if task.direction else {}),
        "query": _file(task.query) | {"without_relevant": len(task.query) - counted},
        "database": _file(task.database),
        "num_bits": task.query.num_bits,
        "num_labels": task.query.num_labels,
        "relevant": "shares at least one label",
        "gain": "number of labels shared",
        "left_out_of_each_ranking": task.excluded,
        "interval": {"level": 0.95, "resampled": task.resampled, "draws": DRAWS, "seed": seed},
        "constant_rankings": {name: f"reads the database's labels: {what}" for name, what in CONSTANTS.items()},
        "warnings": list(task.warnings),
        "results": {row.metric: _defined(asdict(row), without="metric") for row in rows},
    }
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Row] | Sequence[LabelRow], kind: type[Row] | type[LabelRow]) -> None:
    """Write one line for each row, under the names of its fields.

    Args:
        path: File to write; what is undefined stays empty.
        rows: Rows of the report; there may be none.
        kind: Their class.
    """
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)])
        writer.writeheader()
        writer.writerows(_defined(asdict(row)) for row in rows)


def _file(items: Items) -> dict[str, Any]:
    with items.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "file": items.path.name,
        "sha256": digest,
        "number": len(items),
        "keys": asdict(items.keys),
        "codes_read_as": items.reading,
        "zero_signs": items.zeros,
    }


def _defined(values: Mapping[str, Any], without: str = "") -> dict[str, Any]:
    undefined = ("", None)
    return {
        name: value
        for name, value in values.items()
        if name != without and value not in undefined and (not isinstance(value, float) or isfinite(value))
    }
