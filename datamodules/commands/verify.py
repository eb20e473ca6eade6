"""``mcmfh-data verify``."""

import sys

from rich.console import Console

from mcmfh_lightning.datamodules.shards.folder import ShardFolder
from mcmfh_lightning.datamodules.verify import verify as run
from mcmfh_lightning.datamodules.verify import verify_table
from mcmfh_lightning.errors import DataError



def verify(folder: str) -> None:
    """Look at everything in a folder of pair or feature shards; exit with 1 if a check failed.

    Args:
        folder: local path or URL of the folder.
    """
    shards = ShardFolder(folder)
    if not shards.path.is_dir():
        raise DataError(f"{folder} is not a folder: give the one that a converter or `mcmfh predict` wrote")
    report = run(shards, Console(stderr=True))
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(verify_table(report, f"{folder}"))
    if report.failed:
        sys.exit(1)
