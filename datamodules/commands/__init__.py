"""The subcommands of ``mcmfh-data``, one a file; a function's arguments are the command line's options."""

from mcmfh_lightning.datamodules.commands.openi import openi
from mcmfh_lightning.datamodules.commands.phantom import phantom

__all__ = ["openi", "phantom"]
