"""The one number that speaks for a model, and who chooses by it."""

from collections.abc import Mapping, Sequence
from math import nan

from lightning.pytorch import Trainer

from mcmfh_lightning.callbacks.ranking_protocols import PROTOCOLS
from mcmfh_lightning.callbacks.ranking_summary import Row

MONITOR = "val/mAP"
"""What model selection watches: unimodal mAP@all, unseen database, mean of both directions, abnormal queries where a
normal label exists, else all queries. NaN if none of them has a relevant item."""
CONSTANT_MONITOR = "val/constant"
"""The same of the better of two constant rankings, by label popularity and with normals first (`ranking_nulls`)."""
QUERIES_MONITOR = "val/queries"
"""How many queries `MONITOR` is the mean over: those with a relevant item, in the direction that has fewer."""


def headline(subsets: Mapping[str, object]) -> str:
    """Name the query subset that speaks for a model."""
    return "abnormal" if "abnormal" in subsets else "all"


def headline_mean(rows: Sequence[Row], system: str) -> float:
    """mAP@all of a system as `MONITOR` says; NaN if one of the directions has no row or no value."""
    values = [row.value for row in _headline_rows(rows, system)]
    return sum(values) / len(PROTOCOLS["unimodal"]) if values else nan


def headline_queries(rows: Sequence[Row], system: str) -> int:
    """Count the queries that `headline_mean` is the mean over; see `QUERIES_MONITOR`."""
    return min((row.num_queries - row.num_without_relevant for row in _headline_rows(rows, system)), default=0)


def _headline_rows(rows: Sequence[Row], system: str) -> list[Row]:
    """Return the row of each direction."""
    queries = headline({row.queries: None for row in rows})
    return [
        row
        for row in rows
        if (row.system, row.protocol, row.database, row.queries, row.metric)
        == (system, "unimodal", "unseen", queries, "mAP@all")
    ]


def chooses_by_monitor(trainer: Trainer) -> bool:
    """Whether a callback of the trainer chooses by `MONITOR`."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # set at run time
    return any(getattr(callback, "monitor", None) == MONITOR for callback in callbacks)
