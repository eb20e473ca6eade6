"""Requests and answers of the service, and their limits. Results of searches are sent as they are (`results`)."""

from collections.abc import Mapping
from typing import Annotated, Any, BinaryIO, Literal, Self

import docstring_parser
from fastapi import HTTPException
from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from mcmfh_lightning.archive.filters import Filters, is_date
from mcmfh_lightning.archive.queries import Query
from mcmfh_lightning.archive.results import NOTICE, RERANKED, Against, K, Match, Modality
from mcmfh_lightning.images import unusable
from mcmfh_lightning.images.decode import decode_picture, picture_size
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.images.unusable import FIXES, PictureError

IMAGE_SEARCH = "/api/search/image"
PREVIEW = "/api/preview"
UPLOADS = (IMAGE_SEARCH, PREVIEW)  # ends of paths: the name of an archive may be in front
# Of a picture. Its form may be as large as this and `MAX_JSON_BYTES` together.
MAX_UPLOAD_BYTES = 20 * 1024**2
# Of any other body. `MAX_QUERY_CHARACTERS` fit in it, in whatever escapes the client writes them.
MAX_JSON_BYTES = 128 * 1024
# Films of digital radiography have 5 to 24 million pixels. Decoding one takes up to 20 bytes a pixel.
MAX_PIXELS = 36_000_000
# Longer to shorter side: encoders scale the shorter one to about 256 pixels, which makes one of 12 GB of a picture of
# 1 by 60,000. Films of a whole leg or spine have 3 to 5.
MAX_SIDES_RATIO = 20
MAX_QUERY_CHARACTERS = 5_000
MAX_ID_CHARACTERS = 512
MAX_HITS = 100  # with texts, and of a page with pictures
MAX_ROWS = 1_000  # of CSV
MAX_CHOICES = 100  # entries of one filter
MAX_ITEMS = 20  # items of one query: each is a search
NO_NUL = r"^[^\x00]*$"

_DAMAGED = "the picture is damaged or incomplete: export it again"
# Status and message by the reason why a picture cannot be used. The decoder's own message may quote the file.
_REFUSALS: Mapping[str, tuple[int, str]] = {
    unusable.NOT_A_PICTURE: (415, "the file is not a JPEG, PNG or DICOM picture: export it as one of these"),
    unusable.NO_PYDICOM: (415, "DICOM is not read, as pydicom is not installed here: send the picture as JPEG or PNG"),
    unusable.TOO_LARGE: (413, f"the picture has more than {MAX_PIXELS:,} pixels: send a smaller one"),
    unusable.UNDECODABLE: (422, _DAMAGED),
    unusable.UNREADABLE: (422, _DAMAGED),
}


class RefusedError(HTTPException):
    """Request that is refused with a message of ours, which repeats nothing of the request."""


def read_picture(upload: BinaryIO, filename: str | None, value_range: ValueRange | None) -> Image.Image:
    """Decode an uploaded picture after every check that costs less than decoding.

    Args:
        upload: The bytes, from their beginning.
        filename: Name that the client gives. It is not used, but a browser sends none with a folder in it.
        value_range: That of the archive.

    Returns:
        The picture in RGB.

    Raises:
        RefusedError: If the picture has too many bytes or pixels or is a strip (413), its content is not JPEG, PNG or
            DICOM (415), it cannot be decoded, or its name has a folder or an unprintable character in it (422).
    """
    if filename and (set(filename) & {"/", "\\"} or filename in (".", "..") or not filename.isprintable()):
        raise RefusedError(422, "the file's name holds a folder or an unprintable character: send the bare name")
    data = upload.read(MAX_UPLOAD_BYTES + 1)
    if len(data) > MAX_UPLOAD_BYTES:
        raise RefusedError(413, f"the picture has more than {MAX_UPLOAD_BYTES:,} bytes: send a smaller one")
    try:
        size = picture_size(data)
        if max(size) > MAX_SIDES_RATIO * min(size):
            raise RefusedError(413, f"a side of the picture is more than {MAX_SIDES_RATIO} times the other: cut it")
        pixels = size[0] * size[1]
        if pixels > MAX_PIXELS:
            raise RefusedError(413, f"the picture has {pixels:,} pixels, more than {MAX_PIXELS:,}: send a smaller one")
        return decode_picture(data, value_range).rgb()
    except PictureError as error:
        status, message = _REFUSALS.get(error.reason, (422, f"{error.reason}: {FIXES.get(error.reason)}"))
        raise RefusedError(status, message) from error


def public_errors(errors: list[Any]) -> str:
    """Describe in one line what is wrong with a request; values, which pydantic quotes, are left out.

    Args:
        errors: ``RequestValidationError.errors()``.
    """
    found = []
    for error in errors:
        where = [str(part) for part in error["loc"][1:]]  # the first is body, path or query
        kind = error["type"]
        if kind == "extra_forbidden":  # its place is a name that the client chose
            found.append(f"{'.'.join(where[:-1]) or 'body'}: unknown key")
        elif kind == "json_invalid":  # the place in a body is a number
            found.append(f"{'body' if isinstance(error['loc'][1], int) else where[0]}: not JSON")
        else:
            found.append(f"{'.'.join(where) or 'body'}: {error['msg'].removeprefix('Value error, ')}")
    return "; ".join(dict.fromkeys(found))


def _check_date(value: str) -> str:
    if not is_date(value):
        raise ValueError("not a date; write it as YYYY-MM-DD")
    return value


def _check_not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("empty; write what to look for")
    return value


Name = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_NUL)]
Names = Annotated[list[Name], Field(max_length=MAX_CHOICES)]
Groups = Annotated[list[Name | Annotated[int, Field(ge=-(2**63), lt=2**63)]], Field(max_length=MAX_CHOICES)]
IsoDate = Annotated[str, AfterValidator(_check_date), Field(json_schema_extra={"format": "date"})]
Text = Annotated[
    str, Field(min_length=1, max_length=MAX_QUERY_CHARACTERS, pattern=NO_NUL), AfterValidator(_check_not_blank)
]


class _Described(BaseModel):
    """Model whose attributes are described in ``/openapi.json`` as in its docstring."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        documented = [docstring_parser.parse(kind.__doc__ or "") for kind in cls.__mro__]
        schema["description"] = documented[0].short_description
        for entry in (param for docstring in documented for param in docstring.params):
            if entry.arg_name in schema["properties"]:
                schema["properties"][entry.arg_name]["description"] = " ".join((entry.description or "").split())
        return schema


class _Request(_Described):
    """Unknown keys are refused: a mistyped filter would otherwise let everything pass. Numbers in quotes are, too."""

    model_config = ConfigDict(extra="forbid", strict=True)


# Not `Filters` itself, because its lists have limits.
class SearchFilters(_Request):
    """Conditions that must all hold; an absent one always holds.

    Attributes:
        labels: Labels that an item must all have.
        any_labels: Labels of which an item must have at least one.
        since: Earliest date; items without a date do not pass.
        until: Latest date, inclusive; items without a date do not pass.
        licences: Licences of which an item must have one.
        groups: Studies, articles or patients that an item must belong to, by their own names; or their numbers.
        without_groups: Studies, articles or patients that an item must not belong to.
        splits: Splits that an item must be in: train, val, test.
        has_image: Whether an item must have, or must lack, an image.
        has_text: Whether an item must have, or must lack, a text.
    """

    labels: Names = []
    any_labels: Names = []
    since: IsoDate | None = None
    until: IsoDate | None = None
    licences: Names = []
    groups: Groups = []
    without_groups: Groups = []
    splits: Names = []
    has_image: bool | None = None
    has_text: bool | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError("since is after until; exchange them")
        return self

    def parsed(self) -> Filters:
        """Return the filters that `Archive.search` takes."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.model_dump().items()
        }
        return Filters(**given)


class SearchOptions(_Request):
    """Options of a search, whatever the query is.

    Attributes:
        match: Whether the codes, the words or both are searched by a text. By default both, where the archive keeps
            texts and no radius is given, else the codes.
        against: Code of an item that the query's code is compared with. `both` is for pictures: those that are the
            query's, or nearly, come first, then the ranking by cases. By default that for a picture, else the case.
        k: Length of the ranking; ignored if a radius is given.
        radius: Rank every item within this Hamming distance instead of the nearest k.
        filters: Conditions on the items.
        rerank: Number of the nearest items to rerank by stored relaxed codes, where there are some; 0 turns it off.
        offset: Hits of the ranking to skip: paging.
        limit: Hits to return at most: 100, or 1,000 with `format` `csv`.
        format: Whether the answer is JSON, or a file: a table in CSV, or one page of HTML with pictures.
    """

    match: Match | None = None
    against: Against | None = None
    k: Annotated[int, Field(ge=1, le=MAX_ROWS)] = K
    radius: Annotated[int, Field(ge=0, le=1_024)] | None = None
    filters: SearchFilters = SearchFilters()
    rerank: Annotated[int, Field(ge=0, le=2_000)] = RERANKED
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 20
    format: Literal["json", "csv", "html"] = "json"

    @model_validator(mode="after")
    def _check_limit(self) -> Self:
        if self.limit > MAX_HITS and self.format != "csv":
            raise ValueError(f"limit is more than {MAX_HITS}: ask for pages by offset, or for format csv")
        return self

    def query(self, image: Image.Image | None = None) -> Query:
        """Make the query.

        Raises:
            QueryError: If options contradict each other.
        """
        given = {name: getattr(self, name) for name in type(self).model_fields if name not in ("filters", "format")}
        if isinstance(given.get("id"), list):
            given["id"] = tuple(given["id"])
        return Query(**given, image=image, filters=self.filters.parsed())


class SearchRequest(SearchOptions):
    """Search by a text or by items; exactly one of both is given.

    Attributes:
        text: What to look for, as a report would say it.
        id: Item of the archive to look for similar ones of, or a list of several, whose rankings are joined; their own
            groups are left out.
        modality: With an id: whether its image or its text is searched by; its image by default, if it has one.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"text": "enlarged heart with pleural effusion", "k": 20}],
            "oneOf": [
                {"required": ["text"], "properties": {"text": {"type": "string"}, "modality": {"type": "null"}}},
                {"required": ["id"], "properties": {"id": {"anyOf": [{"type": "string"}, {"type": "array"}]}}},
            ],
        }
    )

    text: Text | None = None
    id: Name | Annotated[list[Name], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    modality: Modality | None = None

    @model_validator(mode="after")
    def _check_query(self) -> Self:
        self.query()
        return self


class Problem(_Described):
    """Answer to every request that fails.

    Attributes:
        detail: One line: what is wrong, and the fix. Never holds anything of a query or an item.
    """

    detail: str


class Info(_Described):
    """Description of the archive that is served.

    Attributes:
        version: Of the table; grows with every change.
        code_bytes: Of one code.
        codes_bytes: Of one code of every item: what a search has to read.
        hasher: Method that made the codes.
    """

    items: int
    version: int
    num_bits: int
    code_bytes: int
    codes_bytes: int
    hasher: str
    notice: Literal["Research use, not diagnosis."] = NOTICE


class Count(_Described):
    """Value with its number of items."""

    name: str
    items: int


class Choices(_Described):
    """Values that a search can be narrowed by, the most frequent first.

    Attributes:
        labels: Including those of the archive's vocabulary that no item has.
        earliest: ISO date of the earliest item with a date.
    """

    labels: list[Count]
    licences: list[Count]
    splits: list[Count]
    earliest: str | None
    latest: str | None
    with_image: int
    with_text: int
