"""``mcmfh-archive delete``."""

from pathlib import Path

from rich.console import Console

from mcmfh_lightning.archive.codes_cache import remove_indexes
from mcmfh_lightning.archive.commands.values import Names, listed
from mcmfh_lightning.archive.identity import ArchiveInfo
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.errors import DataError


def delete(
    archive: str,
    *,
    ids: Names = None,
    ids_file: Path | None = None,
    groups: int | list[int] | None = None,
    erase: bool = False,
) -> None:
    """Remove items; of ids that are not there, only the number is told.

    Args:
        archive: folder or s3://bucket/prefix.
        ids: an item, or several as [a,b].
        ids_file: text file with an id a line.
        groups: all items of a group (patient, study), or of several as [1,2].
        erase: remove what was ever deleted or replaced from the disk too, where earlier versions keep it; all items are
            written anew, and whoever has the archive open must open it again.
    """
    location = Location(archive)
    info = ArchiveInfo.load(location)
    table = ItemTable.open(location)
    named = [*listed(ids), *_lines(ids_file)]
    numbers = listed(groups)
    if not named and not numbers and not erase:
        raise DataError("nothing to delete: pass --ids, --ids-file or --groups")
    found = table.delete(named)
    if numbers:
        where = f"`group` IN ({', '.join(map(str, numbers))})"
        found += table.delete(table.select(["id"], where=where)["id"].to_pylist())
    console = Console(soft_wrap=True, highlight=False, markup=False)
    missing = f", {len(set(named)) - found} were not there" if not numbers and found < len(set(named)) else ""
    console.print(f"{location}: {found} items deleted{missing}; {len(table)} items, version {table.version}")
    if erase:
        table.erase()
        remove_indexes(location, info.uid)
        console.print(f"{location}: what was deleted is erased; version {table.version}")


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()  # editors of Windows mark UTF-8 files
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); correct --ids-file") from error
