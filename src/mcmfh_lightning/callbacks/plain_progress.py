"""Progress as lines, for output that is not a terminal."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mcmfh_lightning.errors import say

SECONDS = 30.0
"""Time between two lines."""
_SHOWN = ("train/loss", "val/mAP", "val/auc")


class PlainProgress(Callback):
    """Printer of a line on the progress of a run, at most every `SECONDS`; a short run prints none.

    A progress bar in a file, or in the log of a cluster, is a line for each of its states.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's signature
        batch: Any,  # noqa: ANN401  # Lightning's signature
        batch_idx: int,
    ) -> None:
        """Print the epoch, the step and the values of interest."""
        total = trainer.max_epochs
        epoch = f"epoch {trainer.current_epoch}" + (f" of 0 to {total - 1}" if total and total > 0 else "")
        metrics = trainer.callback_metrics
        values = "".join(f", {name} {float(metrics[name]):.3f}" for name in _SHOWN if name in metrics)
        self._print(trainer, f"{epoch}, step {batch_idx + 1} of {trainer.num_training_batches}{values}")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's signature
        batch: Any,  # noqa: ANN401  # Lightning's signature
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Print the number of batches of this split."""
        of = trainer.num_predict_batches[dataloader_idx]
        splits = getattr(getattr(trainer, "datamodule", None), "splits", None)
        name = splits[dataloader_idx] if splits else f"part {dataloader_idx}"
        self._print(trainer, f"{name}: batch {batch_idx + 1} of {of}")

    def _print(self, trainer: Trainer, line: str) -> None:
        if trainer.is_global_zero and time.monotonic() - self._since >= SECONDS:
            self._since = time.monotonic()
            say(line)
