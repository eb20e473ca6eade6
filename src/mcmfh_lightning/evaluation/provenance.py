"""Which weights and which data a report is of, and whether it takes the place of another one's.

The one number that speaks for a model, and who chooses by it.
"""

import json
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from mcmfh_lightning.evaluation.protocols import PROTOCOLS, EvaluationData
from mcmfh_lightning.evaluation.summary import Row
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.hashers.stored import weights_sha256

IN_MEMORY = "weights in memory: the test was called without ckpt_path"


def provenance_of(
    trainer: Trainer, pl_module: LightningModule, data: EvaluationData, epoch: int | None
) -> dict[str, Any]:
    """Name weights and data.

    Args:
        trainer: It knows the path of the checkpoint.
        pl_module: The module that was tested.
        data: The data; a foreign datamodule is named by its class.
        epoch: Epoch of the checkpoint, None if not known.

    Returns:
        ``weights_sha256`` (the same as of an archive made with these weights), ``checkpoint`` (None with a
        ``checkpoint_note`` for weights in memory) and ``data``, as plain JSON.
    """
    architecture = getattr(pl_module, "architecture", {"hasher": type(pl_module).__name__})
    entry: dict[str, Any] = {"weights_sha256": weights_sha256(architecture, pl_module.state_dict())}
    if trainer.ckpt_path is None:
        entry |= {"checkpoint": None, "checkpoint_note": IN_MEMORY}
    else:
        path = Path(trainer.ckpt_path)
        # An address of another file system is not fetched a second time: the weights have their own hash.
        sha256 = sha256_of(path) if path.is_file() else None
        entry["checkpoint"] = {"path": str(trainer.ckpt_path), "sha256": sha256, "epoch": epoch}
    named = getattr(data, "provenance", None)
    entry["data"] = {"name": type(data).__name__} if named is None else named()
    return entry


def other_results(report: Path, entry: Mapping[str, Any]) -> bool:
    """Whether a ``metrics.json`` is there that is of other weights or other data, or does not say of which."""
    if not report.is_file():
        return False
    try:
        earlier = json.loads(report.read_bytes())
    except ValueError:
        return True
    return not isinstance(earlier, dict) or _measured(earlier) != _measured(entry)


def _measured(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Weights and data, wherever the data are kept."""
    data = entry.get("data") or {}
    return entry.get("weights_sha256"), *(data.get(name) for name in ("name", "fingerprint"))


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
