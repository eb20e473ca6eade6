"""Shared parts of callbacks of validations and tests: hooks, the loader of the queries, and figures for loggers."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities.types import STEP_OUTPUT
from matplotlib.figure import Figure
from matplotlib.image import imread

from mcmfh_lightning.figures import save_figure
from mcmfh_lightning.trainer.run_files import run_folder
from mcmfh_lightning.types import FeatureBatch

Stage = Literal["validate", "test"]


def is_query_loader(trainer: Trainer, stage: Stage, dataloader_idx: int) -> bool:
    """Check whether a loader gives queries, which every process sees in full; False if the datamodule does not say."""
    loaders = getattr(getattr(trainer, "datamodule", None), "evaluation_loaders", None)
    return loaders is not None and loaders(stage)[dataloader_idx] == "query"


def is_dry(trainer: Trainer) -> bool:
    """Check whether this is a ``fast_dev_run``, which writes nothing."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]  # set at run time


def report_folder(trainer: Trainer) -> Path | None:
    """Find where a run writes its reports: on its first process, unless the run is dry.

    Args:
        trainer: Call this on all its processes, which agree on the folder.
    """
    folder = None if is_dry(trainer) else run_folder(trainer)
    return folder if trainer.is_global_zero else None


def log_figure(trainer: Trainer, path: Path, figure: Figure) -> None:
    """Write a figure, and give it to TensorBoard and wandb under the name of its file.

    Args:
        trainer: Call this on its first process only.
        path: The PNG file; its folder is created if missing.
        figure: What to draw.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(path.stem, imread(path), trainer.global_step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(path.stem, [str(path)], step=trainer.global_step)


class EvaluationCallback(Callback, ABC):
    """Base of callbacks that look at the outputs of validations and tests; sanity checking is neither."""

    @abstractmethod
    def begin(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Begin an epoch."""

    @abstractmethod
    def add(
        self, trainer: Trainer, outputs: STEP_OUTPUT, batch: FeatureBatch, stage: Stage, dataloader_idx: int
    ) -> None:
        """Take a batch of one of the loaders."""

    @abstractmethod
    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """End the epoch."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an epoch."""
        if not trainer.sanity_checking:
            self.begin(trainer, pl_module, "validate")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an epoch."""
        self.begin(trainer, pl_module, "test")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: FeatureBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take a batch."""
        if not trainer.sanity_checking:
            self.add(trainer, outputs, batch, "validate", dataloader_idx)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: STEP_OUTPUT,
        batch: FeatureBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take a batch."""
        self.add(trainer, outputs, batch, "test", dataloader_idx)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End an epoch."""
        if not trainer.sanity_checking:
            self.finish(trainer, pl_module, "validate")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End an epoch."""
        self.finish(trainer, pl_module, "test")
