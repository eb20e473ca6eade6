"""Archive that is served, and the questions that it answers over HTTP."""

import logging
from collections.abc import Mapping
from threading import Lock
from time import monotonic
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Path, Response, Security, UploadFile
from fastapi.security import HTTPBearer
from pydantic import Json

from mcmfh_lightning.archive.results import Item, SearchResult
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.server.messages import (
    IMAGE_SEARCH,
    MAX_ID_CHARACTERS,
    NO_NUL,
    Choices,
    Count,
    Info,
    Problem,
    RefusedError,
    SearchOptions,
    SearchRequest,
    read_picture,
)
from mcmfh_lightning.errors import McmfhError
from mcmfh_lightning.shards import packed_width

LOOK_AGAIN_SECONDS = 2.0  # age of an answer at most, after another process changed the archive
LOGGER = logging.getLogger(__name__)

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The body cannot be read",
        401: "The token is missing or wrong",
        403: "Another web page made the browser ask",
        404: "There is no such item or picture",
        413: "The body or the picture is too large",
        415: "The file is not JPEG, PNG or DICOM",
        421: "Asked for under a name that is not of this machine, without a token",
        422: "Something in the request is not as it must be",
        500: "The server failed",
        503: "There is no archive yet, or its encoder cannot be built here",
    }.items()
}
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "The picture"}}

# None instead of the defaults themselves: FastAPI 0.115 parses a default as if it had been sent.
Options = Annotated[
    Json[SearchOptions] | None, Form(description="JSON: what the body of /api/search may hold apart from a query")
]
ItemPath = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_NUL)]


class NotServedError(McmfhError):
    """Archive that is missing or cannot be read, or whose encoder cannot be built here."""


class ServedArchive:
    """Archive that is opened when it is there, and opened again after changes.

    Args:
        location: Local folder or ``s3://`` address of the archive.
        device: Where queries are encoded.

    Attributes:
        encoding: Lock to hold while a picture is decoded and a query encoded. One at a time: a picture takes hundreds
            of megabytes, an encoder all cores.
    """

    def __init__(self, location: str, device: str = "cpu") -> None:
        self._location = location
        self._device = device
        self._archive: Archive | None = None
        self._looked = 0.0
        self._opening = Lock()
        self.encoding = Lock()

    def current(self) -> Archive:
        """Return the archive at the version of at most `LOOK_AGAIN_SECONDS` ago.

        Raises:
            NotServedError: If there is none; names the place and the fix.
        """
        with self._opening:
            try:
                if self._archive is None:
                    self._archive = Archive.open(self._location, device=self._device)
                elif monotonic() - self._looked < LOOK_AGAIN_SECONDS:
                    return self._archive
                else:
                    self._archive.refresh()
            except (McmfhError, OSError) as error:
                self._archive = None
                raise NotServedError(str(error)) from error
            self._looked = monotonic()
            return self._archive

    def with_encoder(self) -> Archive:
        """Return the archive with its encoder loaded, which the first query waits for.

        Raises:
            NotServedError: If there is none, or its encoder cannot be built.
        """
        archive = self.current()
        try:
            archive.load()
        except (McmfhError, OSError, ImportError) as error:
            raise NotServedError(str(error)) from error
        return archive

    def warm(self) -> None:
        """Load everything, so that the first query does not wait; the log says what is missing."""
        try:
            self.with_encoder()
        except NotServedError as error:
            LOGGER.warning("%s", error)


def routes(served: ServedArchive, *, guarded: bool) -> APIRouter:
    """Make the routes; each is a plain function that runs in a thread of its own.

    Args:
        served: The archive.
        guarded: Whether to describe them as asking for a token. `mcmfh_lightning.archive.server.middleware` refuses
            before anything of a body is read.
    """
    dependencies = [Security(HTTPBearer(auto_error=False))] if guarded else []
    router = APIRouter(prefix="/api", dependencies=dependencies, responses=_PROBLEMS)

    @router.get("/info")
    def info() -> Info:
        """Count the items, and the bits and bytes of their codes."""
        archive = served.current()
        items, num_bits = len(archive), archive.info.num_bits
        width = packed_width(num_bits)
        return Info(
            items=items,
            version=archive.version,
            num_bits=num_bits,
            code_bytes=width,
            codes_bytes=items * width,
            hasher=archive.info.hasher,
        )

    @router.get("/facets")
    def facets() -> Choices:
        """List labels, licences, splits and dates of the items, for filters."""
        found = served.current().facets()
        earliest, latest = found.dates or (None, None)
        return Choices(
            labels=_counts(found.labels),
            licences=_counts(found.licences),
            splits=_counts(found.splits),
            earliest=earliest,
            latest=latest,
            with_image=found.with_image,
            with_text=found.with_text,
        )

    @router.post("/search")
    def search(request: SearchRequest) -> SearchResult:
        """Search by a text, or by an item of the archive."""
        query = request.query()
        if not query.needs_encoder:
            return served.current().find(query)
        archive = served.with_encoder()
        archive.check_names(query.filters)  # does not wait for another query
        with served.encoding:
            return archive.find(query)

    @router.post(IMAGE_SEARCH.removeprefix("/api"))
    def search_image(
        image: Annotated[UploadFile, File(description="JPEG, PNG or DICOM")], options: Options = None
    ) -> SearchResult:
        """Search by a picture, which is not kept."""
        asked = options or SearchOptions()
        archive = served.with_encoder()
        archive.check_names(asked.filters.parsed())  # costs less than decoding
        with served.encoding:
            return archive.find(asked.query(read_picture(image.file, image.filename, archive.info.value_range)))

    @router.get("/items/{item_id:path}")
    def item(item_id: ItemPath) -> Item:
        """Show an item."""
        return served.current().item(item_id)

    # Not below /items: ids may hold slashes.
    @router.get("/pictures/{item_id:path}", responses=_JPEG, response_class=Response)
    def picture(item_id: ItemPath) -> Response:
        """Show the picture of an item."""
        found = served.current().picture(item_id)
        if found is None:
            raise RefusedError(404, "neither the archive nor its collection holds a picture of the item")
        return Response(found, media_type="image/jpeg")

    return router


def _counts(counts: Mapping[str, int]) -> list[Count]:
    # An object of JSON keeps no order.
    return [Count(name=name, items=items) for name, items in counts.items()]
