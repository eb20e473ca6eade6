"""Checks of a shard as a file.

Files that belong to no data set.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import DATASET_FILE, DatasetInfo, ShardInfo, sha256_of
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.pair_writer import SKIPPED_FILE
from mcmfh_lightning.shards.tar import Member, index_tar
from mcmfh_lightning.shards.verify.report import LEFTOVERS, MEMBERS, PRESENT, SHA256, Report


@dataclass(frozen=True)
class OpenShard:
    """A shard whose members can be read.

    Attributes:
        info: Its entry in ``dataset.json``.
        path: The file.
        records: Members by extension, by key.
    """

    info: ShardInfo
    path: Path
    records: dict[str, dict[str, Member]]


def open_shard(folder: ShardFolder, shard: ShardInfo, report: Report) -> OpenShard | None:
    """Check presence, size, SHA-256 and structure.

    Returns:
        The shard if its members can be told apart, whatever else is wrong with it: they may tell what.
    """
    report.look(PRESENT)
    try:
        path = folder.shard(shard)
    except DataError as error:
        report.find(PRESENT, str(error))
        path = folder.path / shard.name
        if not path.is_file():
            return None
    try:
        report.look(SHA256)
        found = sha256_of(path)
        if found != shard.sha256:
            report.find(SHA256, f"{shard.name}: {found[:12]}..., dataset.json says {shard.sha256[:12]}...")
        report.look(MEMBERS)
        return OpenShard(shard, path, index_tar(path))
    except (DataError, OSError) as error:
        report.find(MEMBERS, str(error))
        return None


def read_members(shard: OpenShard, key: str) -> dict[str, bytes]:
    """Read the members of one record, by extension.

    Raises:
        OSError: If the disk fails.
    """
    with shard.path.open("rb", buffering=0) as stream:
        members = shard.records[key].items()
        return {name: os.pread(stream.fileno(), member.size, member.offset) for name, member in members}


def complaint(where: str, look: Callable[[], object]) -> str | None:
    """Return what a look complains of, with its place; None if all is well."""
    try:
        look()
    except DataError as error:
        return f"{where}: {error}"
    return None


_LOCK_SUFFIX = ".lock"
"""Of the cache of a remote folder."""


def check_leftovers(folder: ShardFolder, info: DatasetInfo, report: Report) -> None:
    """Find what neither ``dataset.json`` lists nor a command of ours leaves on purpose."""
    expected = {DATASET_FILE, SKIPPED_FILE, *(shard.name for split in info.splits.values() for shard in split.shards)}
    for path in sorted(folder.path.iterdir()):
        report.look(LEFTOVERS)
        if path.name.removesuffix(_LOCK_SUFFIX) not in expected:
            report.find(LEFTOVERS, path.name + "/" * path.is_dir())
