"""The training order of a run that is resumed, as its checkpoint notes it."""

from collections.abc import Mapping
from typing import Any

from mcmfh_lightning.errors import CheckpointError


def resumed_batch(noted: Mapping[str, Any], *, given: int | None, ranks: int) -> tuple[int, int] | None:
    """Return the batch that was fitted when a run began, and the passes of an epoch; None where another one is given.

    Args:
        noted: State of the data in a checkpoint.
        given: Global batch size of this run; None to take that of the checkpoint.
        ranks: Number of processes.

    Raises:
        CheckpointError: If the batch cannot be divided over the processes.
    """
    size = noted.get("global_batch_size")
    if size is None or given not in (None, size):
        return None
    if size % ranks:
        raise CheckpointError(
            f"the run of the checkpoint has batches of {size} pairs, which cannot be divided over {ranks} ranks: resume"
            " it with another number of ranks (--trainer.devices), or start a new run"
        )
    return size, noted.get("passes", 1)


def check_order(noted: Mapping[str, Any], mine: Mapping[str, Any], folder: object) -> None:
    """Refuse to resume a run in another order.

    Args:
        noted: State of the data in a checkpoint.
        mine: What the order of this run depends on, by the same names.
        folder: Where the data are.

    Raises:
        CheckpointError: If anything differs.
    """
    theirs = {"passes": 1, **noted}  # an epoch of the version before is one pass
    other = [name for name, value in mine.items() if theirs.get(name) != value]
    if other:
        differences = "; ".join(f"{name} {theirs.get(name)} there, {mine[name]} here" for name in other)
        raise CheckpointError(
            f"the checkpoint belongs to another training order ({differences}): resume with the same data and settings,"
            f" or start a new run. The data here are {folder}"
        )
