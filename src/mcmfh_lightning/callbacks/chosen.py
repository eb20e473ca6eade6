"""Which weights a fit has chosen."""

from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


def selecting_callback(trainer: Trainer) -> ModelCheckpoint | None:
    """Return the callback that keeps the epoch with the best value of something; None if there is none."""
    keepers = (one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint))
    return next((keeper for keeper in keepers if keeper.monitor is not None), None)


def read_chosen(trainer: Trainer) -> dict[str, Any]:
    """Read the checkpoint that the fit has chosen, tensors mapped instead of loaded.

    Call this on one process, after the fit.

    Returns:
        Its content; empty if none was chosen, or if its file cannot be read without running code from it.
    """
    keeper = selecting_callback(trainer)
    if keeper is None or not keeper.best_model_path:
        return {}
    try:
        content = torch.load(keeper.best_model_path, map_location="cpu", weights_only=True, mmap=True)
    except (UnpicklingError, OSError, RuntimeError):  # of a method whose arguments are objects, or not a local file
        return {}
    return content if isinstance(content, dict) else {}
