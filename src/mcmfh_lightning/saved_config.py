"""The configuration of a run, in its folder and in its wandb run."""

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger

from mcmfh_lightning.callbacks.run_folder import run_folder


class SaveRunConfig(SaveConfigCallback):
    """Writes ``config.yaml`` into the run's folder, over that of an earlier run, and gives it to ``WandbLogger``.

    Lightning's own writes to ``Trainer.log_dir``, which with wandb is a folder that runs share. The trainer needs a
    `mcmfh_lightning.callbacks.RunFolder`.
    """

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning calls this on the first process only."""
        folder = run_folder(trainer)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.config_filename
        self.parser.save(self.config, path, skip_unset=False, overwrite=True, multifile=self.multifile)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(yaml.safe_load(self.parser.dump(self.config)))
