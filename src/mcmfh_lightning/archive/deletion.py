"""Deletion of items, and the list that keeps what was deleted out of an archive."""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh_lightning.archive.filters import Mask, check_groups, of_groups, other_names
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.schema import GROUP
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.packing import group_number
from mcmfh_lightning.shards.pair import is_name

DELETED_FILE = "deleted.json"
_READ = (1, 2)  # the first is hashed with the uid of its archive
_DIGITS = 32  # of a SHA-256: two names of 128 bits alike do not happen


@dataclass(frozen=True)
class Deleted:
    """Items and groups that were deleted from an archive: adding skips them.

    Their ids and names are hashed together with the archive's own, so that lists of two archives have nothing in
    common, unless one is built from the other. A hash does not hide a name from somebody who has the archive and
    guesses it.

    Attributes:
        salt: What names are hashed with: the uid of the archive, or that of the one that it was built from.
        hashes: Hashes of ids, and of names or numbers of groups.
    """

    salt: str
    hashes: frozenset[str] = frozenset()

    @classmethod
    def load(cls, location: Location, uid: str) -> Self:
        """Read the list; an archive without one has an empty list.

        Raises:
            DataError: If it is damaged or of a later release.
        """
        content = location.read(DELETED_FILE)
        if content is None:
            return cls(uid)
        try:
            entries = json.loads(content)
            if entries["format_version"] not in _READ:
                raise DataError(
                    f"{location}/{DELETED_FILE}: format_version {entries['format_version']!r}, this release reads "
                    f"{' and '.join(map(str, _READ))}: install the release that wrote it"
                )
            version, hashes = entries["format_version"], frozenset(map(str, entries["hashes"]))
            salt = uid if version == 1 else str(entries["salt"])
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise DataError(f"{location}/{DELETED_FILE} is damaged ({error!r}): copy the archive again") from error
        return cls(salt, hashes)

    def write(self, location: Location) -> None:
        """Write the list, atomically."""
        entries = {"format_version": _READ[-1], "salt": self.salt, "hashes": sorted(self.hashes)}
        location.write(DELETED_FILE, json.dumps(entries, indent=1).encode() + b"\n")

    def with_items(self, ids: Iterable[str], groups: Iterable[str]) -> Self:
        """Return the list with more ids and names of groups."""
        return replace(self, hashes=self.hashes | self._hashes(ids, groups))

    def without_items(self, ids: Iterable[str], groups: Iterable[str]) -> Self:
        """Return the list without some ids and names of groups."""
        return replace(self, hashes=self.hashes - self._hashes(ids, groups))

    def has_group(self, name: str) -> bool:
        """Tell whether a group was deleted."""
        names = (name, str(group_number(name))) if is_name(name) else ()
        return not self.hashes.isdisjoint(self._hashes((), names))

    def mask(self, ids: Collection[str], numbers: Iterable[int], names: Iterable[str]) -> Mask:
        """Find the items that were deleted, or whose group was.

        Args:
            ids: N ids.
            numbers: N numbers of groups.
            names: N names of groups, which may be the numbers in digits.

        Returns:
            (N,) bool.
        """
        if not self.hashes:
            return np.zeros(len(ids), dtype=np.bool_)
        known: dict[tuple[int, str], bool] = {}
        found = np.zeros(len(ids), dtype=np.bool_)
        for place, (item, number, name) in enumerate(zip(ids, numbers, names, strict=True)):
            if (number, name) not in known:
                known[number, name] = not self.hashes.isdisjoint(self._hashes((), (name, str(number))))
            found[place] = known[number, name] or self._hash("id", item) in self.hashes
        return found

    def of_items(self, items: pa.Table) -> Mask:
        """Find the deleted items among rows of the archive's table."""
        columns = (items[name].to_pylist() for name in ("id", *GROUP))
        return self.mask(*columns) if self.hashes else np.zeros(len(items), dtype=np.bool_)

    def _hashes(self, ids: Iterable[str], groups: Iterable[str]) -> set[str]:
        return {self._hash("id", name) for name in ids} | {self._hash("group", name) for name in groups}

    def _hash(self, kind: str, name: str) -> str:
        return hashlib.sha256(f"{self.salt}\0{kind}\0{name}".encode(errors="surrogatepass")).hexdigest()[:_DIGITS]


def readmit(location: Location, uid: str, items: pa.Table) -> None:
    """Take items that were deleted, and their groups, off the list of an archive.

    Args:
        location: The archive.
        uid: Its uid.
        items: Items that may be there again: their id, number and name of the group.
    """
    with location.writing():
        deleted = Deleted.load(location, uid)
        back = items.filter(pa.array(deleted.of_items(items)))
        if len(back):
            groups = [str(name) for column in GROUP for name in back[column].to_pylist()]
            deleted.without_items(back["id"].to_pylist(), groups).write(location)


class Deletion(NamedTuple):
    """Result of a deletion.

    Attributes:
        deleted: Number of items that were deleted.
        missing: Number of ids that were not there.
        others: Groups that have the number of a deleted one, but were not named.
        table: Table, at the version after it.
    """

    deleted: int
    missing: int
    others: list[str]
    table: ItemTable


def delete_items(location: Location, ids: Collection[str], groups: Collection[str]) -> Deletion:
    """Delete items, and keep them and all items of the groups out from now on.

    The list is written first, so that no other command adds an item that is about to be deleted. What an interrupted
    deletion has left is deleted too.

    Args:
        location: An archive.
        ids: Ids of items; those that are not there are kept out as well.
        groups: Names of groups.

    Raises:
        UnknownError: If a group is unknown.
        DataError: If there is no archive, or it cannot be written.
    """
    info, table = ArchiveInfo.load(location), ItemTable.open(location)
    items = table.select(["id", *GROUP])
    deleted = Deleted.load(location, info.uid)
    check_groups(items, [name for name in groups if not deleted.has_group(name)])
    found = of_groups(items, groups)
    members, others = items.filter(pa.array(found)), other_names(items, found)
    known = set(members["group_name"].to_pylist())
    if not others:  # else it would keep out items of a group that was not named
        known |= set(map(str, pc.unique(members["group"]).to_pylist()))
    missing = len(set(ids).difference(items["id"].to_pylist()))
    if ids or known:
        with location.writing():  # with what others have deleted meanwhile
            deleted = Deleted.load(location, info.uid).with_items({*ids, *members["id"].to_pylist()}, known)
            deleted.write(location)
    items = ItemTable.open(location).select(["id", *GROUP])
    count = table.delete(items.filter(pa.array(deleted.of_items(items)))["id"].to_pylist())
    return Deletion(count, missing, others, table)


def follow_deletions(location: Location, other: Location) -> int:
    """Delete what was deleted from another archive, and keep it out from now on.

    An archive without deletions of its own takes over the list as it is, with items and groups that it does not have
    yet; so does one that has done so before. Of two other archives, the items that both have are compared.

    Args:
        location: Archive that follows.
        other: The other archive.

    Returns:
        Number of deleted items.

    Raises:
        DataError: If one of them is missing, or this one cannot be written.
    """
    theirs = Deleted.load(other, ArchiveInfo.load(other).uid)
    if not theirs.hashes:
        return 0
    uid = ArchiveInfo.load(location).uid
    with location.writing():
        ours = Deleted.load(location, uid)
        if ours.salt == theirs.salt or not ours.hashes:
            Deleted(theirs.salt, ours.hashes | theirs.hashes).write(location)
    items = ItemTable.open(location).select(["id", *GROUP])
    gone = items.filter(pa.array(theirs.of_items(items)))
    groups = {name for name in gone["group_name"].to_pylist() if theirs.has_group(name)}
    return delete_items(location, gone["id"].to_pylist(), groups).deleted


def missing_ids(location: Location, other: Location) -> frozenset[str]:
    """Find the items that another archive has and this one lacks."""
    return all_ids(other) - all_ids(location)


def all_ids(location: Location) -> frozenset[str]:
    """Read the ids of all items."""
    return frozenset(ItemTable.open(location).select(["id"])["id"].to_pylist())
