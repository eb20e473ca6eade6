"""What is logged in a run: a check of the names that are watched, the last step of a short fit, progress as lines."""

import time
from collections.abc import Iterator
from math import isfinite
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor

from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking
from mcmfh_lightning.errors import ConfigError, say
from mcmfh_lightning.evaluation.protocols import PROTOCOLS
from mcmfh_lightning.evaluation.remarks import CONSTANT_MONITOR, MONITOR, QUERIES_MONITOR
from mcmfh_lightning.nearest import did_you_mean

SECONDS = 30.0
"""Time between two lines of progress."""


class MonitorCheck(Callback):
    """Check that what checkpoints, early stopping and schedules watch is a value that the fit logs.

    Lightning finds a misspelled name at the end of the first epoch. Here names of the validation are checked before
    training, and those of training after its first step. Only fits are checked whose values are known: of a hasher with
    the steps and callbacks of this package and of Lightning.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the names that are not of training.

        Raises:
            ConfigError: If one is never logged.
        """
        if not _is_known(trainer, pl_module):
            return
        known = {MONITOR, CONSTANT_MONITOR, QUERIES_MONITOR, "train/loss", *_of_rankings(trainer)}
        known.update(trainer.callback_metrics)
        callbacks = trainer.callbacks  # type: ignore[attr-defined]  # set at run time
        rates = ("lr-",) if any(isinstance(one, LearningRateMonitor) for one in callbacks) else ()
        for owner, name in _monitors(trainer):
            if name not in known and not name.startswith(("train/", "val/bits/", "val/utilisation/", *rates)):
                raise ConfigError(_message(owner, name, known))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's signature
        batch: Any,  # noqa: ANN401  # Lightning's signature
        batch_idx: int,
    ) -> None:
        """Check the names of training after the first step.

        Raises:
            ConfigError: If one was not logged.
        """
        if batch_idx or trainer.current_epoch or not _is_known(trainer, pl_module):
            return
        known = {*trainer.callback_metrics, "train/samples_per_second"}  # which is logged at the end
        for owner, name in _monitors(trainer):
            if name.startswith("train/") and name not in known:
                raise ConfigError(_message(owner, name, known))


def _message(owner: str, name: str, known: set[str]) -> str:
    return (
        f"{owner}: monitor {name!r} is not a value of this fit; choose {MONITOR}, train/loss or another column of "
        f"metrics.csv{did_you_mean(name, sorted(known))}"
    )


def _monitors(trainer: Trainer) -> Iterator[tuple[str, str]]:
    """Yield what watches a value, and its name."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set at run time
        if isinstance(name := getattr(callback, "monitor", None), str):
            yield type(callback).__name__, name
    for config in trainer.lr_scheduler_configs:
        if config.reduce_on_plateau and config.monitor is not None:
            yield type(config.scheduler).__name__, config.monitor


def _is_known(trainer: Trainer, pl_module: LightningModule) -> bool:
    """Check that nothing but this package and Lightning can log a value."""
    kinds = [type(callback) for callback in trainer.callbacks]  # type: ignore[attr-defined]  # set at run time
    own = type(pl_module).__module__.startswith("mcmfh_lightning.hashers.")
    ranked = any(issubclass(kind, HammingRanking) for kind in kinds)
    return own and ranked and all(kind.__module__.startswith(("mcmfh_lightning.", "lightning.")) for kind in kinds)


def _of_rankings(trainer: Trainer) -> Iterator[str]:
    """Yield the names of the rankings of a validation."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set at run time
        if isinstance(callback, HammingRanking):
            metrics = ["mAP@all", "chance", *(f"mAP@{k}" for k in callback.ks)]
            for protocol in callback.protocols:
                for direction in PROTOCOLS[protocol]:
                    for queries in ("all", "abnormal", "normal"):
                        place = f"val/{protocol}/unseen/{queries}/{direction.name}"
                        yield from (f"{place}/{metric}" for metric in metrics)


class ShortFit(Callback):
    """Callback that logs the last step of a fit that would end before ``log_every_n_steps``.

    Lightning logs every such step, and a fit of fewer steps would leave no loss in ``metrics.csv``.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the last step be logged if no other one would be."""
        every, total = trainer.log_every_n_steps, trainer.estimated_stepping_batches  # type: ignore[attr-defined]  # set at run time
        if every and isfinite(total) and total > trainer.global_step and total // every == trainer.global_step // every:
            trainer.log_every_n_steps = int(total)  # type: ignore[attr-defined]  # set at run time


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
        values = "".join(
            f", {name} {float(metrics[name]):.3f}" for name in ("train/loss", "val/mAP", "val/auc") if name in metrics
        )
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
