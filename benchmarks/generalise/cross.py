"""Trained here, tested there: the labels of the test data define what is relevant."""

import csv
from collections.abc import Iterator
from pathlib import Path

from generalise.rows import Row
from generalise.runs import Data, Run

METRICS = ("mAP@all", "mAP@50")


def cross(run: Run, train: Data, test: Data, work: Path) -> Iterator[Row]:
    """Rows of the protocol unimodal against unseen items, abnormal queries where there is a normal label."""
    with (run.tested_on(test, work) / "ranking.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["protocol"], row["database"]) == ("unimodal", "unseen")]
    queries = "abnormal" if any(row["queries"] == "abnormal" for row in rows) else "all"
    found = {
        (row["direction"], row["metric"], row["system"]): row
        for row in rows
        if row["queries"] == queries and row["metric"] in METRICS
    }
    for (direction, metric, system), row in found.items():
        if system == "model":
            yield Row(
                part="cross",
                system=run.system,
                seed=run.seed,
                train=train.name,
                test=test.name,
                protocol="unimodal",
                direction=direction,
                queries=queries,
                metric=metric,
                value=float(row["value"]),
                low=float(row["low"]),
                high=float(row["high"]),
                chance=float(row["chance"]),
                null=row["best_null"],
                null_value=float(found[direction, metric, row["best_null"]]["value"]),
                number=int(row["num_queries"]) - int(row["num_without_relevant"]),
            )


def trained_on_its_test(train: Data, test: Data) -> bool:
    """Whether the test split has items that the other data train or select on: two splits of one collection do."""
    return train != test and not train.ids("train", "val").isdisjoint(test.ids("test"))
