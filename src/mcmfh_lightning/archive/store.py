"""Table of an archive's items; the only module that knows LanceDB, next to `table_versions` and `word_index`.

LanceDB promises less than it seems to. We measured this (0.33 to 0.40) and build on it:

- A commit is atomic and durable: it renames a manifest. Leftovers of a killed writer are never read.
- ``merge_insert`` reads the table, then commits. Two of them that insert the same id at once both commit, and the id is
  there twice, unless the column is marked as the (unenforced) primary key: then the second sees the first and starts
  again (from 0.33; earlier ones keep both). A plain ``add`` never looks.
- ``merge_insert`` compares a batch with the ids of the whole table: 0.1 s with 10^5 items, 0.4 s with 6 * 10^5. So a
  writer adds without it while it knows that the ids are new: it has read all of them, it is the only one that has
  written since, and no other can write meanwhile, as the lock of a local folder is held. An object store has no lock.
- An id that occurs twice *within* a batch is inserted twice in any case.
- An open table stays at its version until it writes or is asked to look again.
- Row ids are those of a version: updates and compaction change them.
- Removing old versions fails as soon as one of them has a tag, also where compaction does it. A tag whose name is not
  ASCII makes the list of tags unreadable.

A table of version 1 lacks the names of groups. Reading fills them in, with the numbers in digits; the first writer adds
the column.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mcmfh_lightning.archive.info import Location
from mcmfh_lightning.archive.schema import GROUP, item_schema
from mcmfh_lightning.archive.store_errors import FIXES, explained
from mcmfh_lightning.archive.store_rows import ROW_ID, fitting, with_names
from mcmfh_lightning.archive.table_versions import age_of_tags, check_untagged
from mcmfh_lightning.archive.word_index import (
    WORDS,
    WordHits,
    find_words,
    has_words,
    index_words,
    lacks_many,
    with_words,
    words_field,
)
from mcmfh_lightning.errors import DataError

if TYPE_CHECKING:
    from lancedb.query import FullTextQuery

TABLE = "items"
_NUMBER, _NAME = GROUP
_LARGEST = 2**64 - 1
_REWRITTEN = 4096
_READ = 65_536  # rows that LanceDB hands over together; by itself it takes 1,024, and twenty times as long
_AT_ONCE = timedelta(milliseconds=1)
_KEPT = timedelta(days=7)


class ItemTable:
    """Items by id, one row each.

    Every change is one commit. Writers of a machine wait for each other; those of an object store try again when
    another was faster, a few times.

    Args:
        table: The table of LanceDB.
        location: Place of the archive.
    """

    def __init__(self, table: Any, location: Location) -> None:  # noqa: ANN401  # LanceDB's classes differ by release
        self._table = table
        self.location = location
        # Newest version that nobody else has written; None once somebody has.
        self._own: int | None = self.version

    @classmethod
    def create(
        cls, location: str | Path | Location, num_bits: int, *, query_codes: bool = False, words: bool = False
    ) -> Self:
        """Make an empty table; an empty one that is there already is used.

        Args:
            location: Place of the archive; a folder is made.
            num_bits: Bits of a code.
            query_codes: Whether items have codes as queries of their own.
            words: Whether the words of their texts can be searched.

        Raises:
            DataError: If there is one with items or of other bits, or the place cannot be written to.
        """
        place = Location.of(location)
        if place.path is not None:
            place.path.mkdir(parents=True, exist_ok=True)
        with explained(place, "create"):
            schema = item_schema(num_bits, query_codes=query_codes)
            stored = _connect(place).create_table(
                TABLE, schema=schema.append(words_field()) if words else schema, exist_ok=True
            )
            if WORDS in stored.schema.names and not has_words(stored):
                index_words(stored)
            table = cls(stored, place)
        if len(table):
            raise DataError(f"{place} has a table with items already: {FIXES['create']}")
        return table

    @classmethod
    def open(cls, location: str | Path | Location, version: int | None = None) -> Self:
        """Open a table.

        Args:
            location: Place of the archive.
            version: Version to read, which cannot be written to; the newest if None.

        Raises:
            DataError: If there is none.
        """
        place = Location.of(location)
        # LanceDB would make the folder.
        if place.path is not None and not (place.path / f"{TABLE}.lance").is_dir():
            raise DataError(f"{place} holds no archive: make one with `mcmfh-archive build`, or correct the path")
        with explained(place, "open"):
            table = _connect(place).open_table(TABLE)
            if version is not None:
                table.checkout(version)
        return cls(table, place)

    def __len__(self) -> int:
        with explained(self.location, "read"):
            return int(self._table.count_rows())

    @property
    def schema(self) -> pa.Schema:
        """Columns, as `item_schema` gives them; without the names of groups in a table of version 1.

        The last are the words of texts, where they can be searched; they are made of the texts.
        """
        with explained(self.location, "read"):
            return self._table.schema

    @property
    def version(self) -> int:
        """Number of the version that is read; grows with each commit."""
        with explained(self.location, "read"):
            return int(self._table.version)

    @property
    def fingerprint(self) -> str:
        """Hash that differs from that of a copy's or a restored table's version of the same number.

        Raises:
            DataError: If the version is gone from the disk.
        """
        version = self.version
        # Its manifest names a commit by numbers drawn at random. New tables name the file in the first way.
        for name in (f"{_LARGEST - version:020}", f"{version}"):
            manifest = self.location.read(f"{TABLE}.lance/_versions/{name}.manifest")
            if manifest is not None:
                return hashlib.sha256(manifest).hexdigest()
        raise DataError(f"{self.location}: version {version} of the table is gone: {FIXES['read']}")

    def add(
        self,
        batch: pa.Table,
        *,
        replace: bool = False,
        unknown: bool = False,
        wanted: Callable[[pa.Table], pa.Table] | None = None,
    ) -> int:
        """Add items in one commit; items whose ids are there already are left alone, or replaced.

        Args:
            batch: Columns of `item_schema`.
            replace: Whether items that are there already are replaced.
            unknown: Whether no id was there when the table was opened, or was added through this object since. They
                are compared with the table only if another process may have written meanwhile.
            wanted: Function that returns the items of the batch to write, called while no other process of the machine
                writes.

        Returns:
            Number of new items.

        Raises:
            DataError: If an id occurs twice in the batch, a column does not fit, or the table cannot be written.
        """
        if _NAME not in self.schema.names:
            with self.writing() as table:
                if _NAME not in table.schema.names:  # unless another writer was faster
                    table.add_columns({_NAME: f"CAST(`{_NUMBER}` AS STRING)"})
        batch = fitting(batch, self.schema)
        ids = batch["id"]
        if len(pc.unique(ids)) != len(ids):
            twice = next(pair["values"] for pair in pc.value_counts(ids).to_pylist() if pair["counts"] > 1)
            raise DataError(f"item {twice!r} occurs twice in what is to be written to {self.location}: rename one")
        with self.writing() as table:
            batch = batch if wanted is None else wanted(batch)
            if not len(batch):
                return 0
            if unknown and self._own is not None and self.location.has_lock:
                table.add(batch)
                return len(batch)
            merge = table.merge_insert("id").when_not_matched_insert_all()
            if replace:
                merge = merge.when_matched_update_all()
            return int(merge.execute(batch).num_inserted_rows)

    @property
    def has_words(self) -> bool:
        """Tell whether the words of texts can be searched."""
        with explained(self.location, "read"):
            return has_words(self._table)

    def find_words(self, query: "FullTextQuery") -> WordHits:
        """Find all rows by their words; see `full_text`.

        Raises:
            DataError: If the table cannot be read.
        """
        with explained(self.location, "read"):
            return find_words(self._table, query)

    def delete(self, ids: Sequence[str]) -> int:
        """Remove items in one commit; ids that are not there are skipped.

        Returns:
            Number of removed items.

        Raises:
            DataError: If the table cannot be written.
        """
        if not ids:
            return 0
        with self.writing() as table:
            before = table.count_rows()
            table.delete(f"id IN ({', '.join(map(quoted, ids))})")
            return int(before - table.count_rows())

    def select(self, columns: Sequence[str], where: str | None = None) -> pa.Table:
        """Read columns of all rows, or of those that meet a condition.

        Args:
            columns: Names; each column costs only its own bytes.
            where: An SQL condition over the columns (DataFusion); strings in it are written by `quoted`.

        Returns:
            The columns and ``_rowid``, which `take` needs, in the order of the table.

        Raises:
            DataError: If there is no such column, or the condition cannot be understood.
        """
        query = self._table.search()
        if where is not None:
            query = query.where(where)
        with explained(self.location, "read"):
            query = query.with_row_id(True).select(self._stored(columns))  # noqa: FBT003  # LanceDB's signature
            found = query.to_batches(_READ).read_all()
        return with_names(found, columns)

    def batches(self, columns: Sequence[str], size: int) -> Iterator[pa.Table]:
        """Read columns of all rows in batches, where they might not fit into memory together.

        Args:
            columns: Names.
            size: Rows of a batch at most.
        """
        query = self._table.search().select(self._stored(columns))
        with explained(self.location, "read"):
            for batch in query.to_batches(size):
                yield with_names(pa.Table.from_batches([batch]), columns)

    def take(self, row_ids: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Read rows.

        Args:
            row_ids: ``_rowid`` of `select`, of the same version.
            columns: Names.

        Returns:
            The columns and ``_rowid``, in the order of ``row_ids``.

        Raises:
            DataError: If there is no such row or column.
        """
        wanted = np.asarray(row_ids, dtype=np.uint64)
        if not len(wanted):
            return self.select(columns, where="false")
        unique, inverse = np.unique(wanted, return_inverse=True)
        with explained(self.location, "read"):
            query = self._table.take_row_ids(unique.tolist()).with_row_id().select(self._stored(columns))
            found = with_names(query.to_arrow(), columns)
        # LanceDB promises no order.
        found = found.take(pc.sort_indices(found[ROW_ID]))
        if not np.array_equal(found[ROW_ID].to_numpy(), unique):
            raise DataError(f"{self.location} no longer has all of the rows that were asked for: open it again")
        return found.take(pa.array(inverse.astype(np.int64)))

    def erase(self) -> None:
        """Remove from the disk what was deleted or replaced, earlier versions included.

        Until then it is on the disk, though no search sees it. All items are written again, because a file cannot be
        changed; readers of an earlier version must open the table again. On an object store nobody else may write
        meanwhile.

        Raises:
            DataError: If the table cannot be written, the command may be repeated; or if a version has a name, and so
                has to stay.
        """
        with self.writing() as table:
            check_untagged(table, self.location)
            if table.count_rows():
                table.update(values_sql={"source": "source"})  # writes whole rows, in one commit
            else:
                # The last commit stays in any case, and names the ids that it deleted: make it another one.
                table.delete("false")
            if has_words(table):
                index_words(table)
            table.optimize(cleanup_older_than=_AT_ONCE)
            table.checkout_latest()

    def reindex(self) -> None:
        """Write the words of all texts again, and make their index; a table of an earlier release gets the column.

        Raises:
            DataError: If the table cannot be written; the command may be repeated.
        """
        with self.writing() as table:
            if WORDS not in table.schema.names:
                table.add_columns(words_field())
            for batch in type(self).open(self.location).batches(["id", "text"], _REWRITTEN):
                words = with_words(batch).drop_columns(["text"])
                table.merge_insert("id").when_matched_update_all().execute(words)
            index_words(table)

    @property
    def is_scattered(self) -> bool:
        """Tell whether searching by words is slow, because many texts are new, until the table is compacted."""
        with explained(self.location, "read"):
            return lacks_many(self._table)

    def compact(self) -> None:
        """Merge the files of many small commits, so that reading does not slow down with their number.

        Versions of the last seven days stay, so that their readers are not disturbed, and those since the oldest that
        has a name.

        Raises:
            DataError: If the table cannot be written.
        """
        with self.writing() as table:
            table.optimize(cleanup_older_than=max(_KEPT, age_of_tags(table)))
            table.checkout_latest()

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """Give the table of LanceDB, at the version that is open."""
        with explained(self.location, "read"):
            yield self._table

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """Give the table of LanceDB, at its newest version, while no other process of the machine writes."""
        with self.location.writing(), explained(self.location, "write"):
            self._table.checkout_latest()
            if self.version != self._own:
                self._own = None
            try:
                yield self._table
            except BaseException:
                self._own = None  # what was written is not known
                raise
            if self._own is not None:
                self._own = self.version

    def _stored(self, columns: Sequence[str]) -> list[str]:
        """Name the columns that are read for some columns."""
        if _NAME not in columns or _NAME in self.schema.names:
            return list(columns)
        return list(dict.fromkeys([_NUMBER if name == _NAME else name for name in columns]))


def quoted(text: str) -> str:
    """Write a string as SQL does.

    >>> quoted("O'Hara")
    "'O''Hara'"
    """
    return "'" + text.replace("'", "''") + "'"


def _connect(place: Location) -> Any:  # noqa: ANN401  # LanceDB's classes differ by release
    import lancedb  # starts a thread, which a fork would not survive

    return lancedb.connect(place.uri, storage_options=place.storage_options or None)
