"""Which weights and which data a report is of, and whether it takes the place of another one's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from mcmfh_lightning.callbacks.ranking_protocols import EvaluationData
from mcmfh_lightning.datamodules.shards.files import sha256_of
from mcmfh_lightning.fingerprints import weights_sha256

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
