"""One version of an archive: its items, its codes, the indexes over them, and rankings by both."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mcmfh_lightning.archive.codes_cache import open_codes
from mcmfh_lightning.archive.filters import Filters, Mask, UnknownError, UnknownItemError, check_groups
from mcmfh_lightning.archive.flat_index import FlatIndex, faiss_on_one_thread
from mcmfh_lightning.archive.indexes import check_kind, code_index
from mcmfh_lightning.archive.info import ArchiveInfo
from mcmfh_lightning.archive.ranking import Ranking, at_least, cosines, head_length, merged, rerank
from mcmfh_lightning.archive.results import COMPARED, Against, Facets, IndexKind, Item, Modality, Side
from mcmfh_lightning.archive.schema import (
    QUERIES,
    QueryCode,
    QueryCodes,
    code_array,
    count_facets,
    relaxed_array,
    thumbnail,
)
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.archive.store_rows import ROW_ID
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.searches import find_search
from mcmfh_lightning.shards import DATASET_FILE, Pair, PairShardReader
from mcmfh_lightning.shards.folder import is_url

if TYPE_CHECKING:
    from lancedb.query import FullTextQuery

_KNOWN = ["id", "group_name", "split", "has_image", "has_text", "labels", "date", "licence"]  # of an item, mapped
_STORED = ["source", "text"]  # of an item, in the table alone: a column costs about a millisecond
_PLACE = ["folder", "shard"]  # of content that is not in the table


class Snapshot:
    """Version of an archive; it never changes and may be used from several threads.

    Args:
        table: Table, opened at that version.
        info: Description of the archive.
        kind: How to search; by the number of items if None.

    Raises:
        ConfigError: If a hash table is asked for and the codes are too long for it.
        DataError: If an item has a code without that modality, or the other way round.
    """

    def __init__(self, table: ItemTable, info: ArchiveInfo, kind: IndexKind | None) -> None:
        check_kind(kind, info.num_bits)
        self._table = table
        self._info = info
        self._kind = kind
        self._codes = open_codes(table, info)
        self.version = table.version
        # Now, not in the first search: counting labels, and what LanceDB does when it first reads rows.
        _ = self.facets
        self._take(np.arange(min(1, len(self))), [*_STORED, *_PLACE])
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
                codes, table = self._codes.codes[side], self._codes.tables.get(side)
                self._indexes[side] = code_index(codes, self._info.num_bits, self._kind, table)
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

    def candidates(self, filters: Filters, side: Side, query_rows: Sequence[int]) -> NDArray[np.int64] | None:
        """Find the rows that a search may return.

        Args:
            filters: Conditions that they meet.
            side: Code that they have.
            query_rows: Rows of items whose groups are left out.

        Returns:
            Rows, ascending; None for all.
        """
        masks = self.conditions(filters, side, query_rows)
        return np.flatnonzero(np.logical_and.reduce(list(masks.values()))) if masks else None

    def conditions(self, filters: Filters, side: Side, query_rows: Sequence[int]) -> dict[str, Mask]:
        """Find the items that meet each condition of a search; see `candidates`.

        Returns:
            (N,) bool by the name of the argument of `Archive.search` or of `Filters` that sets it.
        """
        masks = filters.conditions(self._codes.items)
        present = self._codes.present[side]
        if present is not None:
            masks["against"] = present
        if query_rows:
            groups = self._codes.items["group"].to_numpy()
            masks["id"] = ~np.isin(groups, groups[list(query_rows)])
        return masks

    def codes(self, row: int, modality: Modality, against: Against) -> QueryCodes:
        """Return the codes of an item's image or text as a query: those that a search by the picture or the text has.

        Args:
            row: Row of the item.
            modality: What is searched by.
            against: Code of the items that it is compared with.

        Raises:
            UnknownError: If the item lacks it.
        """
        present = self._codes.present[modality]
        if present is not None and not present[row]:
            fix = f"has no {modality}: search by its other modality"
            raise UnknownError(f"item {self._codes.items['id'][row].as_py()!r} {fix}", f"the item {fix}")
        if not self._info.query_codes:
            kept = self._codes.relaxed.get(modality)
            code = QueryCode(np.array(self._codes.codes[modality][row]), None if kept is None else np.array(kept[row]))
            return {COMPARED[against][0]: code}
        found = self._take(np.array([row]), [f"{modality}_query_codes", f"{modality}_query_relaxed"])
        searches = QUERIES[modality]
        packed = code_array(found[f"{modality}_query_codes"]).reshape(len(searches), -1)
        relaxed = relaxed_array(found[f"{modality}_query_relaxed"]).reshape(len(searches), -1)
        places = {side: searches.index(find_search(modality, side)) for side in COMPARED[against]}
        kept = relaxed if self._info.keep_relaxed else None
        return {side: QueryCode(packed[place], None if kept is None else kept[place]) for side, place in places.items()}

    def item_code(self, row: int) -> QueryCode:
        """Return the code of an item's image."""
        kept = self._codes.relaxed.get("image")
        return QueryCode(np.array(self._codes.codes["image"][row]), None if kept is None else np.array(kept[row]))

    def distances(self, codes: QueryCodes, side: Side, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the bits in which items differ from a query."""
        found, items = np.zeros(len(rows), np.int64), self._codes.codes[side]
        for code, places in self._shares(codes, rows):
            here = slice(None) if places is None else places
            found[here] = np.bitwise_count(items[rows[here]] ^ code.packed).sum(axis=1)
        return found

    def having(self, side: Side, rows: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
        """Select the rows that have the code of a side; None stands for all."""
        present = self._codes.present[side]
        if present is None:
            return rows
        return np.flatnonzero(present) if rows is None else rows[present[rows]]

    @cached_property
    def no_words(self) -> str | None:
        """Say why words cannot be searched, and the fix; None if they can."""
        if not self._info.store_content:
            return "the archive keeps no texts: build it with --store-content to search by words"
        if not self._table.has_words:
            return "the archive has no index of words, which `mcmfh-archive reindex` makes"
        return None if self.facets.with_text else "no item of the archive has a text"

    def by_words(self, query: "FullTextQuery") -> NDArray[np.int64]:
        """Find all items by their words; the best first, ties by row."""
        found = self._table.find_words(query)
        rows = self._row_order[np.searchsorted(self._row_ids, found.row_ids)]
        return rows[np.lexsort((rows, -found.scores))]

    @cached_property
    def _row_order(self) -> NDArray[np.int64]:
        """Rows in the order of the table's names of them, (N,)."""
        return np.argsort(self._codes.items[ROW_ID].to_numpy())

    @cached_property
    def _row_ids(self) -> NDArray[np.uint64]:
        """Names of rows in the table, (N,) ascending."""
        ids: NDArray[np.uint64] = self._codes.items[ROW_ID].to_numpy()[self._row_order]
        return ids

    def nearest(
        self, codes: QueryCodes, side: Side, depth: int, radius: int | None, candidates: NDArray[np.int64] | None
    ) -> Ranking:
        """Rank all items within a radius, or the nearest ``depth`` with all that tie with the last of them."""
        index = self.index(side)
        shares = [
            (code.packed, candidates if places is None else places if candidates is None else candidates[places])
            for code, places in self._shares(codes, candidates)
        ]
        with faiss_on_one_thread():
            if radius is None:
                nearest = [index.nearest(code, depth, rows)[0] for code, rows in shares]
                distances = np.sort(np.concatenate(nearest))[:depth]
                radius = int(distances[-1]) if len(distances) else 0
            found = [Ranking.by_codes(*index.within(code, radius, rows)) for code, rows in shares]
        return found[0] if len(found) == 1 else merged(found)

    def reranked(self, near: Ranking, codes: QueryCodes, side: Side, number: int) -> Ranking:
        """Order the head of a ranking by similarity, where the archive keeps codes before the sign."""
        head = near.rows[: head_length(near, number)]
        if not len(head) or side not in self._codes.relaxed:
            return near
        relaxed, similarities = self._codes.relaxed[side], np.empty(len(head))
        for code, places in self._shares(codes, head):
            assert code.relaxed is not None  # noqa: S101  # the archive keeps them
            here = slice(None) if places is None else places
            similarities[here] = cosines(code.relaxed, relaxed[head[here]])
        return rerank(near, similarities)

    def alike(self, picture: QueryCode, near: Ranking, least: float) -> Ranking:
        """Select the items whose image has a cosine of at least ``least`` with a picture, the most similar first.

        Args:
            picture: Code of the picture as that of an item.
            near: Items whose image may be selected, by codes; those at distance 0 are where the archive does not keep
                the codes before the sign.
            least: Smallest cosine.
        """
        if "image" not in self._codes.relaxed:
            return near.part(0, int((near.distances == 0).sum()))
        assert picture.relaxed is not None  # noqa: S101  # the archive keeps them
        # `numpy.take`: as in `FlatIndex`.
        images = np.take(self._codes.relaxed["image"], near.rows, axis=0)
        places, similarities = at_least(least, picture.relaxed, images)
        return rerank(Ranking.by_codes(near.distances[places], near.rows[places]), similarities)

    def _shares(
        self, codes: QueryCodes, rows: NDArray[np.int64] | None
    ) -> list[tuple[QueryCode, NDArray[np.int64] | None]]:
        """Find out which items each code of a query is compared with.

        Args:
            codes: Codes by what the items have.
            rows: Rows to divide; None for all.

        Returns:
            Codes, each with places in ``rows``; None for all places.
        """
        whole = self._codes.present["image"] is None and self._codes.present["text"] is None
        if len(codes) == 1 or whole:
            return [(codes.get("case", next(iter(codes.values()))), None)]
        kinds = self._kinds if rows is None else self._kinds[rows]
        return [(codes[side], np.flatnonzero(kinds == number)) for number, side in enumerate(COMPARED["case"])]

    @cached_property
    def _kinds(self) -> NDArray[np.int8]:
        """Tell what each item has, as a place in ``COMPARED["case"]``, (N,): both, an image alone, or a text alone."""
        image, text = (
            np.ones(len(self), dtype=np.bool_) if has is None else has
            for has in (self._codes.present["image"], self._codes.present["text"])
        )
        return np.where(image & text, 0, np.where(image, 1, 2)).astype(np.int8)

    def known(self, rows: Sequence[int] | NDArray[np.int64]) -> list[dict[str, Any]]:
        """Return what filters know of items, in the given order, by the names of the columns: it is in memory."""
        found: list[dict[str, Any]] = self._codes.items.select(_KNOWN).take(pa.array(rows, pa.int64())).to_pylist()
        return found

    def items(self, rows: NDArray[np.int64]) -> list[Item]:
        """Return items, in the given order."""
        stored = self._take(rows, [*_STORED, *_PLACE]).to_pylist()
        found = [known | others for known, others in zip(self.known(rows), stored, strict=True)]
        for row in found:
            if row["text"] is None and row["has_text"]:
                pair = _pair_of(row)
                row["text"] = None if pair is None else pair.text
        return [
            Item(
                **{name: row[name] for name in (*_KNOWN, *_STORED) if name not in ("group_name", "labels")},
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
