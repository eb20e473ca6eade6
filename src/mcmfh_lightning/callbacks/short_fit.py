"""Logs of a fit of few steps."""

from math import isfinite

from lightning.pytorch import Callback, LightningModule, Trainer


class ShortFit(Callback):
    """Callback that logs the last step of a fit that would end before ``log_every_n_steps``.

    Lightning logs every such step, and a fit of fewer steps would leave no loss in ``metrics.csv``.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the last step be logged if no other one would be."""
        every, total = trainer.log_every_n_steps, trainer.estimated_stepping_batches  # type: ignore[attr-defined]  # set at run time
        if every and isfinite(total) and total > trainer.global_step and total // every == trainer.global_step // every:
            trainer.log_every_n_steps = int(total)  # type: ignore[attr-defined]  # set at run time
