"""Named versions of an archive, and how one is restored without what was deleted since."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from mcmfh_lightning.archive.deletion import Deleted, readmit
from mcmfh_lightning.archive.filters import Mask
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.schema import GROUP
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.archive.store_rows import fitting
from mcmfh_lightning.archive.table_versions import (
    check_tag_name,
    check_untagged,
    replace_rows,
    tag_versions,
    version_times,
)
from mcmfh_lightning.archive.word_index import WORDS, has_words, index_words
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.tables import listed

_ROWS = 4096


class Tag(NamedTuple):
    """Version that has a name.

    Attributes:
        name: The name.
        version: Number of the version.
        time: When it was written.
        items: Number of its items.
    """

    name: str
    version: int
    time: datetime
    items: int


class Restored(NamedTuple):
    """Result of restoring a version.

    Attributes:
        tag: What was restored.
        kept_out: Number of its items that stay out, because they were deleted from the archive.
        table: Table, at the version after it.
    """

    tag: Tag
    kept_out: int
    table: ItemTable


def list_tags(location: Location) -> list[Tag]:
    """List the named versions of an archive, the oldest first.

    Raises:
        DataError: If there is no archive, or it cannot be read.
    """
    table = ItemTable.open(location)
    with table.reading() as stored:
        versions, times = tag_versions(stored), version_times(stored)
    tags = [
        Tag(name, version, times[version], len(ItemTable.open(location, version))) for name, version in versions.items()
    ]
    return sorted(tags, key=lambda tag: (tag.version, tag.name))


def tag_version(location: Location, name: str) -> Tag:
    """Name the newest version of an archive, so that compacting keeps it.

    Raises:
        ConfigError: If it cannot be a name.
        DataError: If there is no archive, or the name is taken.
    """
    check_tag_name(name)
    with ItemTable.open(location).writing() as stored:
        taken = tag_versions(stored).get(name)
        if taken is None:
            stored.tags.create(name, stored.version)
    if taken is not None:
        raise DataError(f"{location}: tag {name} names version {taken} already: choose another name, or --delete it")
    return find_tag(location, name)


def remove_tag(location: Location, name: str) -> Tag:
    """Take the name off a version; compacting and erasing may then remove it.

    Raises:
        DataError: If there is no archive, or no such name.
    """
    tag = find_tag(location, name)
    with ItemTable.open(location).writing() as stored:
        stored.tags.delete(name)
    return tag


def check_erasable(location: Location) -> None:
    """Refuse to erase while versions have names.

    Raises:
        DataError: If there is one, or there is no archive.
    """
    with ItemTable.open(location).reading() as stored:
        check_untagged(stored, location)


def find_tag(location: Location, name: str) -> Tag:
    """Find a named version.

    Raises:
        DataError: If there is no archive, or no such name; names those that there are.
    """
    tags = {tag.name: tag for tag in list_tags(location)}
    if name not in tags:
        there = f"there are {listed(tags)}" if tags else "it has none; `mcmfh-archive tag` makes one"
        raise DataError(f"{location} has no tag {name!r}: {there}")
    return tags[name]


def restore_version(location: Location, name: str, *, deleted_too: bool = False) -> Restored:
    """Make the items of an archive those of a named version, in one commit.

    What was deleted from the archive since, by its list, stays out: then the other items are written again. Labels that
    were added since remain known.

    Args:
        location: An archive.
        name: Name of the version.
        deleted_too: Whether to restore what was deleted, and take it off the list.

    Raises:
        DataError: If there is no archive, no such name, or the archive cannot be written.
    """
    info, tag = ArchiveInfo.load(location), find_tag(location, name)
    old = ItemTable.open(location, tag.version)
    items = old.select(["id", *GROUP])
    if deleted_too:
        readmit(location, info.uid, items)
    table = ItemTable.open(location)
    with table.writing() as stored:
        # Now, as others may have deleted some until the lock was ours.
        deleted = Deleted.load(location, info.uid)
        out = deleted.of_items(items)
        if out.any():
            replace_rows(stored, _rows(old, table.schema, deleted), table.schema)
        else:
            stored.restore(tag.version)
        if has_words(stored):
            index_words(stored)
    return Restored(tag, int(out.sum()), table)


def _rows(old: ItemTable, schema: pa.Schema, deleted: Deleted) -> Iterator[pa.RecordBatch]:
    """Read the rows of a version that were not deleted, with the columns of the newest."""
    # Words are made of the texts; a version before `reindex` lacks them.
    known = [name for name in schema.names if name != WORDS or WORDS in old.schema.names]
    # A table of version 1 lacks the names of groups, which the list asks for.
    for batch in old.batches(list(dict.fromkeys([*known, *GROUP])), _ROWS):
        out: Mask = deleted.of_items(batch)
        yield from fitting(batch.filter(pa.array(~out)).select(known), schema).to_batches()
