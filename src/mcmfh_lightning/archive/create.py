"""Making an archive."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mcmfh_lightning.archive.identity import ArchiveInfo, Identity, write_hasher
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.datamodules.depth import ValueRange
from mcmfh_lightning.errors import ConfigError

_SETTINGS = ("encoder_spec", "store_content", "keep_relaxed", "value_range")


def create_archive(
    location: Location,
    checkpoint: Path,
    encoder_spec: Mapping[str, Any],
    label_vocabulary: Iterable[str],
    *,
    store_content: bool,
    keep_relaxed: bool,
    value_range: ValueRange | None = None,
) -> None:
    """Make an archive without items; one that is there already and is the same is left as it is.

    So a ``build`` that was killed is repeated with the same command.

    Raises:
        CheckpointError: If there is one of another hasher or encoder.
        ConfigError: If there is one with other settings.
        DataError: If there is a table with items and without a description.
    """
    identity = Identity.of(checkpoint)
    info = ArchiveInfo.new(
        identity,
        encoder_spec,
        label_vocabulary,
        store_content=store_content,
        keep_relaxed=keep_relaxed,
        value_range=value_range,
    )
    with location.writing():
        found = ArchiveInfo.find(location)
        if found is not None:
            identity.check_same(found.identity, str(checkpoint), str(location))
            _check_settings(location, info, found)
            return
        write_hasher(location, checkpoint)
        ItemTable.create(location, info.num_bits)  # or that of a build that was killed right here
        info.write(location)


def _check_settings(location: Location, new: ArchiveInfo, found: ArchiveInfo) -> None:
    for name in _SETTINGS:
        ours, theirs = getattr(new, name), getattr(found, name)
        if ours != theirs:
            raise ConfigError(
                f"{location} was built with {name}={theirs!r}, this command has {ours!r}: repeat its flags, add to it "
                "with `mcmfh-archive add`, or build another archive"
            )
