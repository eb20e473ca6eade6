"""Where a run writes, whatever it logs to."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger


class RunFolder(Callback):
    """Says where a run writes; checkpoints that are told no other place go to ``<path>/checkpoints``.

    The command line adds one. Without it the logger decides, see `run_folder`.

    Args:
        path: The run's own folder, the same on every process.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Send the checkpoints there; Lightning sets up their callbacks after all others."""
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(self.path / "checkpoints")


def run_folder(trainer: Trainer) -> Path:
    """The folder of reports, figures and configuration of a run.

    That of `RunFolder` if the trainer has one; else the first logger's own folder, where ``ModelCheckpoint`` writes
    too. ``Trainer.log_dir`` is not enough: for a logger such as ``WandbLogger`` it is a folder that runs share.

    Args:
        trainer: Call this on all its processes: without `RunFolder` they agree on the folder of the first.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set at run time
        if isinstance(callback, RunFolder):
            return callback.path
    logger = trainer.logger
    if logger is None or logger.save_dir is None or isinstance(logger, CSVLogger | TensorBoardLogger):
        return Path(trainer.log_dir or trainer.default_root_dir)
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return Path(trainer.strategy.broadcast(str(Path(logger.save_dir, str(logger.name), version))))
