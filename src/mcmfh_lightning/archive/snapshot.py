"""One version of an archive: its items, its codes, the indexes over them, and rankings by both."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mcmfh_lightning.archive.codes_cache import open_codes
from mcmfh_lightning.archive.filters import Filters, Mask, UnknownError, UnknownItemError, check_groups
from mcmfh_lightning.archive.indexes import FlatIndex, code_index, faiss_on_one_thread
from mcmfh_lightning.archive.info import ArchiveInfo
from mcmfh_lightning.archive.results import Facets, IndexKind, Item, Modality, Side
from mcmfh_lightning.archive.schema import QueryCode, count_facets, thumbnail
from mcmfh_lightning.archive.store import ROW_ID, ItemTable
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import DATASET_FILE, Pair, PairShardReader
from mcmfh_lightning.shards.folder import is_url

_ITEM = ["id", "group_name", "split", "has_image", "has_text", "labels", "date", "licence", "source", "text"]
_PLACE = ["folder", "shard"]  # of content that is not in the table

# Candidates that are reranked at most, unless more are asked for: short codes of a large archive tie in tens of
# thousands, of which those with the first ids are taken.
MOST_RERANKED = 4096


@dataclass(frozen=True)
class Ranking:
    """Items in order, best first.

    Attributes:
        rows: (m,) rows of `ArchiveCodes`.
        distances: (m,) Hamming distances.
        similarities: (m,) cosines of relaxed codes, NaN for items that are ranked by distance alone.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.int64]
    similarities: NDArray[np.float64]

    @classmethod
    def by_codes(cls, distances: NDArray[Any], rows: NDArray[Any]) -> Self:
        """Take items that are in the order (distance, row)."""
        return cls(rows.astype(np.int64), distances.astype(np.int64), np.full(len(rows), np.nan))

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int | None) -> "Ranking":
        """Cut out the items from place ``start`` up to, not including, ``stop``."""
        places = slice(start, stop)
        return Ranking(self.rows[places], self.distances[places], self.similarities[places])


class Snapshot:
    """Version of an archive; it never changes and may be used from several threads.

    Args:
        table: Table, opened at that version.
        info: Description of the archive.
        kind: How to search; by the number of items if None.

    Raises:
        DataError: If an item has a code without that modality, or the other way round.
    """

    def __init__(self, table: ItemTable, info: ArchiveInfo, kind: IndexKind | None) -> None:
        self._table = table
        self._info = info
        self._kind = kind
        self._codes = open_codes(table, info)
        self.version = table.version
        # Now, not in the first search: counting labels, and what LanceDB does when it first reads rows.
        _ = self.facets
        self._take(np.arange(min(1, len(self))), _ITEM)
        self._indexes: dict[Side, FlatIndex] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._codes.items)

    @cached_property
    def facets(self) -> Facets:
        """Values that a search can be narrowed by."""
        return count_facets(self._codes.items, self._info.label_vocabulary)

    def index(self, side: Side) -> FlatIndex:
        """Return the index over the codes of a side, made on first use."""
        with self._lock:
            if side not in self._indexes:
                self._indexes[side] = code_index(self._codes.codes[side], self._info.num_bits, self._kind)
            return self._indexes[side]

    def row_of(self, item: str) -> int:
        """Find the row of an item.

        Raises:
            UnknownItemError: If there is none of that id.
        """
        ids = self._codes.items["id"]
        row = bisect_left(range(len(ids)), item, key=lambda place: ids[place].as_py())
        if row == len(ids) or ids[row].as_py() != item:
            raise UnknownItemError(
                f"the archive has no item {item!r}: correct the id, or add the item", "the archive has no such item"
            )
        return row

    def check_names(self, filters: Filters) -> None:
        """Refuse filters by labels, licenses, splits or groups that the archive does not have.

        Raises:
            UnknownError: If there is one.
        """
        filters.check_values(self.facets.labels, self.facets.licences, self.facets.splits)
        check_groups(self._codes.items, map(str, (*filters.groups, *filters.without_groups)))

    def candidates(self, filters: Filters, side: Side, query_row: int | None) -> NDArray[np.int64] | None:
        """Find the rows that a search may return.

        Args:
            filters: Conditions that they meet.
            side: Code that they have.
            query_row: Row of an item whose group is left out, or None.

        Returns:
            Rows, ascending; None for all.
        """
        masks = self.conditions(filters, side, query_row)
        return np.flatnonzero(np.logical_and.reduce(list(masks.values()))) if masks else None

    def conditions(self, filters: Filters, side: Side, query_row: int | None) -> dict[str, Mask]:
        """Find the items that meet each condition of a search; see `candidates`.

        Returns:
            (N,) bool by the name of the argument of `Archive.search` or of `Filters` that sets it.
        """
        masks = filters.conditions(self._codes.items)
        present = self._codes.present[side]
        if present is not None:
            masks["against"] = present
        if query_row is not None:
            groups = self._codes.items["group"].to_numpy()
            masks["id"] = groups != groups[query_row]
        return masks

    def code(self, row: int, modality: Modality) -> QueryCode:
        """Return the code of an item's image or text, to search with.

        Raises:
            UnknownError: If the item lacks it.
        """
        present = self._codes.present[modality]
        if present is not None and not present[row]:
            fix = f"has no {modality}: search by its other modality"
            raise UnknownError(f"item {self._codes.items['id'][row].as_py()!r} {fix}", f"the item {fix}")
        kept = self._codes.relaxed.get(modality)
        return QueryCode(np.array(self._codes.codes[modality][row]), None if kept is None else np.array(kept[row]))

    def nearest(
        self, code: QueryCode, side: Side, depth: int, radius: int | None, candidates: NDArray[np.int64] | None
    ) -> Ranking:
        """Rank all items within a radius, or the nearest ``depth`` with all that tie with the last of them."""
        index = self.index(side)
        with faiss_on_one_thread():
            if radius is None:
                distances, _ = index.nearest(code.packed, depth, candidates)
                radius = int(distances[-1]) if len(distances) else 0
            return Ranking.by_codes(*index.within(code.packed, radius, candidates))

    def reranked(self, near: Ranking, code: QueryCode, side: Side, number: int) -> Ranking:
        """Order the head of a ranking by similarity, where the archive keeps codes before the sign."""
        head = near.rows[: head_length(near, number)]
        if not len(head) or code.relaxed is None or side not in self._codes.relaxed:
            return near
        return rerank(near, cosines(code.relaxed, self._codes.relaxed[side][head]))

    def items(self, rows: NDArray[np.int64]) -> list[Item]:
        """Return items, in the given order."""
        found = self._take(rows, [*_ITEM, *_PLACE]).to_pylist()
        for row in found:
            if row["text"] is None and row["has_text"]:
                pair = _pair_of(row)
                row["text"] = None if pair is None else pair.text
        return [
            Item(
                **{name: row[name] for name in _ITEM if name not in ("group_name", "labels")},
                group=row["group_name"],
                labels=tuple(row["labels"]),
            )
            for row in found
        ]

    def picture(self, row: int) -> bytes | None:
        """Return the picture of an item as a JPEG; None if it has none or its collection cannot be read."""
        [found] = self._take(np.array([row]), ["id", "has_image", "thumbnail", *_PLACE]).to_pylist()
        stored: bytes | None = found["thumbnail"]
        if stored is not None or not found["has_image"]:
            return stored
        pair = _pair_of(found)
        try:
            return None if pair is None or pair.image is None else thumbnail(pair.image)
        except (DataError, OSError, ValueError):
            return None

    def _take(self, rows: NDArray[np.int64], columns: list[str]) -> pa.Table:
        row_ids = self._codes.items[ROW_ID].take(pa.array(rows, pa.int64())).to_pylist()
        return self._table.take(row_ids, columns)


def is_at_hand(folder: str | None) -> bool:
    """Tell whether a collection is on this machine: an archive may have been copied without it.

    A URL is not followed: an archive from elsewhere must not make a search ask another machine.
    """
    return folder is not None and not is_url(folder) and Path(folder).is_dir()


def _pair_of(row: Mapping[str, Any]) -> Pair | None:
    """Read an item from its collection; None if that is gone, damaged or another one by now."""
    folder, shard = row["folder"], row["shard"]
    try:
        if shard is None or not is_at_hand(folder):
            return None
        # A collection that was written again is opened again.
        written = (Path(folder) / DATASET_FILE).stat().st_mtime_ns
        reader = _reader(folder, shard.partition("-")[0], written)
        position = reader.find(shard, row["id"])
        return None if position is None else reader[position]
    except (DataError, OSError, ValueError):
        return None


@lru_cache(maxsize=24)
def _reader(folder: str, split: str, written: int) -> PairShardReader:  # `written` is part of the key
    """Open a split, whose shards are read only when they are asked for."""
    return PairShardReader(folder, split)


def head_length(near: Ranking, number: int) -> int:
    """Count the nearest items to rerank: ``number`` of them, and all that tie with the last of these.

    Args:
        near: Ranking by codes, whole distances.
        number: Least number of items, if there are as many; 0 for none.
    """
    if number == 0 or number >= len(near):
        return min(number, len(near))
    with_ties = int(np.searchsorted(near.distances, near.distances[number - 1], side="right"))
    return min(with_ties, max(number, MOST_RERANKED))


def rerank(near: Ranking, similarities: NDArray[np.float64]) -> Ranking:
    """Order the nearest items by similarity, then distance, then row; the others keep their places.

    Args:
        near: Ranking by codes.
        similarities: (h,) similarities of its first h items.
    """
    head = len(similarities)
    order = np.lexsort((near.rows[:head], near.distances[:head], -similarities))
    places = np.concatenate([order, np.arange(head, len(near))])
    found = np.concatenate([similarities, near.similarities[head:]])
    return Ranking(near.rows[places], near.distances[places], found[places])


def cosines(query: NDArray[Any], items: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the cosines of relaxed codes; 0 where one is all zeros.

    Equal rows give equal numbers in any place, which a product of matrices does not promise.

    Args:
        query: (K,) relaxed code.
        items: (h, K) relaxed codes.

    Returns:
        (h,) cosines.
    """
    ours, theirs = query.astype(np.float64), items.astype(np.float64)
    lengths = np.sqrt((ours**2).sum() * (theirs**2).sum(axis=1))
    products: NDArray[np.float64] = (theirs * ours).sum(axis=1) / np.where(lengths == 0.0, 1.0, lengths)
    return products.clip(-1.0, 1.0)
