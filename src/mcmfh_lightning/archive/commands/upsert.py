"""``mcmfh-archive upsert``."""

from pathlib import Path

from rich.console import Console

from mcmfh_lightning.archive.commands.values import Splits, listed
from mcmfh_lightning.archive.fill import check_checkpoint, fill, report
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.source import Source


def upsert(
    archive: str,
    *,
    features: str | None = None,
    pairs: str | None = None,
    splits: Splits = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
) -> None:
    """Add the items of shards, replacing those that have the same ids.

    Args:
        archive: folder or s3://bucket/prefix.
        features: feature shards; without them pairs are encoded.
        pairs: pair shards: date and licence of each item, and where its text and picture lie.
        splits: one, or several as [train,val]; all by default.
        checkpoint: refuse if it is not the archive's own hasher, with which items are encoded in any case.
        device: where items are encoded.
    """
    location, source = Location(archive), Source.of(features, pairs, listed(splits))
    check_checkpoint(location, checkpoint)
    report(location, fill(location, source, replace=True, device=device, console=Console(stderr=True)))
