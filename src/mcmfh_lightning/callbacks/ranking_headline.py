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
"""The same of the best constant ranking, which does not look at the query."""


def headline(subsets: Mapping[str, object]) -> str:
    """Name the query subset that speaks for a model."""
    return "abnormal" if "abnormal" in subsets else "all"


def headline_mean(rows: Sequence[Row], system: str) -> float:
    """mAP@all of a system as `MONITOR` says; NaN if one of the directions has no row or no value."""
    queries = headline({row.queries: None for row in rows})
    values = [
        row.value
        for row in rows
        if (row.system, row.protocol, row.database, row.queries, row.metric)
        == (system, "unimodal", "unseen", queries, "mAP@all")
    ]
    return sum(values) / len(PROTOCOLS["unimodal"]) if values else nan


def chooses_by_monitor(trainer: Trainer) -> bool:
    """Whether a callback of the trainer chooses by `MONITOR`."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # set at run time
    return any(getattr(callback, "monitor", None) == MONITOR for callback in callbacks)
