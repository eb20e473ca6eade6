"""Building an archive again with another hasher, next to the one that is in use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from mcmfh_lightning.archive.build import add_items, create_archive
from mcmfh_lightning.archive.deletion import all_ids, follow_deletions, missing_ids
from mcmfh_lightning.archive.devices import check_device
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.model import identity_of
from mcmfh_lightning.archive.snapshot import is_at_hand
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.encoders.spec import read_encoder_spec
from mcmfh_lightning.errors import ConfigError, DataError
from mcmfh_lightning.tables import counted


def rebuild_archive(
    location: Location,
    old: Location,
    checkpoint: Path,
    encoder_spec: Mapping[str, Any] | None,
    source: Source | None,
    *,
    store_content: bool,
    keep_relaxed: bool,
    device: str,
) -> str:
    """Make an archive of the items that another one has now; one that was interrupted is resumed in the same way.

    Both may be searched and changed meanwhile. What was deleted from the other one, also meanwhile, stays out.

    Args:
        location: Where to make it.
        old: The other archive; it is only read.
        checkpoint: Trained hasher.
        encoder_spec: How to build the encoder of queries; if None, as in the other archive where that is of the same
            encoder (before it was trained with a hasher, if it was), else the packaged pair.
        source: Shards of the items; if None, the pair shards that they came from, which are encoded.
        store_content: Whether to keep texts and small pictures, even if the other archive does not.
        keep_relaxed: Whether to keep the codes before the sign, if the other archive does.
        device: Where items are encoded.

    Returns:
        What was done.

    Raises:
        CheckpointError: If there is an archive of another hasher or encoder already.
        ConfigError: If there is one with other settings, both are one folder, or there is no such device.
        DataError: If the other archive or shards are missing, or an item is damaged.
    """
    check_device(device)
    if location.uri == old.uri:
        raise ConfigError(f"{location} is the archive of --from itself: name another folder for the new one")
    theirs = ArchiveInfo.load(old)
    wanted = all_ids(old)
    sources = [Source(None, folder) for folder in pair_folders(old)] if source is None else [source]
    if encoder_spec is None:
        same = identity_of(checkpoint).encoder_before == theirs.encoder_before
        encoder_spec = theirs.encoder_spec if same else read_encoder_spec(None)
    encoder = create_archive(
        location,
        sources[0],
        checkpoint,
        encoder_spec,
        store_content=store_content or theirs.store_content,
        keep_relaxed=keep_relaxed and theirs.keep_relaxed,
    )
    follow_deletions(location, old)  # before the first item, so that a build that is killed has the list
    lines = [add_items(location, one, device=device, encoder=encoder, only=wanted) for one in sources]
    if gone := follow_deletions(location, old):
        lines.append(f"{counted(gone, 'item')} deleted, as from {old}")
    if lacking := len(missing_ids(location, old)):
        lines.append(
            f"{old} has {counted(lacking, 'item')} more, which were added since or are not in these shards: repeat the "
            "command, with the shards that they are in"
        )
    return "\n".join(lines)


def pair_folders(location: Location) -> list[str]:
    """List the folders of pair shards that the items of an archive came from.

    Raises:
        DataError: If one is not on this machine, or there are items whose folder is not known.
    """
    folders = pc.value_counts(ItemTable.open(location).select(["folder"])["folder"]).to_pylist()
    unknown = sum(one["counts"] for one in folders if one["values"] is None)
    if unknown:
        raise DataError(
            f"{location} does not know the pair shards of {counted(unknown, 'item')}, as they were added from features "
            "alone: pass --features or --pairs"
        )
    names = sorted(one["values"] for one in folders)
    if away := [name for name in names if not is_at_hand(name)]:
        raise DataError(
            f"{location} was made of pair shards that are not on this machine ({', '.join(away)}): copy them there, or "
            "pass --features or --pairs"
        )
    if not names:
        raise DataError(f"{location} has no items: build from shards, without --from")
    return names
