"""``mcmfh-archive verify``."""

import sys

from rich.console import Console

from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.archive.verification import verify_archive
from mcmfh_lightning.datamodules.verify import verify_table



def verify(archive: str, *, features: str | None = None, pairs: str | None = None) -> None:
    """Look at everything in an archive; exit with 1 if a check failed.

    Args:
        archive: folder or s3://bucket/prefix.
        features: feature shards whose items are hashed again and compared with the archive.
        pairs: the same of pair shards, which are encoded first; without either, a few items whose pair shards are at
            hand.
    """
    location = Location(archive)
    source = None if features is None and pairs is None else Source.of(features, pairs)
    report = verify_archive(location, source, Console(stderr=True))
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(verify_table(report, f"{location}"))
    if report.failed:
        sys.exit(1)
