"""An archive that is searched."""

import re
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcmfh_lightning.archive.code_index import CodeIndex, IndexKind, faiss_on_one_thread
from mcmfh_lightning.archive.codes_cache import index_folder
from mcmfh_lightning.archive.filters import Filters, QueryError
from mcmfh_lightning.archive.identity import ArchiveInfo
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.archive.model import QueryCode, QueryHasher, load_query_hasher, query_picture
from mcmfh_lightning.archive.rerank import Ranking, cosines, looked_at_again, rerank, ties_at_the_end
from mcmfh_lightning.archive.results import Hit, Item, Modality, SearchResult, Side, Timing
from mcmfh_lightning.archive.snapshot import Facets, Snapshot
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.errors import DataError

K = 20
"""Items that are found if nothing else is asked for."""
RERANKED = 300
"""Nearest candidates that are ranked anew by default."""


class Archive:
    """An archive of hashed cases; may be searched from several threads.

    A search sees the version of the archive that was opened, however it is written to meanwhile, until `refresh`.

    Example:
        ``Archive.open("archive").search(text="enlarged heart with pleural effusion", k=5)``
    """

    def __init__(self, location: Location, info: ArchiveInfo, device: str, kind: IndexKind | None) -> None:
        self.location = location
        self.info = info
        """What the archive is made with."""
        self._device = device
        self._kind = kind
        self._hasher: QueryHasher | None = None
        self._loading = Lock()
        self._snapshot = self._snapshot_of(ItemTable.open(location))

    @classmethod
    def open(cls, path: str | Path, device: str = "cpu", index: IndexKind | None = None) -> Self:
        """Open an archive; the encoder is loaded when a text or a picture is first searched for, or by `load`.

        Args:
            path: A folder, or ``s3://bucket/prefix``.
            device: Where queries are encoded.
            index: ``flat`` or ``hash``; by the number of items if None. Both find the same.

        Raises:
            DataError: If there is none, or it cannot be read.
        """
        location = Location(path)
        return cls(location, ArchiveInfo.load(location), device, index)

    def __len__(self) -> int:
        return len(self._snapshot)

    @property
    def version(self) -> int:
        """Version of the table that is searched."""
        return self._snapshot.version

    def refresh(self) -> bool:
        """Go on to the newest version; returns whether that is another one.

        Raises:
            DataError: If the archive cannot be read, or another one has taken its place.
        """
        info = ArchiveInfo.load(self.location)
        if info.uid != self.info.uid:
            raise DataError(f"{self.location} was made anew: open it again")
        table = ItemTable.open(self.location)
        if table.version == self.version:
            return False
        self.info = info  # its vocabulary grows
        self._snapshot = self._snapshot_of(table)
        return True

    def load(self) -> None:
        """Load encoder and hasher now, and try them once: the first pass of a network takes longer than the others.

        Raises:
            DataError: If the archive's encoder cannot be built here, or is another one now.
        """
        self._query_hasher()

    def item(self, id: str) -> Item:  # noqa: A002  # as below
        """What is known of an item.

        Raises:
            UnknownItemError: If there is none of that id.
        """
        snapshot = self._snapshot
        [item] = snapshot.items(np.array([snapshot.row_of(id)]))
        return item

    def picture(self, id: str) -> bytes | None:  # noqa: A002  # as below
        """The picture of an item as a JPEG; None if it has none, or neither the archive nor its collection is at hand.

        Raises:
            UnknownItemError: If there is no item of that id.
        """
        snapshot = self._snapshot
        return snapshot.picture(snapshot.row_of(id))

    def knows_groups(self, filters: Filters) -> bool:
        """Whether there are items of each group that a filter asks for."""
        return self._snapshot.knows_groups(filters)

    def facets(self) -> Facets:
        """What a search can be narrowed by: labels, licences, splits and dates, with the number of items."""
        return self._snapshot.facets

    def search(
        self,
        *,
        text: str | None = None,
        image: Image.Image | str | Path | None = None,
        id: str | None = None,  # noqa: A002  # what it is called everywhere in the archive
        modality: Modality | None = None,
        k: int = K,
        radius: int | None = None,
        against: Side = "case",
        filters: Filters | None = None,
        rerank: int = RERANKED,
        offset: int = 0,
        limit: int | None = None,
    ) -> SearchResult:
        """Find the items whose codes are nearest to that of a query.

        By codes alone items are ordered by (distance, id). The nearest of them are then ordered anew by the cosine of
        what the codes were before the sign, where the archive keeps that: short codes tie in large numbers.

        Args:
            text: To search by a text.
            image: To search by a picture, or by the file of one (JPEG, PNG, DICOM).
            id: To search by an item of the archive; it and the other items of its group are never found.
            modality: Which code of that item; that of its image by default, if it has one.
            k: How many items; without a meaning if a radius is given.
            radius: All items at most so many bits away.
            against: Which code of the items; only items that have it are found.
            filters: Which items may be found.
            rerank: How many of the nearest are ranked anew at least, ties included; 0 for the ranking by codes alone.
            offset: Items of the ranking to pass over.
            limit: Items to return at most, all by default.

        Returns:
            One page of the ranking.

        Raises:
            QueryError: If not exactly one query is given, or a number is out of its range.
            DataError: If the query cannot be used, or the archive's encoder is not at hand.
        """
        if sum(query is not None for query in (text, image, id)) != 1:
            raise QueryError("search by one of text, image and id")
        _check_numbers(k, radius, rerank, offset, limit)
        if modality is not None and id is None:
            raise QueryError("modality chooses a code of an item: give its id")
        filters = filters or Filters()
        snapshot = self._snapshot
        started = perf_counter()
        own_group: int | None = None
        labels: tuple[str, ...] = ()
        if id is not None:
            row = snapshot.row_of(id)
            [item] = snapshot.items(np.array([row]))
            modality = modality or ("image" if item.has_image else "text")
            name, labels, own_group = id, item.labels, snapshot.group_of(row)
            code = snapshot.code(row, modality)
        elif text is not None:
            hasher = self._query_hasher()
            started = perf_counter()
            name, modality, labels = text, "text", labels_named(text, snapshot.facets.labels)
            code = hasher.text(text)
        else:
            hasher = self._query_hasher()
            started = perf_counter()
            picture = image if isinstance(image, Image.Image) else Path(image or "")
            name = picture.name if isinstance(picture, Path) else "picture"
            modality = "image"
            code = hasher.image(query_picture(picture, self.info.value_range))
        encoded = perf_counter()
        candidates = snapshot.candidates(filters, against, own_group)
        index = snapshot.index(against)
        near = _near(index, code, max(k, rerank) if radius is None else None, radius, candidates)
        total = len(near) if radius is not None else min(k, len(near))
        searched = perf_counter()
        ranking = _ranked_anew(snapshot, near, code, against, rerank)
        reranked = int((~np.isnan(ranking.similarities)).sum())
        ranking = ranking.part(0, total)
        ordered = perf_counter()
        ties = ties_at_the_end(near, ranking)
        page = ranking.part(offset, None if limit is None else offset + limit)
        hits = _hits(snapshot, page, offset, {*labels, *filters.named_labels})
        return SearchResult(
            query=name,
            query_modality=modality,
            against=against,
            hits=hits,
            total=total,
            candidates=len(snapshot) if candidates is None else len(candidates),
            tie_distance=ties.distance,
            ties=ties.number,
            tied_shown=ties.shown,
            reranked=reranked,
            num_bits=self.info.num_bits,
            code_bytes=len(code.packed),
            index=index.kind,
            timing=Timing(encoded - started, searched - encoded, ordered - searched, perf_counter() - ordered),
        )

    def _snapshot_of(self, table: ItemTable) -> Snapshot:
        return Snapshot(table, self.info, index_folder(self.location, self.info.uid), self._kind)

    def _query_hasher(self) -> QueryHasher:
        with self._loading:
            if self._hasher is None:
                self._hasher = load_query_hasher(self.location, self.info, self._device)
            return self._hasher


def labels_named(text: str, vocabulary: Iterable[str]) -> tuple[str, ...]:
    """Labels whose words a text has, in whatever case; also those that MeSH writes the other way round.

    >>> labels_named("No pleural effusion, indwelling catheters", ["Catheters, Indwelling", "Lung", "Pleural Effusion"])
    ('Catheters, Indwelling', 'Pleural Effusion')
    """
    words = f" {_words(text)} "
    return tuple(
        label
        for label in vocabulary
        if any(f" {_words(form)} " in words for form in (label, " ".join(reversed(label.split(",")))) if _words(form))
    )


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _check_numbers(k: int, radius: int | None, rerank: int, offset: int, limit: int | None) -> None:
    numbers = [("k", k, 1), ("radius", radius, 0), ("rerank", rerank, 0), ("offset", offset, 0), ("limit", limit, 1)]
    for name, number, least in numbers:
        if number is not None and number < least:
            raise QueryError(f"{name}={number} is less than {least}")


def _near(
    index: CodeIndex, code: QueryCode, depth: int | None, radius: int | None, candidates: NDArray[np.int64] | None
) -> Ranking:
    """All items at most so many bits away, or so many of the nearest with all that tie with the last of them."""
    with faiss_on_one_thread():
        if radius is None:
            distances, _ = index.nearest(code.packed, depth or 0, candidates)
            radius = int(distances[-1]) if len(distances) else 0
        return Ranking.by_codes(*index.within(code.packed, radius, candidates))


def _ranked_anew(snapshot: Snapshot, near: Ranking, code: QueryCode, side: Side, number: int) -> Ranking:
    """The ranking with its head ordered by similarity, where the archive keeps what that takes."""
    head = looked_at_again(near, number)
    relaxed = snapshot.relaxed(side, near.rows[:head]) if head and code.relaxed is not None else None
    if relaxed is None or code.relaxed is None:
        return near
    return rerank(near, cosines(code.relaxed, relaxed))


def _hits(snapshot: Snapshot, page: Ranking, offset: int, wanted: set[str]) -> tuple[Hit, ...]:
    return tuple(
        Hit(
            rank=offset + place + 1,
            item=item,
            distance=int(distance),
            similarity=None if np.isnan(similarity) else float(similarity),
            shared_labels=tuple(label for label in item.labels if label in wanted),
        )
        for place, (item, distance, similarity) in enumerate(
            zip(snapshot.items(page.rows), page.distances, page.similarities, strict=True)
        )
    )
