"""Former place of the wandb logger, for configurations of earlier runs. It goes with the next release."""

import warnings

from mcmfh_lightning.trainer.loggers import PrivateWandbLogger

__all__ = ["PrivateWandbLogger"]

warnings.warn("mcmfh_lightning.loggers is now mcmfh_lightning.trainer.loggers", DeprecationWarning, stacklevel=2)
