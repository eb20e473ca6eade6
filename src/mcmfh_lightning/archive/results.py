"""Records that a search returns; this module imports nothing but the standard library."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]  # pandas has no types of its own

Modality = Literal["image", "text"]
# Code of an item that a query is compared with: of its image alone, of its text alone, or the one code of the case,
# which sees whatever the item has (protocols `unimodal` and `asymmetric`).
Side = Literal["image", "text", "case"]
# What a search compares a query with: codes of one side; or `both`, where pictures come first that are the query's, or
# nearly, as far as codes of images tell, and then cases. Joining both rankings found fewer relevant cases.
Against = Literal["case", "image", "text", "both"]
# Whether a text is searched by its code, by its words, or by both.
Match = Literal["codes", "words", "both"]
# What a ranking is made by: the words of reports, codes of one side, or codes of images that are nearly the query's.
Source = Literal["words", "picture", "case", "image", "text"]
IndexKind = Literal["flat", "hash"]
# What the code of an item may be of, by the side that a search compares with: the case of an item that lacks a modality
# is the other one, for which a query has another code.
COMPARED: Mapping[Against, tuple[Side, ...]] = {
    "image": ("image",),
    "text": ("text",),
    "case": ("case", "image", "text"),
    "both": ("case", "image", "text"),
}

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
class Reason:
    """Place of a hit in one of the rankings that a search joins.

    Attributes:
        by: What the ranking is by: the words of reports, the codes of cases, images or texts, or the pictures that are
            nearly the query's, or the same.
        rank: Place in it, from 1; None if the hit is not among its first.
        distance: Hamming distance of these codes, in bits; None by words, and for an item without such a code.
        similarity: Cosine of the relaxed codes in [-1, 1]; None if the hit was not reranked.
        item: Item that the ranking is by, where several are searched by; else None.
    """

    by: Source
    rank: int | None
    distance: int | None
    similarity: float | None
    item: str | None = None


@dataclass(frozen=True)
class Hit:
    """Item that a search found.

    Attributes:
        rank: Place in the whole ranking, from 1.
        item: The item.
        distance: Hamming distance of the codes, in bits; of several items, to the nearest. None where words alone are
            searched.
        similarity: Cosine of the relaxed codes in [-1, 1], or None if the hit was not reranked.
        shared_labels: Labels of the item that the query has: those of a query item, those that the words of a text
            name, and those filtered by.
        reasons: Place in each of the rankings that were joined.
        alike: Whether its image is the query's, or nearly, as far as their codes tell.
        why: The reasons in words.
    """

    rank: int
    item: Item
    distance: int | None
    similarity: float | None
    shared_labels: tuple[str, ...]
    reasons: tuple[Reason, ...] = ()
    alike: bool = False
    why: str = ""


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
        query: The text, the name of the file, or the ids of the items.
        query_modality: Modality that the code of the query was computed from; of several items, that of the first.
        against: Code of the items that it was compared with, or ``both`` where (nearly) equal pictures come first, then
            cases.
        hits: The page.
        total: Length of the whole ranking: at most ``k``, or all items within the radius.
        candidates: Items that passed the filters and have the code that was asked for.
        tie_distance: Distance of the last item of the ranking by codes alone; None if nothing was found, and where
            rankings are joined or words were searched.
        ties: Candidates at exactly that distance, which codes alone can only order by id.
        tied_shown: Number of these that are in the ranking.
        tied_reranked: Number of these that stored relaxed codes have put in order.
        reranked: Candidates that were reranked by stored relaxed codes; of several items, for one of them at most.
        num_bits: Bits of a code.
        code_bytes: Bytes of a code in the index.
        index: Kind of the index; None where words alone were searched.
        timing: Where the time went.
        query_tokens: Tokens of a text, special ones included; None for other queries.
        query_tokens_read: How many of them the encoder read, the first; the others had no part in the codes.
        match: Whether codes, words or both were searched.
        with_words: Candidates that have one of the words or more; None if words were not searched.
        without: What the query asks not to find; items whose text affirms it come after all others, or not at all where
            words alone are searched.
        affirming: Number of candidates whose text affirms it.
        no_words: Why words were not searched, though a text was given; None if they were, or need not be.
        equal: Candidates whose image has the code of the query's image; None without one. Equal pictures have equal
            codes, and so have many others where codes are short.
        near_equal: Candidates whose image is the query's, or nearly, as far as codes tell before they are rounded.
        query_items: Number of items that were searched by, each ranked alone.
        explained: What was searched, and what codes cannot tell apart, in sentences.
    """

    query: str
    query_modality: Modality
    against: Against
    hits: tuple[Hit, ...]
    total: int
    candidates: int
    tie_distance: int | None
    ties: int
    tied_shown: int
    reranked: int
    num_bits: int
    code_bytes: int
    index: IndexKind | None
    timing: Timing
    query_tokens: int | None = None
    query_tokens_read: int | None = None
    match: Match = "codes"
    with_words: int | None = None
    without: tuple[str, ...] = ()
    affirming: int = 0
    no_words: str | None = None
    equal: int | None = None
    near_equal: int | None = None
    query_items: int = 0
    tied_reranked: int = 0
    explained: tuple[str, ...] = ()

    def to_pandas(self) -> "pd.DataFrame":
        """Return the hits as a table, one row each.

        Raises:
            ConfigError: If pandas is not installed.
        """
        from mcmfh_lightning.archive.exporting import hits_frame  # imports what this module does without

        return hits_frame(self)


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
