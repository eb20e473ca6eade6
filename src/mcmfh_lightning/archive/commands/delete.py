"""``mcmfh-archive delete``."""

from pathlib import Path

import pyarrow as pa
from rich.console import Console

from mcmfh_lightning.archive.codes_cache import remove_indexes
from mcmfh_lightning.archive.commands.values import Names, listed
from mcmfh_lightning.archive.groups import check_groups, of_groups, others_of_their_number
from mcmfh_lightning.archive.identity import ArchiveInfo
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.schema import GROUP
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.errors import DataError


def delete(
    archive: str,
    *,
    ids: Names = None,
    ids_file: Path | None = None,
    groups: Names = None,
    erase: bool = False,
) -> None:
    """Remove items; of ids that are not there, only the number is told.

    Args:
        archive: folder or s3://bucket/prefix.
        ids: an item, or several as [a,b].
        ids_file: text file with an id a line.
        groups: all items of a group (patient, study) by its own name, or of several as [P-17,P-18].
        erase: remove what was ever deleted or replaced from the disk too, where earlier versions keep it; all items are
            written anew, and whoever has the archive open must open it again.
    """
    location = Location(archive)
    info = ArchiveInfo.load(location)
    table = ItemTable.open(location)
    named = [*listed(ids), *_lines(ids_file)]
    asked = listed(groups)
    if not named and not asked and not erase:
        raise DataError("nothing to delete: pass --ids, --ids-file or --groups")
    console = Console(soft_wrap=True, highlight=False, markup=False)
    members = _members(table, asked, console) if asked else []
    found = table.delete([*named, *members])
    missing = f", {len(set(named)) - found} were not there" if not asked and found < len(set(named)) else ""
    console.print(f"{location}: {found} items deleted{missing}; {len(table)} items, version {table.version}")
    if erase:
        table.erase()
        remove_indexes(location, info.uid)
        console.print(f"{location}: what was deleted is erased; version {table.version}")


def _members(table: ItemTable, groups: tuple[str, ...], console: Console) -> list[str]:
    """Ids of all items of some groups; says which other names the same group may have.

    Raises:
        DataError: If the archive does not know one of them; then nothing was deleted.
    """
    items = table.select(["id", *GROUP])
    check_groups(items, groups)
    found = of_groups(items, groups)
    if others := others_of_their_number(items, found):
        console.print(
            f"not deleted: items of group {', '.join(map(repr, others))}, which has the same number. Those that an "
            "earlier release added may be of the same patient or study: then delete that group too"
        )
    members: list[str] = items.filter(pa.array(found))["id"].to_pylist()
    return members


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()  # editors of Windows mark UTF-8 files
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); correct --ids-file") from error
