"""Former place of the CSV logger, for configurations of earlier runs. It goes with the next release."""

import warnings

from mcmfh_lightning.trainer.loggers import ResumableCSVLogger

__all__ = ["ResumableCSVLogger"]

warnings.warn("mcmfh_lightning.csv_logger is now mcmfh_lightning.trainer.loggers", DeprecationWarning, stacklevel=2)
