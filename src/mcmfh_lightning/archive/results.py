"""What a search returns."""

from dataclasses import dataclass
from typing import Literal

Side = Literal["image", "text", "case"]
"""Which code of an item a query is compared with: that of its image alone, of its text alone, or the one code of the
case, which sees what the item has (protocols ``unimodal`` and ``asymmetric``)."""

Modality = Literal["image", "text"]


@dataclass(frozen=True)
class Item:
    """What an archive knows of an item, its picture left out (`Archive.picture`)."""

    id: str
    group: str
    """The collection's own name of its study, article or patient."""
    split: str | None
    """``train``, ``val``, ``test`` of the collection it comes from; None for one added without."""
    has_image: bool
    has_text: bool
    labels: tuple[str, ...]
    date: str | None
    """ISO date."""
    licence: str
    source: str
    text: str | None
    """None also where the archive stores no content and its collection cannot be read."""


@dataclass(frozen=True)
class Hit:
    """An item that was found."""

    rank: int
    """From 1, over the whole result, not the page."""
    item: Item
    distance: int
    """Hamming distance of the codes, in bits."""
    similarity: float | None
    """Cosine of the relaxed codes, where the hit was ranked by it anew; in [-1, 1]."""
    shared_labels: tuple[str, ...]
    """Labels of the item that the query has: those of a query item, those that a query's text names, those filtered
    by."""


@dataclass(frozen=True)
class Timing:
    """Where the time of a search went, in seconds."""

    encode: float
    search: float
    """Filters included."""
    rerank: float
    fetch: float

    @property
    def total(self) -> float:
        """All together."""
        return self.encode + self.search + self.rerank + self.fetch


@dataclass(frozen=True)
class SearchResult:
    """Hits in order, and how they came about."""

    query: str
    """For people: the text, the file's name or the item's id."""
    query_modality: Modality
    """What the query's code was computed from."""
    against: Side
    hits: tuple[Hit, ...]
    """One page of the ranking."""
    total: int
    """Items that were ranked, before paging: at most ``k``, or all within the radius."""
    candidates: int
    """Items that passed the filters and have the code that was asked for."""
    tie_distance: int | None
    """Distance at which the ranking by codes alone ends, that of its last item; None if nothing was found."""
    ties: int
    """Candidates at exactly that distance, which codes alone can only order by id."""
    tied_shown: int
    """How many of these are in the ranking."""
    reranked: int
    """How many candidates were ranked anew by stored relaxed codes; 0 if none."""
    num_bits: int
    code_bytes: int
    """Bytes of a code in the index."""
    index: Literal["flat", "hash"]
    timing: Timing
