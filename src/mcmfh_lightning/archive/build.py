"""Adding the items of shards to an archive, commit by commit.

Making an archive.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mcmfh_lightning.archive.encode import ItemEncoder
from mcmfh_lightning.archive.identity import (
    ArchiveInfo,
    Identity,
    build_archive_encoder,
    load_archive_hasher,
    write_hasher,
)
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.model import check_device
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.datamodules.loader import worker_errors
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.images.png import ValueRange

COMMIT_ITEMS = 2048
"""Items of a commit: what a killed command loses at most."""
_MANY_COMMITS = 8


class Filled(NamedTuple):
    """What a command has done."""

    new: int
    """Items that were not there before."""
    known: int
    """Items that were: left as they are, or replaced."""
    total: int
    """Items of the archive now."""
    version: int


def fill(
    location: Location,
    source: Source,
    *,
    replace: bool,
    device: str,
    console: Console,
    encoder: Encoder | None = None,
) -> Filled:
    """Add items; those that are there already are left alone, and not even encoded.

    Args:
        location: An archive.
        source: Shards whose encoder is that of the archive.
        replace: Replace items that are there instead.
        device: Where items are encoded.
        console: For the progress bar.
        encoder: Of the archive, if the source has no features and it is built already.

    Raises:
        CheckpointError: If the features are of another encoder.
        ConfigError: If there is no such device, or the pictures were scaled by another value range than the archive's.
        DataError: If an item is damaged, or the archive cannot be written; what was committed stays.
    """
    check_device(device)
    info = ArchiveInfo.load(location)
    table = ItemTable.open(location)
    source.check_encoder(info.encoder)
    source.check_value_range(info.value_range)
    if source.features is None and encoder is None:
        encoder = build_archive_encoder(info)
    items = ItemEncoder(info, load_archive_hasher(location, info), source, encoder, device)
    rows = np.arange(len(source.ids))
    if not replace:
        there = set(table.select(["id"])["id"].to_pylist())
        rows = np.array([row for row, name in enumerate(source.ids) if name not in there], dtype=np.int64)
    _learn_labels(location, source.info.label_vocabulary)
    new = commits = 0
    with worker_errors(), items_bar(console) as bar:
        task = bar.add_task("replacing" if replace else "adding", total=len(rows))
        for batch in in_commits(items.rows(rows), COMMIT_ITEMS):
            new += table.upsert(batch) if replace else table.add(batch)
            commits += 1
            bar.advance(task, len(batch))
    if commits >= _MANY_COMMITS:
        table.compact()
    return Filled(new, len(source.ids) - new, len(table), table.version)


def in_commits(batches: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """Gather batches until there are ``size`` rows."""
    waiting: list[pa.Table] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= size:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _learn_labels(location: Location, labels: tuple[str, ...]) -> None:
    """Before their items come, so that no item has a label that the archive does not know."""
    with location.writing():
        # Always: the table of an archive of version 1 is about to become one of this version.
        ArchiveInfo.load(location).with_labels(labels).write(location)


def items_bar(console: Console) -> Progress:
    """A progress bar that counts items."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Where nobody watches, even a bar that is not shown leaves an empty line.
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def check_checkpoint(location: Location, checkpoint: Path | None) -> None:
    """Refuse a checkpoint that is not the archive's own.

    Raises:
        CheckpointError: If it has other bits, weights or another encoder; the message names both.
    """
    if checkpoint is not None:
        Identity.of(checkpoint).check_same(ArchiveInfo.load(location).identity, str(checkpoint), str(location))


def report(location: Location, filled: Filled) -> None:
    """Say what a command has done."""
    told = f"{filled.new} new items, {filled.known} were there; {filled.total} items, version {filled.version}"
    # Not wrapped: a line for people and for scripts.
    Console(soft_wrap=True, highlight=False).print(f"{location}: {told}", markup=False)


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
