"""What travels over HTTP, beside the results of `mcmfh_lightning.archive.results`, which travel as they are."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mcmfh_lightning.archive.filters import Filters, QueryError
from mcmfh_lightning.archive.results import Modality, Side
from mcmfh_lightning.archive.server.limits import (
    MAX_CHOICES,
    MAX_ID_CHARACTERS,
    MAX_K,
    MAX_OFFSET,
    MAX_PAGE,
    MAX_QUERY_CHARACTERS,
    MAX_RADIUS,
    MAX_RERANK,
)
from mcmfh_lightning.archive.snapshot import Facets

NO_NUL = r"^[^\x00]*$"


def _check_date(value: str) -> str:
    try:
        Filters(since=value)
    except QueryError:  # quotes it
        raise ValueError("not a date; write it as YYYY-MM-DD") from None
    return value


def _check_not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("empty; write what to look for")
    return value


Name = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_NUL)]
ItemId = Name
Names = Annotated[list[Name], Field(max_length=MAX_CHOICES)]
Group = Name | Annotated[int, Field(ge=-(2**63), lt=2**63)]
Groups = Annotated[list[Group], Field(max_length=MAX_CHOICES)]
IsoDate = Annotated[str, AfterValidator(_check_date), Field(json_schema_extra={"format": "date"})]
Text = Annotated[
    str,
    Field(min_length=1, max_length=MAX_QUERY_CHARACTERS, pattern=NO_NUL),
    AfterValidator(_check_not_blank),
]


class _Request(BaseModel):
    """Unknown keys are refused: a mistyped filter would otherwise let everything pass. Numbers in quotes are, too."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class SearchFilters(_Request):
    """Conditions that all must hold; an absent one holds always."""

    labels: Names = []
    """Labels that an item must all have."""
    any_labels: Names = []
    """Labels of which an item must have at least one."""
    since: IsoDate | None = None
    """Earliest date; items without a date do not pass."""
    until: IsoDate | None = None
    """Latest date, inclusive; items without a date do not pass."""
    licences: Names = []
    """Licences of which an item must have one."""
    groups: Groups = []
    """Studies, articles or patients of which an item must be, by their own names; or their numbers."""
    without_groups: Groups = []
    """Studies, articles or patients of which an item must not be."""
    splits: Names = []
    """Splits of which an item must be: train, val, test."""
    has_image: bool | None = None
    """Whether an item must have, or must lack, an image."""
    has_text: bool | None = None
    """Whether an item must have, or must lack, a text."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError("since is after until; exchange them")
        return self

    def parsed(self) -> Filters:
        """The same as `Archive.search` takes it."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.model_dump().items()
        }
        return Filters(**given)


class SearchOptions(_Request):
    """How to search, whatever the query is."""

    k: Annotated[int, Field(ge=1, le=MAX_K)] = 20
    """Length of the ranking; without a meaning if a radius is given."""
    radius: Annotated[int, Field(ge=0, le=MAX_RADIUS)] | None = None
    """Rank every item within this Hamming distance instead of the nearest k."""
    against: Side = "case"
    """Code of an item that the query's code is compared with."""
    filters: SearchFilters = SearchFilters()
    """Which items may be found."""
    rerank: Annotated[int, Field(ge=0, le=MAX_RERANK)] = 300
    """How many of the nearest items are ordered anew by stored relaxed codes, where there are some; 0 turns it off."""
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0
    """Hits of the ranking to skip: paging."""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 20
    """Hits to return at most."""


class SearchRequest(SearchOptions):
    """A search by a text or by an item; exactly one of both is given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"text": "enlarged heart with pleural effusion", "k": 20}],
            "oneOf": [
                {"required": ["text"], "properties": {"text": {"type": "string"}, "modality": {"type": "null"}}},
                {"required": ["id"], "properties": {"id": {"type": "string"}}},
            ],
        }
    )

    text: Text | None = None
    """What to look for, as a report would say it."""
    id: ItemId | None = None
    """Item of the archive whose like to look for; its own group is left out."""
    modality: Modality | None = None
    """With an id: which of the item's codes is the query; by default that of its image, if it has one."""

    @model_validator(mode="after")
    def _check_query(self) -> Self:
        if (self.text is None) == (self.id is None):
            raise ValueError("give either text or id")
        if self.modality is not None and self.id is None:
            raise ValueError("modality goes with id")
        return self


class Answer(BaseModel):
    """Base of what is returned."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Problem(Answer):
    """Every error."""

    detail: str
    """One line: what is wrong and what mends it. Never holds anything of a query or an item."""


class Info(Answer):
    """What is served."""

    items: int
    version: int
    """Of the table; grows with every change."""
    num_bits: int
    code_bytes: int
    """Of one code."""
    codes_bytes: int
    """Of one code of every item: what a search has to read."""
    hasher: str
    """Method that made the codes."""
    notice: Literal["Research use, not diagnosis."] = "Research use, not diagnosis."


class Count(Answer):
    """How many items have a value."""

    name: str
    items: int


class Choices(Answer):
    """What a search can be narrowed by, the most frequent first."""

    labels: list[Count]
    """Also those of the archive's vocabulary that no item has."""
    licences: list[Count]
    splits: list[Count]
    earliest: str | None
    """ISO date of the earliest item with a date."""
    latest: str | None
    with_image: int
    with_text: int

    @classmethod
    def of(cls, facets: Facets) -> Self:
        """The same as it travels: an object of JSON keeps no order."""
        earliest, latest = facets.dates or (None, None)
        return cls(
            labels=_counts(facets.labels),
            licences=_counts(facets.licences),
            splits=_counts(facets.splits),
            earliest=earliest,
            latest=latest,
            with_image=facets.with_image,
            with_text=facets.with_text,
        )


def _counts(counts: Mapping[str, int]) -> list[Count]:
    return [Count(name=name, items=items) for name, items in counts.items()]
