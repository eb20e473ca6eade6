"""Search of an archive by a text, a picture or an item."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any, Concatenate, ParamSpec, Self

import numpy as np

from mcmfh_lightning.archive.asking import Asked, HashesQueries, ask, choose_match
from mcmfh_lightning.archive.explaining import explain, why
from mcmfh_lightning.archive.filters import Filters
from mcmfh_lightning.archive.finding import Found, find, reasons_of
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.queries import Query
from mcmfh_lightning.archive.results import (
    Facets,
    Hit,
    IndexKind,
    Item,
    Reason,
    SearchResult,
    Side,
    Timing,
)
from mcmfh_lightning.archive.snapshot import Snapshot
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.archive.words import Synonyms
from mcmfh_lightning.errors import ConfigError, DataError
from mcmfh_lightning.shards import packed_width

_Fields = ParamSpec("_Fields")
_BY_WORDS = Reason("words", None, None, None)  # alone: there are no codes


def _with_fields_of(
    record: Callable[_Fields, Query],
) -> Callable[[Callable[..., SearchResult]], Callable[Concatenate["Archive", _Fields], SearchResult]]:
    """Give a method the arguments of a query, for type checkers and `help`: each is declared once."""

    def decorate(method: Callable[..., SearchResult]) -> Callable[Concatenate["Archive", _Fields], SearchResult]:
        declared = inspect.signature(method)
        own, fields = declared.parameters["self"], inspect.signature(record).parameters.values()
        method.__signature__ = declared.replace(parameters=[own, *fields])  # type: ignore[attr-defined]  # inspect reads it
        return method

    return decorate


def check_torch() -> None:
    """Refuse to build an encoder where torch is not installed.

    Raises:
        ConfigError: If it is not.
    """
    if find_spec("torch") is None:
        raise ConfigError(
            "torch is not installed, and no exported model is given: pass --model FOLDER (compare: --old-model and "
            "--new-model; in Python model=FOLDER), which `mcmfh export` writes, or pip install 'mcmfh-lightning[train]'"
        )


class SwitchedError(DataError):
    """Link that names another archive by now."""


class Archive:
    """Archive of hashed cases; may be searched from several threads.

    A search sees the version of the archive that was opened until `refresh`, whatever is written meanwhile. Only
    searches by a text or a picture need the encoder, and torch or an exported model.

    Attributes:
        location: Where it is stored.
        info: What it was made with.

    Example:
        ``Archive.open("archive").search(text="enlarged heart with pleural effusion", k=5)``
    """

    def __init__(
        self,
        location: Location,
        info: ArchiveInfo,
        device: str,
        kind: IndexKind | None,
        synonyms: Synonyms,
        model: Path | None,
    ) -> None:
        self.location = location
        self.info = info
        self._device = device
        self._model = model
        self._kind = kind
        self._synonyms = synonyms
        self._hasher: HashesQueries | None = None
        self._loading = Lock()
        self._snapshot = Snapshot(ItemTable.open(location), info, kind)

    @classmethod
    def open(
        cls,
        path: str | Path,
        device: str = "cpu",
        index: IndexKind | None = None,
        synonyms: str | Path | None = None,
        model: str | Path | None = None,
    ) -> Self:
        """Open an archive; the encoder is loaded by the first search for a text or a picture, or by `load`.

        Args:
            path: A folder, or ``s3://bucket/prefix``.
            device: Where queries are encoded.
            index: ``flat``, or ``hash`` for codes of at most 24 bits; both find the same. By the number of items if
                None.
            synonyms: YAML file of lay words for what reports name, as ``cardiomegaly: [big heart]``; it adds to the
                table of this package.
            model: Folder that `mcmfh export` wrote of the archive's hasher: queries are then encoded without torch, on
                the CPU.

        Raises:
            ConfigError: If another device than the CPU is given with a model.
            DataError: If there is none, or it or the file cannot be read.
        """
        if model is not None and device != "cpu":
            raise ConfigError(f"device={device}: an exported model runs on the cpu, leave it out")
        location = Location(path)
        table = Synonyms.load(synonyms)
        return cls(location, ArchiveInfo.load(location), device, index, table, None if model is None else Path(model))

    def __len__(self) -> int:
        return len(self._snapshot)

    @property
    def version(self) -> int:
        """Version of the table that is searched."""
        return self._snapshot.version

    def refresh(self) -> bool:
        """Switch to the newest version; return whether that is another one.

        Raises:
            SwitchedError: If the archive was opened by a link, which names another one by now. This one can be searched
                as before.
            DataError: If the archive cannot be read, or another one has taken its place.
        """
        location = Location(self.location.address)
        if location.uri != self.location.uri:
            raise SwitchedError(f"{location} names another archive by now: open it again")
        info = ArchiveInfo.load(location)
        if info.uid != self.info.uid:
            raise DataError(f"{self.location} is another archive by now: open it again")
        table = ItemTable.open(location)
        if table.version == self.version:
            return False
        self.info = info  # its vocabulary grows
        self._snapshot = Snapshot(table, info, self._kind)
        return True

    @property
    def is_loaded(self) -> bool:
        """Tell whether encoder and hasher are loaded."""
        return self._hasher is not None

    def load(self) -> HashesQueries:
        """Load encoder and hasher, and try them once: the first pass of a network takes longer than the others.

        Raises:
            DataError: If the archive's encoder cannot be built here, or is another one by now.
        """
        with self._loading:
            if self._hasher is None:
                self._hasher = self._load()
            return self._hasher

    def _load(self) -> HashesQueries:
        if self._model is not None:
            from mcmfh_lightning.archive import exported  # imports onnxruntime

            return exported.load_exported(self._model, self.location, self.info)
        check_torch()
        from mcmfh_lightning.archive import model  # imports torch, which other searches do without

        return model.load_query_hasher(self.location, self.info, self._device)

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

    def remaining(self, query: Query) -> Mapping[str, int]:
        """Count the items that each condition of a query leaves, alone.

        Args:
            query: The query; its filters are counted under their names, the code that items must have as ``against``,
                and the groups that are left out as ``id``.

        Raises:
            UnknownError: If there is no such item, or a name is unknown to the archive.
        """
        snapshot = self._snapshot
        snapshot.check_names(query.filters)
        side: Side = "case" if query.against is None or query.against == "both" else query.against
        masks = snapshot.conditions(query.filters, side, [snapshot.row_of(item) for item in query.ids])
        return {name: int(mask.sum()) for name, mask in masks.items()}

    @_with_fields_of(Query)
    def search(self, **fields: Any) -> SearchResult:  # noqa: ANN401  # typed by the decorator
        """Find the items that a query asks for; the arguments are those of `Query`, see `find`."""
        return self.find(Query(**fields))

    def find(self, query: Query) -> SearchResult:
        """Find the items that a query asks for.

        By codes: those whose codes are nearest to that of the query, which is computed from what is given alone. Where
        the archive's hasher makes it depend on what is searched, a search of cases has one code for items that have
        both an image and a text, and one each for those that have one of them. An item searches by the same codes as
        its own picture or text. Items are ordered by (distance, id). The nearest of them are then reranked by the
        cosine of their relaxed codes, the codes before the sign, where the archive keeps these: short codes tie in
        large numbers.

        By words: those whose text has words of the query, ordered by BM25 of LanceDB, then by id. What the query asks
        not to be there is left out.

        By both: the two rankings are joined by the sum of their reciprocal ranks, then by id; `Hit.reasons` says where
        a hit is in each. The rankings by each of several items are joined in the same way.

        A film is compared with cases; pictures that are the query's, or nearly, come first, as far as their codes tell.

        Args:
            query: The query.

        Returns:
            One page of the ranking.

        Raises:
            UnknownError: If the archive lacks the item, a label, a license, a split or the words.
            DataError: If the query cannot be used, or the archive's encoder cannot be built here.
        """
        snapshot = self._snapshot
        snapshot.check_names(query.filters)
        match = choose_match(snapshot, query)
        started = perf_counter()
        picture = query.picture(self.info.value_range)  # before the encoder, for which one waits
        reading = perf_counter() - started
        if query.needs_encoder:
            self.load()
        started = perf_counter() - reading
        asked = ask(snapshot, query, match, picture, self.load, self._synonyms)
        encoded = perf_counter()
        found = find(snapshot, asked)
        fetching = perf_counter()
        hits = _hits(snapshot, asked, found, {*query.filters.named_labels, *asked.labels})
        counted = None if query.text is None or not asked.codes else self.load().count_tokens(query.text)
        result = SearchResult(
            query=query.name,
            query_modality=asked.modality,
            query_items=len(asked.rows),
            against=asked.against,
            hits=hits,
            total=len(found.rows),
            candidates=found.candidates,
            tie_distance=found.ties.distance,
            ties=found.ties.candidates,
            tied_shown=found.ties.shown,
            tied_reranked=found.ties.reranked,
            reranked=found.reranked,
            num_bits=self.info.num_bits,
            code_bytes=packed_width(self.info.num_bits),
            index=snapshot.index(asked.side).kind if asked.codes else None,
            timing=Timing(encoded - started, *found.seconds, perf_counter() - fetching),
            query_tokens=None if counted is None else counted.tokens,
            query_tokens_read=None if counted is None else counted.read,
            match=asked.match,
            with_words=found.with_words,
            without=() if asked.words is None else asked.words.negated,
            affirming=found.affirming,
            no_words=snapshot.no_words if query.text is not None and query.match is None else None,
            equal=None if found.alike is None else found.alike.equal,
            near_equal=None if found.alike is None else len(found.alike.near),
        )
        return replace(result, explained=explain(result))


def _hits(snapshot: Snapshot, asked: Asked, found: Found, labels: set[str]) -> tuple[Hit, ...]:
    """Fetch one page of a ranking."""
    start, limit = asked.query.offset, asked.query.limit
    page = found.rows[start : None if limit is None else start + limit]
    fetched = zip(snapshot.items(page), reasons_of(snapshot, asked, found, page), strict=True)
    hits = []
    for place, (item, reasons) in enumerate(fetched, start + 1):
        codes = min((one for one in reasons if one.by == asked.side), key=_distance, default=_BY_WORDS)
        shared = tuple(label for label in item.labels if label in labels)
        alike = reasons[0].by == "picture"
        hit = Hit(place, item, codes.distance, codes.similarity, shared, reasons, alike)
        hits.append(replace(hit, why=why(hit)))
    return tuple(hits)


def _distance(codes: Reason) -> tuple[float, float]:
    """Order the codes of several items by how near they are."""
    return codes.distance or 0, -(codes.similarity or 0.0)
