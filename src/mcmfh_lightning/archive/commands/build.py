"""``mcmfh-archive build``."""

from pathlib import Path

from rich.console import Console

from mcmfh_lightning.archive.commands.values import Splits, listed
from mcmfh_lightning.archive.create import create_archive
from mcmfh_lightning.archive.devices import check_device
from mcmfh_lightning.archive.fill import fill, report
from mcmfh_lightning.archive.identity import Identity, build_encoder, read_encoder_spec
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.errors import DataError


def build(
    archive: str,
    *,
    checkpoint: Path,
    features: str | None = None,
    pairs: str | None = None,
    splits: Splits = None,
    encoder: Path | None = None,
    store_content: bool = False,
    without_relaxed: bool = False,
    device: str = "cpu",
) -> None:
    """Make an archive of the items of shards; a build that was interrupted goes on with the same command.

    Args:
        archive: folder to make, or s3://bucket/prefix.
        checkpoint: trained hasher, as `mcmfh fit` wrote it.
        features: feature shards; without them pairs are encoded.
        pairs: pair shards: date and licence of each item, and where its text and picture lie.
        splits: one, or several as [train,val]; all by default.
        encoder: YAML file of the encoder that queries need, as model/encoder_offline.yaml, which is the default.
        store_content: keep texts and small pictures in the archive; without it they stay where they are.
        without_relaxed: do not keep the codes before the sign, which rank short codes anew; saves 6 bytes a bit.
        device: where items are encoded.
    """
    check_device(device)
    location, source, spec = Location(archive), Source.of(features, pairs, listed(splits)), read_encoder_spec(encoder)
    identity = Identity.of(checkpoint)
    source.check_encoder(identity.encoder)
    if store_content and pairs is None:
        raise DataError("--store-content needs --pairs DIR: features have neither texts nor pictures")
    built = build_encoder(spec, identity.encoder) if features is None else None
    create_archive(
        location,
        checkpoint,
        spec,
        source.info.label_vocabulary,
        store_content=store_content,
        keep_relaxed=not without_relaxed,
        value_range=source.value_range,
    )
    console = Console(stderr=True)
    report(location, fill(location, source, replace=False, device=device, console=console, encoder=built))
