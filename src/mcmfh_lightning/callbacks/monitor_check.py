"""A check of the names that a fit watches, before it has trained for an epoch."""

from collections.abc import Iterator
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor

from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.evaluation.protocols import PROTOCOLS
from mcmfh_lightning.evaluation.remarks import CONSTANT_MONITOR, MONITOR, QUERIES_MONITOR
from mcmfh_lightning.nearest import did_you_mean

_TRAIN = "train/"
_AT_THE_END = ("train/samples_per_second",)
_FAMILIES = ("val/bits/", "val/utilisation/")
_HASHERS = "mcmfh_lightning.hashers."
_LIBRARIES = ("mcmfh_lightning.", "lightning.")


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
            if name not in known and not name.startswith((_TRAIN, *_FAMILIES, *rates)):
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
        known = {*trainer.callback_metrics, *_AT_THE_END}
        for owner, name in _monitors(trainer):
            if name.startswith(_TRAIN) and name not in known:
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
    own = type(pl_module).__module__.startswith(_HASHERS)
    ranked = any(issubclass(kind, HammingRanking) for kind in kinds)
    return own and ranked and all(kind.__module__.startswith(_LIBRARIES) for kind in kinds)


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
