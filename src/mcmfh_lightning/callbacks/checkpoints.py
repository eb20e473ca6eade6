"""Checkpoints of the best epoch and of the last one, and a report of which epoch a fit has chosen."""

from math import isfinite
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from rich.text import Text
from torch import Tensor

from mcmfh_lightning.callbacks.evaluation import is_dry
from mcmfh_lightning.evaluation.remarks import CONSTANT_MONITOR, MONITOR, QUERIES_MONITOR
from mcmfh_lightning.tables import command_line, counted, paragraph, show
from mcmfh_lightning.trainer.run_files import RunFolder

FEW_QUERIES = 20
"""Fewer than this, and one query decides which epoch is the best."""


class BestCheckpoint(ModelCheckpoint):
    """`ModelCheckpoint` whose record of the best survives that the run folder is moved, and that chooses by numbers.

    Lightning forgets the best value when a run resumes under another path of its folder (moved, or once relative and
    once absolute), and the next epoch would replace ``best.ckpt`` by a worse one. Where the monitored value is NaN in
    every epoch, it keeps the first one as if it were the best; here such an epoch is never kept.
    """

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Decide whether an epoch is kept: not if its value is undefined."""
        if current is not None and bool(current.isnan()):
            return False
        return super().check_monitor_top_k(trainer, current)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the record; under the names of this folder, if the files are in it."""
        best = Path(state_dict["best_model_path"]).name
        if best and self.dirpath and (Path(self.dirpath) / best).is_file():
            state_dict = state_dict | {
                "dirpath": self.dirpath,
                "best_k_models": {self._here(path): score for path, score in state_dict["best_k_models"].items()},
                **{name: self._here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path")},
            }
        super().load_state_dict(state_dict)

    def _here(self, path: str) -> str:
        # As Lightning joins them, or it would take one file for two.
        return f"{self.dirpath}/{Path(path).name}" if path else path


class LastCheckpoint(ModelCheckpoint):
    """Keeper of ``last.ckpt``, written at the end of every epoch and, if asked, between.

    ``ModelCheckpoint(save_last=True)`` writes it only when the monitored value has improved, so that resuming would go
    back to the best epoch. List this callback after the one that keeps the best: the state of that one is then part of
    the checkpoint, and a resumed run knows what it has to beat.

    Args:
        every_n_train_steps: Write it also after every such number of optimizer steps. For epochs that take long.
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
        batch: Any,  # noqa: ANN401  # Lightning's signature
        batch_idx: int,
    ) -> None:
        """Write the checkpoint if it is time."""
        step = trainer.global_step
        # Accumulated gradients are in no checkpoint: only the batch that made the step counts.
        due = self.every_n_steps is not None and step % self.every_n_steps == 0 and step != self._saved_at
        if due and not is_dry(trainer) and not _validation_follows(trainer, batch_idx):
            self._saved_at = step
            trainer.save_checkpoint(self.format_checkpoint_name({}), weights_only=False)


def _validation_follows(trainer: Trainer, batch_idx: int) -> bool:
    """Check whether this batch is followed by a validation or by the end of the epoch.

    A run that resumes from a checkpoint between the two leaves the validation out (seen in Lightning 2.6), and with it
    perhaps the best epoch.
    """
    every = trainer.val_check_batch
    done = trainer.fit_loop.total_batch_idx if trainer.check_val_every_n_epoch is None else batch_idx
    return trainer.is_last_batch or (every is not None and (done + 1) % every == 0)


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
    except (UnpicklingError, OSError, RuntimeError):  # a method whose arguments are objects, or not a local file
        return {}
    return content if isinstance(content, dict) else {}


class FitReport(Callback):
    """The last lines of a fit: the chosen epoch, what it was chosen by, its file, and the command that tests it.

    The command line adds one; epochs are counted from 0, as in ``metrics.csv``. A ``fast_dev_run`` prints nothing.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the report."""
        if trainer.is_global_zero and not is_dry(trainer):
            show(*_lines(trainer))


def _lines(trainer: Trainer) -> list[Text]:
    keeper = selecting_callback(trainer)
    score = None if keeper is None else keeper.best_model_score
    if keeper is None or score is None or not isfinite(score):
        why = "no callback keeps the best epoch"
        if keeper is not None:
            why = f"{keeper.monitor} was not measured, or undefined in every epoch"
        paths = [one.best_model_path for one in trainer.checkpoint_callbacks if isinstance(one, LastCheckpoint)]
        last = f"; the last one is in {paths[0]}" if paths and paths[0] else ""
        return [paragraph(f"no epoch was chosen: {why}{last}")]
    epoch = f"{read_chosen(trainer).get('epoch', '?')} of 0 to {trainer.current_epoch - 1}"
    chosen = f"chosen: epoch {epoch}, by {keeper.monitor} {float(score):.3f}"
    weights = paragraph(f"weights: {keeper.best_model_path}")
    if keeper.monitor != MONITOR:
        return [paragraph(chosen), weights]
    queries = int(trainer.callback_metrics.get(QUERIES_MONITOR, 0))
    lines = [f"{chosen} on {counted(queries, 'validation query', 'validation queries')}"]
    if queries < FEW_QUERIES:
        lines.append("so few queries with a relevant item say little: validate on more")
    if (constant := trainer.callback_metrics.get(CONSTANT_MONITOR)) is not None:
        verdict = "that is better than this model" if float(constant) > float(score) else "this model is better"
        lines.append(f"one order of the items for all queries has {float(constant):.3f}: {verdict}")
    return [*map(paragraph, lines), weights, *_next(trainer)]


def _next(trainer: Trainer) -> list[Text]:
    """Name the command that tests the chosen weights, where the run has kept its configuration."""
    folders = (one.path for one in trainer.callbacks if isinstance(one, RunFolder))  # type: ignore[attr-defined]  # set at run time
    config = next(folders, Path()) / "config.yaml"
    if not config.is_file():
        return []
    # The configuration of a run that was resumed names the checkpoint from which it did.
    best = [] if trainer.ckpt_path is None else ["--ckpt-path", "best"]
    return [command_line(["mcmfh", "test", "--config", str(config), *best], "next: ")]
