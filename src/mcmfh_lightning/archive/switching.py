"""A link that names the archive in use, and letting it name another one."""

import os
import shlex
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from mcmfh_lightning.archive.deletion import follow_deletions, missing_ids
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.folder import is_url


class Switched(NamedTuple):
    """Result of switching.

    Attributes:
        items: Number of items of the archive that the link names now.
        before: Archive that it named before; None if it named none.
        deleted: Number of items that were deleted, as they were deleted from the one before.
        missing: Number of items that the one before has and this one lacks.
    """

    items: int
    before: Location | None
    deleted: int
    missing: int


def switch_archive(
    link: str, target: str, *, device: str = "cpu", encoder: bool = True, model: Path | None = None
) -> Switched:
    """Let a link name another archive, at once: whoever follows it finds one of the two.

    The archive is opened first, so that its indexes are there, and what was deleted from the one before is deleted from
    it too. Nothing is switched if that fails.

    Args:
        link: A symbolic link, which is made if it is not there.
        target: Folder of the archive.
        device: Where queries are encoded.
        encoder: Whether to try the encoder of queries.
        model: As in `Archive.open`.

    Raises:
        CheckpointError: If the model is not that of the archive.
        DataError: If either is on an object store, the link is something else, or the archive cannot be opened.
    """
    if is_url(link) or is_url(target):
        raise DataError(
            "an object store has no links: switch local folders, or start the service again with the other address"
        )
    here, new = Path(link), Location(target)
    if here.exists() and not here.is_symlink():
        raise DataError(
            f"{link} is not a link: if it is the archive, rename it first, then make a link in its place: mv "
            f"{shlex.join([link, f'{here}-1'])} && mcmfh-archive switch {shlex.join([link, f'{here}-1'])}"
        )
    named = Location(Location(here).uri)  # by its own name, as the link is about to name another
    before = None if named.uri == new.uri or ArchiveInfo.find(named) is None else named
    deleted = 0 if before is None else follow_deletions(new, before)
    opened = Archive.open(target, device, model=model)
    if encoder:
        opened.load()
    if before is not None:  # opening took a while
        deleted += follow_deletions(new, before)
    _replace_link(here, Path(new.uri))
    missing = 0 if before is None else len(missing_ids(new, before))
    return Switched(len(opened), before, deleted, missing)


def _replace_link(link: Path, folder: Path) -> None:
    """Make a link, or replace it in one step; it is relative, so that both can be moved together."""
    part = link.with_name(f".{link.name}.{uuid4().hex}")
    try:
        part.symlink_to(os.path.relpath(folder.resolve(), link.parent.resolve()), target_is_directory=True)
        part.replace(link)
    except OSError as error:
        raise DataError(
            f"{link}: cannot make the link ({error.strerror}); permit it, or choose another place"
        ) from error
    finally:
        part.unlink(missing_ok=True)
