"""``mcmfh-archive info``."""

import json as json_module
import sys

from rich.console import Console

from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.overview import overview, overview_table


def info(archive: str, *, json: bool = False) -> None:
    """Say what an archive holds and what it is made with.

    Args:
        archive: folder or s3://bucket/prefix.
        json: print JSON, with all labels and the encoder's identity.
    """
    content = overview(Location(archive))
    if json:
        sys.stdout.write(json_module.dumps(content, indent=1, ensure_ascii=False) + "\n")
        return
    Console().print(overview_table(content))
