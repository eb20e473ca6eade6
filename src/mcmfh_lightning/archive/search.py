"""Search of an archive by a text, a picture or an item."""

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from mcmfh_lightning.archive.filters import Filters, QueryError
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.queries import check_query_text, query_picture
from mcmfh_lightning.archive.ranking import Ranking
from mcmfh_lightning.archive.results import (
    RERANKED,
    Facets,
    Hit,
    IndexKind,
    Item,
    K,
    Modality,
    SearchResult,
    Side,
    Timing,
)
from mcmfh_lightning.archive.snapshot import Snapshot
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.archive.words import Synonyms, affirmed_labels
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import packed_width

if TYPE_CHECKING:
    from mcmfh_lightning.archive.model import QueryHasher


class Archive:
    """Archive of hashed cases; may be searched from several threads.

    A search sees the version of the archive that was opened until `refresh`, whatever is written meanwhile. Only
    searches by a text or a picture need torch and the encoder.

    Attributes:
        location: Where it is stored.
        info: What it was made with.

    Example:
        ``Archive.open("archive").search(text="enlarged heart with pleural effusion", k=5)``
    """

    def __init__(self, location: Location, info: ArchiveInfo, device: str, kind: IndexKind | None) -> None:
        self.location = location
        self.info = info
        self._device = device
        self._kind = kind
        self._hasher: QueryHasher | None = None
        self._loading = Lock()
        self._snapshot = Snapshot(ItemTable.open(location), info, kind)

    @classmethod
    def open(cls, path: str | Path, device: str = "cpu", index: IndexKind | None = None) -> Self:
        """Open an archive; the encoder is loaded by the first search for a text or a picture, or by `load`.

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
        """Switch to the newest version; return whether that is another one.

        Raises:
            DataError: If the archive cannot be read, or another one has taken its place.
        """
        info = ArchiveInfo.load(self.location)
        if info.uid != self.info.uid:
            raise DataError(f"{self.location} is another archive by now: open it again")
        table = ItemTable.open(self.location)
        if table.version == self.version:
            return False
        self.info = info  # its vocabulary grows
        self._snapshot = Snapshot(table, info, self._kind)
        return True

    def load(self) -> "QueryHasher":
        """Load encoder and hasher, and try them once: the first pass of a network takes longer than the others.

        Raises:
            DataError: If the archive's encoder cannot be built here, or is another one by now.
        """
        from mcmfh_lightning.archive import model  # imports torch, which other searches do without

        with self._loading:
            if self._hasher is None:
                self._hasher = model.load_query_hasher(self.location, self.info, self._device)
            return self._hasher

    def item(self, id: str) -> Item:  # noqa: A002  # as below
        """Return an item.

        Raises:
            UnknownItemError: If there is none of that id.
        """
        snapshot = self._snapshot
        [item] = snapshot.items(np.array([snapshot.row_of(id)]))
        return item

    def picture(self, id: str) -> bytes | None:  # noqa: A002  # as below
        """Return the picture of an item as a JPEG; None if it has none, or its collection cannot be read.

        Raises:
            UnknownItemError: If there is no item of that id.
        """
        snapshot = self._snapshot
        return snapshot.picture(snapshot.row_of(id))

    def facets(self) -> Facets:
        """Return the values that a search can be narrowed by, with their numbers of items."""
        return self._snapshot.facets

    def check_names(self, filters: Filters) -> None:
        """Refuse filters by labels, licenses, splits or groups that the archive does not have.

        Raises:
            UnknownError: If there is one.
        """
        self._snapshot.check_names(filters)

    def remaining(self, filters: Filters, against: Side = "case", id: str | None = None) -> Mapping[str, int]:  # noqa: A002  # as below
        """Count the items that each condition of a search leaves, alone.

        Args:
            filters: Conditions, counted under their names.
            against: Code that items must have, counted as ``against``.
            id: Item whose group is left out, counted as ``id``.

        Raises:
            UnknownError: If there is no such item, or a name is unknown to the archive.
        """
        snapshot = self._snapshot
        snapshot.check_names(filters)
        masks = snapshot.conditions(filters, against, None if id is None else snapshot.row_of(id))
        return {name: int(mask.sum()) for name, mask in masks.items()}

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

        The code of the query is computed from what is given alone. Where the archive's hasher makes it depend on what
        is searched, a search of cases has one code for items that have both an image and a text, and one each for
        those that have one of them. An item searches by the same codes as its own picture or text.

        By codes alone items are ordered by (distance, id). The nearest of them are then reranked by the cosine of
        their relaxed codes, the codes before the sign, where the archive keeps these: short codes tie in large numbers.

        Args:
            text: Text to search by.
            image: Picture to search by, or the path of one (JPEG, PNG, DICOM).
            id: Item of the archive to search by; it and the other items of its group are never found.
            modality: Whether its image or its text is searched by; its image by default, if it has one.
            k: Number of items to find; ignored if a radius is given.
            radius: Find all items at most this number of bits away.
            against: Code of the items; only items that have it are found.
            filters: Conditions on the items.
            rerank: Least number of the nearest to rerank, ties included; 0 for the ranking by codes alone.
            offset: Items of the ranking to skip.
            limit: Items to return at most, all by default.

        Returns:
            One page of the ranking.

        Raises:
            QueryError: If not exactly one query is given, or a number is out of its range.
            DataError: If the query cannot be used, or the archive's encoder cannot be built here.
        """
        if sum(query is not None for query in (text, image, id)) != 1:
            raise QueryError("search by one of text, image and id")
        if modality is not None and id is None:
            raise QueryError("modality chooses a code of an item: give its id")
        lowest = {"k": (k, 1), "radius": (radius, 0), "rerank": (rerank, 0), "offset": (offset, 0), "limit": (limit, 1)}
        for name, (number, least) in lowest.items():
            if number is not None and number < least:
                raise QueryError(f"{name}={number} is less than {least}")
        filters = filters or Filters()
        snapshot = self._snapshot
        snapshot.check_names(filters)
        started = perf_counter()
        picture: Image.Image | None = None  # before the encoder, for which one waits
        if text is not None:
            check_query_text(text)
        elif image is not None:
            picture = query_picture(image if isinstance(image, Image.Image) else Path(image), self.info.value_range)
        reading = perf_counter() - started
        hasher = self.load() if id is None else None
        started = perf_counter() - reading
        row, labels, query, counted = None, filters.named_labels, id or text or "", None
        if hasher is None:
            row = snapshot.row_of(query)
            [item] = snapshot.items(np.array([row]))
            modality = modality or ("image" if item.has_image else "text")
            labels += item.labels
            codes = snapshot.codes(row, modality, against)
        elif text is not None:
            modality = "text"
            labels += affirmed_labels(text, snapshot.facets.labels, Synonyms.load())
            codes = hasher.text(text, against)
            counted = hasher.count_tokens(text)
        else:
            assert picture is not None  # noqa: S101  # one of the three is given
            query = "picture" if isinstance(image, Image.Image) else Path(image or "").name
            modality = "image"
            codes = hasher.image(picture, against)
        encoded = perf_counter()
        candidates = snapshot.candidates(filters, against, row)
        near = snapshot.nearest(codes, against, max(k, rerank), radius, candidates)
        total = len(near) if radius is not None else min(k, len(near))
        searched = perf_counter()
        ranking = snapshot.reranked(near, codes, against, rerank)
        reranked = int((~np.isnan(ranking.similarities)).sum())
        ranking = ranking.part(0, total)
        ordered = perf_counter()
        last = int(near.distances[total - 1]) if total else -1  # where the ranking by codes alone ends
        hits = _hits(snapshot, ranking.part(offset, None if limit is None else offset + limit), offset, set(labels))
        return SearchResult(
            query=query,
            query_modality=modality,
            against=against,
            hits=hits,
            total=total,
            candidates=len(snapshot) if candidates is None else len(candidates),
            tie_distance=last if total else None,
            ties=int((near.distances == last).sum()),
            tied_shown=int((ranking.distances == last).sum()),
            reranked=reranked,
            num_bits=self.info.num_bits,
            code_bytes=packed_width(self.info.num_bits),
            index=snapshot.index(against).kind,
            timing=Timing(encoded - started, searched - encoded, ordered - searched, perf_counter() - ordered),
            query_tokens=None if counted is None else counted.tokens,
            query_tokens_read=None if counted is None else counted.read,
        )


def _hits(snapshot: Snapshot, page: Ranking, offset: int, labels: set[str]) -> tuple[Hit, ...]:
    found = zip(snapshot.items(page.rows), page.distances, page.similarities, strict=True)
    return tuple(
        Hit(
            rank=offset + place + 1,
            item=item,
            distance=int(distance),
            similarity=None if np.isnan(similarity) else float(similarity),
            shared_labels=tuple(label for label in item.labels if label in labels),
        )
        for place, (item, distance, similarity) in enumerate(found)
    )
