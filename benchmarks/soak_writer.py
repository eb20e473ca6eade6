"""The process that changes the archive of `soak`: ``python benchmarks/soak_writer.py FOLDER``, until it is killed."""

import sys
import time
from itertools import count
from pathlib import Path

from soak_archive import DELETED_SPLIT
from soak_journal import ADDED, ADDING, COMMITTED, COMPACTED, DELETED, DELETING, ERASED, note

from mcmfh_lightning.archive import build, source
from mcmfh_lightning.archive.codes_cache import remove_codes
from mcmfh_lightning.archive.deletion import delete_items
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.store import ItemTable

COMMIT_ITEMS = 6  # so that adding can be killed between two commits
PAUSE_SECONDS = 8  # so that answers are checked in each state


def change(folder: Path) -> None:
    """Add, delete, erase and compact in turns."""
    build.COMMIT_ITEMS = source._FEATURE_ROWS = COMMIT_ITEMS
    journal, location = folder / "journal.jsonl", Location(folder / "archive")
    add = ItemTable.add

    def noted(table: ItemTable, batch: object, **options: object) -> int:
        new = add(table, batch, **options)  # type: ignore[arg-type]  # passed on
        note(journal, COMMITTED)
        return new

    ItemTable.add = noted  # type: ignore[method-assign]  # the moments of commits are known nowhere else
    added = source.Source(str(folder / "features"), str(folder / "pairs"), (DELETED_SPLIT,))
    for turn in count():
        note(journal, ADDING, added.ids)
        build.add_items(location, added, device="cpu", restore=True)
        note(journal, ADDED, added.ids, ItemTable.open(location).version)
        time.sleep(PAUSE_SECONDS)
        ids = added.ids[turn % 2 :: 2]
        note(journal, DELETING, ids)
        table = delete_items(location, ids, []).table
        note(journal, DELETED, ids, table.version)
        if turn % 2 == 0:
            table.erase()
            remove_codes(location, ArchiveInfo.load(location).uid)
            note(journal, ERASED)
        time.sleep(PAUSE_SECONDS)
        ItemTable.open(location).compact()
        note(journal, COMPACTED)


if __name__ == "__main__":
    change(Path(sys.argv[1]))
