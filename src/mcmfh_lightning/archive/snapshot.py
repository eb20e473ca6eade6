"""One version of an archive: what lies in its table, its codes and the indexes over them."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mcmfh_lightning.archive.code_index import CodeIndex, IndexKind, code_index
from mcmfh_lightning.archive.codes_cache import open_codes
from mcmfh_lightning.archive.content import ContentReader
from mcmfh_lightning.archive.filters import Filters, check_groups, unknown_groups
from mcmfh_lightning.archive.identity import ArchiveInfo
from mcmfh_lightning.archive.model import QueryCode
from mcmfh_lightning.archive.results import Item, Modality, Side
from mcmfh_lightning.archive.store import ROW_ID, ItemTable
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import DATASET_FILE

_ITEM = ["id", "group_name", "split", "has_image", "has_text", "labels", "date", "licence", "source", "text"]
_CONTENT = ["folder", "shard"]
"""Where what is not in the table lies."""


class UnknownItemError(DataError):
    """There is no item of that id."""


@dataclass(frozen=True)
class Facets:
    """What a search of an archive can be narrowed by, and how many items have it; the most frequent first."""

    items: int
    with_image: int
    with_text: int
    labels: Mapping[str, int]
    """Labels of the archive's vocabulary that no item has count 0."""
    licences: Mapping[str, int]
    splits: Mapping[str, int]
    """Items without a split are in none."""
    dates: tuple[str, str] | None
    """The earliest and the latest; None if no item has a date."""


class Snapshot:
    """A version of the table; it never changes and may be used from several threads.

    Args:
        table: Opened at that version.
        info: Of the archive.
        folder: Where the files of codes lie.
        kind: How to search; by the number of items if None.

    Raises:
        DataError: See `open_codes`.
    """

    def __init__(self, table: ItemTable, info: ArchiveInfo, folder: Path, kind: IndexKind | None) -> None:
        self._table = table
        self._info = info
        self._kind = kind
        self._codes = open_codes(table, info, folder)
        # Now, not in the first search: counting labels, and what LanceDB does when it first reads rows.
        _ = self.facets
        self._take(np.arange(min(1, len(self))), _ITEM)
        self._indexes: dict[Side, CodeIndex] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def version(self) -> int:
        """Of the table."""
        return self._table.version

    @cached_property
    def facets(self) -> Facets:
        """What can be filtered by."""
        items = self._codes.items
        known = items["date"].drop_null()
        dates = pc.min_max(known).as_py() if len(known) else None
        return Facets(
            items=len(items),
            with_image=pc.sum(items["has_image"]).as_py() or 0,
            with_text=pc.sum(items["has_text"]).as_py() or 0,
            labels=_counts(pc.list_flatten(items["labels"]), self._info.label_vocabulary),
            licences=_counts(items["licence"]),
            splits=_counts(items["split"].drop_null()),
            dates=None if dates is None else (dates["min"], dates["max"]),
        )

    def index(self, side: Side) -> CodeIndex:
        """The index over the codes of a side, made when it is first asked for."""
        with self._lock:
            if side not in self._indexes:
                self._indexes[side] = code_index(self._codes.codes[side], self._info.num_bits, self._kind)
            return self._indexes[side]

    def row_of(self, item: str) -> int:
        """Row of an item.

        Raises:
            UnknownItemError: If there is none of that id.
        """
        ids = self._codes.items["id"]
        row = bisect_left(range(len(ids)), item, key=lambda place: ids[place].as_py())
        if row == len(ids) or ids[row].as_py() != item:
            raise UnknownItemError(f"the archive has no item {item!r}: correct the id, or add the item")
        return row

    def group_of(self, row: int) -> int:
        """Number of an item's group."""
        return int(self._codes.groups[row])

    def knows_groups(self, filters: Filters) -> bool:
        """Whether there are items of each group that is asked for."""
        return not unknown_groups(self._codes.items, filters.named_groups)

    def candidates(self, filters: Filters, side: Side, without_group: int | None) -> NDArray[np.int64] | None:
        """Rows that a search may return: those that pass the filters, have the code and are not of the group.

        Returns:
            Ascending; None for all.

        Raises:
            DataError: If a label or a group is asked for that the archive does not know.
        """
        filters.check_labels(self.facets.labels)
        check_groups(self._codes.items, filters.named_groups)
        masks = [
            filters.passing(self._codes.items),
            self._codes.present[side],
            None if without_group is None else self._codes.groups != without_group,
        ]
        given = [mask for mask in masks if mask is not None]
        return np.flatnonzero(np.logical_and.reduce(given)) if given else None

    def code(self, row: int, modality: Modality) -> QueryCode:
        """Code of an item's image or text, to search with.

        Raises:
            DataError: If the item lacks it.
        """
        present = self._codes.present[modality]
        if present is not None and not present[row]:
            raise DataError(
                f"item {self._codes.items['id'][row].as_py()!r} has no {modality}: search by its other modality"
            )
        relaxed = self.relaxed(modality, np.array([row]))
        return QueryCode(np.array(self._codes.codes[modality][row]), None if relaxed is None else relaxed[0])

    def relaxed(self, side: Side, rows: NDArray[np.int64]) -> NDArray[np.float16] | None:
        """(m, num_bits) codes of items before the sign; None if they were not kept."""
        kept = self._codes.relaxed.get(side)
        return None if kept is None else np.array(kept[rows])

    def items(self, rows: NDArray[np.int64]) -> list[Item]:
        """What is known of items, in the given order."""
        found = self._take(rows, [*_ITEM, *_CONTENT]).to_pylist()
        return [
            Item(
                **{name: row[name] for name in _ITEM if name not in ("group_name", "labels", "text")},
                group=row["group_name"],
                labels=tuple(row["labels"]),
                text=row["text"] if row["text"] is not None or not row["has_text"] else _of_collection("text", row),
            )
            for row in found
        ]

    def picture(self, row: int) -> bytes | None:
        """Picture of an item as a JPEG; None if it has none or it is not at hand."""
        [found] = self._take(np.array([row]), ["id", "has_image", "thumbnail", *_CONTENT]).to_pylist()
        thumbnail: bytes | None = found["thumbnail"]
        return thumbnail if thumbnail is not None or not found["has_image"] else _of_collection("picture", found)

    def _take(self, rows: NDArray[np.int64], columns: list[str]) -> pa.Table:
        row_ids = self._codes.items[ROW_ID].take(pa.array(rows, pa.int64())).to_pylist()
        return self._table.take(row_ids, columns)


@overload
def _of_collection(what: Literal["text"], row: Mapping[str, Any]) -> str | None: ...
@overload
def _of_collection(what: Literal["picture"], row: Mapping[str, Any]) -> bytes | None: ...
def _of_collection(what: Literal["text", "picture"], row: Mapping[str, Any]) -> str | bytes | None:
    """Content of an item that is not in the table; None if its collection is gone, damaged or another one by now."""
    folder, shard = row["folder"], row["shard"]
    try:
        if folder is None or shard is None or ContentReader.at_hand(folder) is None:
            return None
        reader = _collection(folder, (Path(folder) / DATASET_FILE).stat().st_mtime_ns)
        return reader.text(row["id"], shard) if what == "text" else reader.picture(row["id"], shard)
    except (DataError, OSError, ValueError):
        return None


@lru_cache(maxsize=8)
def _collection(folder: str, written: int) -> ContentReader:  # a collection written anew is read anew
    """The reader of a collection, which has looked into its shards already."""
    return ContentReader(folder)


def _counts(column: pa.ChunkedArray, names: Sequence[str] = ()) -> dict[str, int]:
    """How often each value occurs, the most frequent first, then by name; names that do not occur count 0."""
    counts = dict.fromkeys(names, 0) | {
        entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()
    }
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))
