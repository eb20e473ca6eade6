"""The checkpoint to resume from."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt``, written at the end of every epoch and, if asked, between.

    ``ModelCheckpoint(save_last=True)`` writes it only when the monitored value has improved, so that resuming would go
    back to the best epoch. List this callback after the one that keeps the best: the state of that one is then part of
    the checkpoint, and a resumed run knows what it has to beat.

    Args:
        every_n_train_steps: Write it also whenever so many optimiser steps are done. For epochs that take long.
    """

    def __init__(self, every_n_train_steps: int | None = None) -> None:
        super().__init__(filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
        self.every_n_steps = every_n_train_steps
        self._saved_at = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where the run begins, which is what the checkpoint it resumes from holds already."""
        super().on_train_start(trainer, pl_module)
        self._saved_at = trainer.global_step

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's signature
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Write the checkpoint if it is time."""
        step = trainer.global_step
        # Accumulated gradients are in no checkpoint: only the batch that made the step counts.
        due = self.every_n_steps is not None and step % self.every_n_steps == 0 and step != self._saved_at
        dry = trainer.fast_dev_run  # type: ignore[attr-defined]  # set at run time
        if due and not dry and not _validation_follows(trainer, batch_idx):
            self._saved_at = step
            trainer.save_checkpoint(self.format_checkpoint_name({}), weights_only=False)


def _validation_follows(trainer: Trainer, batch_idx: int) -> bool:
    """Whether this batch is followed by a validation or by the end of the epoch.

    A run that resumes from a checkpoint between the two leaves the validation out (seen in Lightning 2.6), and with it
    perhaps the best epoch.
    """
    every = trainer.val_check_batch
    done = trainer.fit_loop.total_batch_idx if trainer.check_val_every_n_epoch is None else batch_idx
    return trainer.is_last_batch or (every is not None and (done + 1) % every == 0)
