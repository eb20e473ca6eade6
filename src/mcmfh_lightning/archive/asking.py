"""From a query to the codes and words that are searched by."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from mcmfh_lightning.archive.filters import UnknownError
from mcmfh_lightning.archive.queries import Query
from mcmfh_lightning.archive.results import Against, Match, Modality, Side
from mcmfh_lightning.archive.schema import PictureCodes, QueryCode, QueryCodes
from mcmfh_lightning.archive.snapshot import Snapshot
from mcmfh_lightning.archive.words import Synonyms, WordQuery, affirmed_labels
from mcmfh_lightning.portable.token_count import TokenCount


class HashesQueries(Protocol):
    """Encoder and hasher of an archive, by torch (`QueryHasher`) or exported (`ExportedQueryHasher`)."""

    def text(self, text: str, against: Against) -> QueryCodes:
        """Hash a text."""

    def image(self, image: Image.Image | Path, against: Against) -> PictureCodes:
        """Hash a picture."""

    def count_tokens(self, text: str) -> TokenCount | None:
        """Count the tokens of a text, and those that the encoder reads."""


Load = Callable[[], HashesQueries]


@dataclass(frozen=True)
class Asked:
    """Query as an archive understands it.

    Attributes:
        query: The query.
        modality: What it is; of several items the first.
        match: What a text is searched by.
        against: Codes of items that are compared with.
        codes: Codes of the query, or of each item that is searched by; none where words alone are searched.
        picture: Code of its image as that of an item; None without an image, and for several items.
        words: Its words; None where they are not searched.
        rows: Rows of the items that are searched by.
        labels: Labels that it has.
    """

    query: Query
    modality: Modality
    match: Match
    against: Against
    codes: tuple[QueryCodes, ...]
    picture: QueryCode | None = None
    words: WordQuery | None = None
    rows: tuple[int, ...] = ()
    labels: Iterable[str] = ()

    @property
    def side(self) -> Side:
        """Code that an item must have to be found."""
        return "case" if self.against == "both" else self.against

    @property
    def is_joined(self) -> bool:
        """Whether several rankings are joined."""
        return len(self.codes) + (self.words is not None) > 1


def choose_match(snapshot: Snapshot, query: Query) -> Match:
    """Choose what is searched: words only by a text.

    Raises:
        UnknownError: If words are asked for, and the archive has none.
    """
    if query.match in ("words", "both") and snapshot.no_words is not None:
        raise UnknownError(f"match={query.match}: {snapshot.no_words}", f"match: {snapshot.no_words}")
    if query.match is not None:
        return query.match
    return "codes" if query.text is None or query.radius is not None or snapshot.no_words is not None else "both"


def ask(
    snapshot: Snapshot, query: Query, match: Match, picture: Image.Image | None, load: Load, synonyms: Synonyms
) -> Asked:
    """Compute the codes and words of a query, and find the labels that it has.

    Args:
        snapshot: Version of the archive.
        query: The query.
        match: What is searched.
        picture: Its picture, decoded.
        load: Function that returns the encoder and hasher; not called for items, and where words alone are searched.
        synonyms: Lay words for what reports name.

    Raises:
        UnknownError: If there is no such item, or it lacks the modality that is asked for.
    """
    if query.text is not None:
        return _ask_text(snapshot, query, query.text, match, load, synonyms)
    if picture is None:
        return _ask_items(snapshot, query)
    against: Against = query.against or ("both" if query.radius is None else "case")
    encoded = load().image(picture, against)
    return Asked(query, "image", "codes", against, (encoded.query,), encoded.item)


def _ask_text(snapshot: Snapshot, query: Query, text: str, match: Match, load: Load, synonyms: Synonyms) -> Asked:
    against: Against = query.against or "case"
    return Asked(
        query,
        "text",
        match,
        against,
        codes=() if match == "words" else (load().text(text, against),),
        words=None if match == "codes" else WordQuery.parse(text).expanded(synonyms),
        labels=affirmed_labels(text, snapshot.facets.labels, synonyms),
    )


def _ask_items(snapshot: Snapshot, query: Query) -> Asked:
    rows = tuple(map(snapshot.row_of, query.ids))
    items = snapshot.known(rows)
    modalities: list[Modality] = [query.modality or ("image" if item["has_image"] else "text") for item in items]
    only_image = modalities == ["image"]
    against: Against = query.against or ("both" if only_image and query.radius is None else "case")
    return Asked(
        query,
        modalities[0],
        "codes",
        against,
        tuple(snapshot.codes(row, modality, against) for row, modality in zip(rows, modalities, strict=True)),
        snapshot.item_code(rows[0]) if only_image else None,
        rows=rows,
        labels={label for item in items for label in item["labels"]},
    )
