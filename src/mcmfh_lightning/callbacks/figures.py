"""Figures as files, and to the loggers that show pictures."""

from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from matplotlib.figure import Figure
from matplotlib.image import imread


def log_figure(trainer: Trainer, path: Path, figure: Figure) -> None:
    """Write a figure, and give it to TensorBoard and wandb under the name of its file.

    Args:
        trainer: Call this on its first process only.
        path: The PNG file; its folder is created if missing.
        figure: What to draw.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(path.stem, imread(path), trainer.global_step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(path.stem, [str(path)], step=trainer.global_step)
