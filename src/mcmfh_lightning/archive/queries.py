"""Query of a search, checked before anything is read or loaded, and its text or picture."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from PIL import Image

from mcmfh_lightning.archive.filters import Filters, QueryError
from mcmfh_lightning.archive.results import RERANKED, Against, K, Match, Modality
from mcmfh_lightning.images.given import given_picture
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.shards.members import check_given_text


@dataclass(frozen=True, kw_only=True)
class Query:
    """Question to an archive. Exactly one of ``text``, ``image`` and ``id`` is given.

    Attributes:
        text: Text to search by.
        image: Picture to search by, or the path of one (JPEG, PNG, DICOM).
        id: Item of the archive to search by, or several, whose rankings are joined. These and the other items of their
            groups are never found.
        modality: Whether the image or the text of each is searched by; its image by default, if it has one.
        match: Whether the codes, the words or both are searched by a text. By default both, where the archive has words
            and no radius is given, else the codes.
        against: Code of the items that the query's is compared with; only items that have it are found. ``both`` is for
            pictures: those that are the query's, or nearly, come first, then the ranking by cases. By default that for
            a picture, cases for a text, for several items, or with a radius.
        k: Number of items to find; ignored if a radius is given.
        radius: Find all items at most this number of bits away.
        filters: Conditions on the items.
        rerank: Least number of the nearest to rerank, ties included; 0 for the ranking by codes alone.
        offset: Items of the ranking to skip.
        limit: Items to return at most, all by default.

    Raises:
        QueryError: If not exactly one query is given, a number is out of its range, or two options contradict.
    """

    text: str | None = None
    image: Image.Image | str | Path | None = None
    id: str | tuple[str, ...] | None = None
    modality: Modality | None = None
    match: Match | None = None
    against: Against | None = None
    k: int = K
    radius: int | None = None
    filters: Filters = field(default_factory=Filters)
    rerank: int = RERANKED
    offset: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.text, self.image, self.id)) != 1:
            raise QueryError("what to search by: pass one of text, image and id")
        if self.id is not None and not self.ids:
            raise QueryError("id=() names no item: pass one or more")
        if self.modality is not None and self.id is None:
            raise QueryError("modality= chooses a code of an item: give its id, or leave it out")
        for name, least in (("k", 1), ("radius", 0), ("rerank", 0), ("offset", 0), ("limit", 1)):
            number = getattr(self, name)
            if number is not None and number < least:
                raise QueryError(f"{name}={number} is less than {least}")
        for name, values in (("modality", Modality), ("match", Match), ("against", Against)):
            given = getattr(self, name)
            if given is not None and given not in get_args(values):
                raise QueryError(f"{name}={given} is none of {', '.join(get_args(values))}")
        self._check_joined()

    def _check_joined(self) -> None:
        """Refuse words without a text, images and cases without one picture, and either with a radius."""
        if self.match in ("words", "both"):
            if self.text is None:
                raise QueryError(f"match={self.match} looks for the words of a text: pass one, or leave it out")
            if self.radius is not None:
                raise QueryError(f"radius={self.radius} is a distance of codes: leave it out, or pass match=codes")
        if self.against == "both":
            if self.text is not None or self.modality == "text":
                raise QueryError("against=both compares a picture with images and cases: pass against=case for a text")
            if len(self.ids) > 1:
                raise QueryError("against=both compares one picture with images: pass against=case for several items")
            if self.radius is not None:
                raise QueryError(f"radius={self.radius} is a distance of one code: pass against=image or against=case")

    @property
    def ids(self) -> tuple[str, ...]:
        """Items to search by, each once."""
        if self.id is None:
            return ()
        return (self.id,) if isinstance(self.id, str) else tuple(dict.fromkeys(self.id))

    @property
    def needs_encoder(self) -> bool:
        """Tell whether the code of the query is computed: items have theirs, and words need none."""
        return self.id is None and self.match != "words"

    @property
    def name(self) -> str:
        """Text, ids, or name of the file."""
        if self.image is None:
            return self.text or ", ".join(self.ids)
        return "picture" if isinstance(self.image, Image.Image) else Path(self.image).name

    def picture(self, value_range: ValueRange | None) -> Image.Image | None:
        """Check the text, or read the picture, without the encoder: what is wrong is said at once.

        Args:
            value_range: Values of deep pictures that become black and white, as in the archive.

        Raises:
            DataError: If it cannot be searched by.
        """
        if self.text is not None:
            check_given_text(self.text, "the query's text")
        if self.image is None:
            return None
        return given_picture(self.image, value_range, "the query's picture")
