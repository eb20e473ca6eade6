"""Records that a search returns; this module imports nothing but the standard library."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Modality = Literal["image", "text"]
# Code of an item that a query is compared with: of its image alone, of its text alone, or the one code of the case,
# which sees whatever the item has (protocols `unimodal` and `asymmetric`).
Side = Literal["image", "text", "case"]
IndexKind = Literal["flat", "hash"]
# What the code of an item may be of, by the side that a search compares with: the case of an item that lacks a modality
# is the other one, for which a query has another code.
COMPARED: Mapping[Side, tuple[Side, ...]] = {"image": ("image",), "text": ("text",), "case": ("case", "image", "text")}

K = 20  # items that a search finds by default
RERANKED = 300  # nearest candidates that are reranked by default
NOTICE: Literal["Research use, not diagnosis."] = "Research use, not diagnosis."


@dataclass(frozen=True)
class Item:
    """Item of an archive, without its picture (see `Archive.picture`).

    Attributes:
        id: Unique in the archive.
        group: Name of its study, article or patient, as the collection writes it.
        split: ``train``, ``val`` or ``test`` of its collection, or None.
        has_image: Whether it has an image.
        has_text: Whether it has a text.
        labels: Its labels.
        date: ISO date, or None.
        licence: Its licence.
        source: Where it comes from.
        text: None without a text, and where the archive stores no content and its collection cannot be read.
    """

    id: str
    group: str
    split: str | None
    has_image: bool
    has_text: bool
    labels: tuple[str, ...]
    date: str | None
    licence: str
    source: str
    text: str | None


@dataclass(frozen=True)
class Hit:
    """Item that a search found.

    Attributes:
        rank: Place in the whole ranking, from 1.
        item: The item.
        distance: Hamming distance of the codes, in bits.
        similarity: Cosine of the relaxed codes in [-1, 1], or None if the hit was not reranked.
        shared_labels: Labels of the item that the query has: those of a query item, those that the words of a text
            name, and those filtered by.
    """

    rank: int
    item: Item
    distance: int
    similarity: float | None
    shared_labels: tuple[str, ...]


@dataclass(frozen=True)
class Timing:
    """Seconds that each part of a search took; ``search`` includes the filters."""

    encode: float
    search: float
    rerank: float
    fetch: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return self.encode + self.search + self.rerank + self.fetch


@dataclass(frozen=True)
class SearchResult:
    """Page of a ranking, and how the ranking was made.

    Attributes:
        query: The text, the name of the file, or the id of the item.
        query_modality: Modality that the code of the query was computed from.
        against: Code of the items that it was compared with.
        hits: The page.
        total: Length of the whole ranking: at most ``k``, or all items within the radius.
        candidates: Items that passed the filters and have the code that was asked for.
        tie_distance: Distance of the last item of the ranking by codes alone, or None if nothing was found.
        ties: Candidates at exactly that distance, which codes alone can only order by id.
        tied_shown: Number of these that are in the ranking.
        reranked: Candidates that were reranked by stored relaxed codes.
        num_bits: Bits of a code.
        code_bytes: Bytes of a code in the index.
        index: Kind of the index.
        timing: Where the time went.
        query_tokens: Tokens of a text, special ones included; None for other queries.
        query_tokens_read: How many of them the encoder read, the first; the others had no part in the search.
    """

    query: str
    query_modality: Modality
    against: Side
    hits: tuple[Hit, ...]
    total: int
    candidates: int
    tie_distance: int | None
    ties: int
    tied_shown: int
    reranked: int
    num_bits: int
    code_bytes: int
    index: IndexKind
    timing: Timing
    query_tokens: int | None = None
    query_tokens_read: int | None = None


@dataclass(frozen=True)
class Facets:
    """Values that a search can be narrowed by, each with its number of items, the most frequent first.

    Attributes:
        items: Number of all items.
        with_image: Items with an image.
        with_text: Items with a text.
        labels: Labels, including those of the archive's vocabulary that occur nowhere.
        licences: Licences.
        splits: Splits; items without a split count nowhere.
        dates: Earliest and latest date, or None if no item has a date.
    """

    items: int
    with_image: int
    with_text: int
    labels: Mapping[str, int]
    licences: Mapping[str, int]
    splits: Mapping[str, int]
    dates: tuple[str, str] | None
