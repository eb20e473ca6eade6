"""Subcommands of ``mcmfh-archive`` that change its items: build, add, upsert, delete and reindex.

A subcommand imports its parts itself, so that ``--help`` is quick, and only those that need torch load it.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from mcmfh_lightning.cli.project import read_project
from mcmfh_lightning.errors import ConfigError, DataError, reason, say
from mcmfh_lightning.lightning_configs import find_config

Split = Literal["train", "val", "test"]
Names = list[str] | None
Splits = list[Split] | None


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
    restore_deleted: bool = False,
    old: Annotated[str | None, Parameter(name="from")] = None,
    device: str = "cpu",
) -> None:
    """Make an archive of the items of shards; repeat the command to resume a build that was interrupted.

    Args:
        archive: Folder to make, or s3://bucket/prefix.
        checkpoint: Trained hasher, as `mcmfh fit` wrote it.
        features: Feature shards; without them pairs are encoded.
        pairs: Pair shards, which have date, license, text and picture of each item.
        splits: Splits of the shards. Default: all.
        encoder: YAML file of the encoder that queries need, as model/encoder_offline.yaml, which is the default.
        store_content: Keep texts and small pictures in the archive; without it they stay in their collection.
        without_relaxed: Do not keep the codes before the sign, which rerank short codes; saves 6 bytes a bit, or 18 if
            queries have a code for each search.
        restore_deleted: Add also items that were deleted from this archive; without it they stay out.
        old: Archive whose items are built again, such as the one in use, with its settings and without what was deleted
            from it. Default of --features and --pairs is then the pairs that its items came from.
        device: Where items are encoded.
    """
    from mcmfh_lightning.archive.build import build_archive
    from mcmfh_lightning.archive.devices import check_device
    from mcmfh_lightning.archive.info import Location
    from mcmfh_lightning.archive.rebuild import rebuild_archive
    from mcmfh_lightning.archive.source import Source
    from mcmfh_lightning.encoders.spec import read_encoder_spec

    check_device(device)
    settings: dict[str, Any] = {"store_content": store_content, "keep_relaxed": not without_relaxed, "device": device}
    spec = None if encoder is None else read_encoder_spec(Path(find_config(str(encoder))))
    location = Location(archive)
    if old is None:
        source = Source(features, pairs, tuple(splits or ()))
        with _pairs_of_project("build"):
            spec = spec or read_encoder_spec(None)
            done = build_archive(location, source, checkpoint, spec, restore=restore_deleted, **settings)
    else:
        if splits or restore_deleted:
            raise ConfigError("--from builds the items that the archive has: leave out --splits and --restore-deleted")
        given = None if features is None and pairs is None else Source(features, pairs)
        done = rebuild_archive(location, Location(old), checkpoint, spec, given, **settings)
    say(f"{location}: {done}")


@dataclass(frozen=True, kw_only=True)
class Items:
    """Items to add.

    Args:
        features: Feature shards; without them pairs are encoded.
        pairs: Pair shards, which have date, license, text and picture of each item.
        splits: Splits of the shards. Default: all.
        checkpoint: Refuse if it is not the archive's own hasher, with which items are encoded in any case.
        restore_deleted: Add also items that were deleted from this archive; without it they stay out.
        device: Where items are encoded.
    """

    features: str | None = None
    pairs: str | None = None
    splits: Splits = None
    checkpoint: Path | None = None
    restore_deleted: bool = False
    device: str = "cpu"


def add(archive: str, *, items: Annotated[Items, Parameter(name="*")] = Items(), replace: bool = False) -> None:
    """Add the items of shards whose ids are not there yet; repeat the command to resume one that was interrupted.

    Args:
        archive: Folder or s3://bucket/prefix.
        items: What to add.
        replace: Replace the items that are there already, as upsert does.
    """
    from mcmfh_lightning.archive.build import add_items
    from mcmfh_lightning.archive.info import Location
    from mcmfh_lightning.archive.source import Source

    location, source = Location(archive), Source(items.features, items.pairs, tuple(items.splits or ()))
    with _pairs_of_project("upsert" if replace else "add"):
        done = add_items(
            location,
            source,
            device=items.device,
            replace=replace,
            checkpoint=items.checkpoint,
            restore=items.restore_deleted,
        )
    say(f"{location}: {done}")


def upsert(archive: str, *, items: Annotated[Items, Parameter(name="*")] = Items()) -> None:
    """Add the items of shards, replacing those that have the same ids.

    Args:
        archive: Folder or s3://bucket/prefix.
        items: What to add.
    """
    add(archive, items=items, replace=True)


@contextmanager
def _pairs_of_project(command: str) -> Iterator[None]:
    """Name the pairs of the project file in an error that asks for them: ``--features`` alone drops both from it."""
    try:
        yield
    except DataError as error:
        project = read_project("mcmfh-archive", command)
        pairs = None if project is None else project.options.get("pairs")
        if pairs is None or "--pairs DIR" not in str(error):
            raise
        raise DataError(str(error).replace("--pairs DIR", f"--pairs {shlex.quote(str(pairs))}")) from error


def delete(
    archive: str, *, ids: Names = None, ids_file: Path | None = None, groups: Names = None, erase: bool = False
) -> None:
    """Remove items and keep them out: build, add and upsert skip what was deleted, and new items of deleted groups.

    Of ids that are not there, only the number is reported.

    Args:
        archive: Folder or s3://bucket/prefix.
        ids: Ids of items.
        ids_file: Text file with an id a line.
        groups: Groups (patients, studies) whose items are all deleted, by their own names.
        erase: Remove what was ever deleted or replaced from the disk too, where earlier versions keep it; all items are
            written again, and whoever has the archive open must open it again. Refused while versions have tags.
    """
    from mcmfh_lightning.archive.codes_cache import remove_codes
    from mcmfh_lightning.archive.deletion import delete_items
    from mcmfh_lightning.archive.info import ArchiveInfo, Location
    from mcmfh_lightning.archive.versions import check_erasable
    from mcmfh_lightning.tables import counted

    if joined := [name for name in ids or () if name.startswith("[") and name.endswith("]")]:
        raise ConfigError(
            f"--ids {joined[0]!r}: repeat the option for several items, --ids A --ids B; an id in brackets goes into "
            "--ids-file"
        )
    location = Location(archive)
    named = [*(ids or ())]
    if ids_file is not None:
        try:
            named += ids_file.read_text(encoding="utf-8-sig").splitlines()  # editors of Windows mark UTF-8 files
        except (OSError, ValueError) as error:
            raise DataError(f"{ids_file}: cannot be read ({reason(error)}); correct --ids-file") from error
    if not named and not groups and not erase:
        raise DataError("nothing to delete: pass --ids, --ids-file or --groups")
    if erase:
        check_erasable(location)  # before anything is deleted
    done = delete_items(location, named, groups or [])
    if done.others:
        say(
            f"not deleted: items of group {', '.join(map(repr, done.others))}, which has the same number. Those that "
            "an earlier release added may be of the same patient or study: then delete that group too"
        )
    missing = f", {done.missing:,} {'was' if done.missing == 1 else 'were'} not there" if done.missing else ""
    deleted, now = counted(done.deleted, "item"), counted(len(done.table), "item")
    say(f"{location}: {deleted} deleted{missing}; {now}, version {done.table.version}")
    if named or groups:
        say("build, add and upsert of this archive leave them out from now on; --restore-deleted adds them again")
    if erase:
        done.table.erase()
        remove_codes(location, ArchiveInfo.load(location).uid)
        say(
            f"{location}: what was deleted is erased; version {done.table.version}. The shards and files that it was "
            "made from are left as they are"
        )
    elif done.deleted:
        say(
            "no search finds them, but their data stay on the disk until `mcmfh-archive delete "
            f"{shlex.quote(archive)} --erase`"
        )


def reindex(archive: str) -> None:
    """Write the words of all texts again, so that they are searched as this release reads them.

    Archives that an earlier release made with --store-content need this once. All items are written again.

    Args:
        archive: Folder or s3://bucket/prefix.
    """
    from mcmfh_lightning.archive.info import ArchiveInfo, Location
    from mcmfh_lightning.archive.store import ItemTable

    location = Location(archive)
    if not ArchiveInfo.load(location).store_content:
        raise DataError(f"{location} keeps no texts: build it with --store-content to search by words")
    table = ItemTable.open(location)
    table.reindex()
    say(f"{location}: words can be searched; version {table.version}")
