"""The subcommands of ``mcmfh-data``, one a file; a function's arguments are the command line's options."""

from mcmfh_lightning.datamodules.commands.manifest import manifest
from mcmfh_lightning.datamodules.commands.openi import openi
from mcmfh_lightning.datamodules.commands.phantom import phantom
from mcmfh_lightning.datamodules.commands.roco import roco
from mcmfh_lightning.datamodules.commands.stats import stats
from mcmfh_lightning.datamodules.commands.verify import verify

__all__ = ["manifest", "openi", "phantom", "roco", "stats", "verify"]
