"""Archive that is served, and the questions that it answers over HTTP."""

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path as FilePath
from threading import Lock
from time import monotonic, sleep
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, File, Form, Path, Response, Security, UploadFile
from fastapi.security import HTTPBearer
from pydantic import Json

from mcmfh_lightning.archive.exporting import BOM, result_csv, result_page
from mcmfh_lightning.archive.filters import QueryError, UnknownError, UnknownItemError
from mcmfh_lightning.archive.info import Location
from mcmfh_lightning.archive.results import Item, SearchResult
from mcmfh_lightning.archive.schema import small_jpeg
from mcmfh_lightning.archive.search import Archive, SwitchedError
from mcmfh_lightning.archive.server.load import Load
from mcmfh_lightning.archive.server.messages import (
    IMAGE_SEARCH,
    MAX_ID_CHARACTERS,
    NO_NUL,
    PREVIEW,
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

LOOK_AGAIN_SECONDS = 2.0  # how old a version is when the newest one is opened; answers come from it until that is done
FOLLOW_AGAIN_SECONDS = (
    60.0  # before an archive that a link names is loaded again if it could not be: that takes seconds
)
# Before a version that could not be opened is opened again: erasing removes versions one after the other.
_PAUSES = (0.1, 0.4)
_TRIES = 3  # of a question whose version was erased meanwhile
LOGGER = logging.getLogger(__name__)

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The body cannot be read",
        401: "The token is missing or wrong",
        403: "Another web page made the browser ask",
        404: "There is no such item or picture",
        408: "The body did not arrive",
        413: "The body or the picture is too large",
        415: "The file is not JPEG, PNG or DICOM",
        421: "Asked for under a name that is not of this machine, without a token",
        422: "Something in the request is not as it must be",
        429: "Too many wrong tokens came from this address",
        500: "The server failed",
        503: "Too many requests wait (with Retry-After), there is no archive yet, or its encoder cannot be built here",
    }.items()
}
_FILES: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}, "text/html": {}}}}
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "The picture"}}

# None instead of the defaults themselves: FastAPI 0.115 parses a default as if it had been sent.
Options = Annotated[
    Json[SearchOptions] | None, Form(description="JSON: what the body of /api/search may hold apart from a query")
]
Film = Annotated[UploadFile, File(description="JPEG, PNG or DICOM")]
ItemPath = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_NUL)]
Answer = TypeVar("Answer")
Version = tuple[str, int]
"""Identity of an archive, and version of its table: another archive may have the same number."""


class NotServedError(McmfhError):
    """Archive that is missing or cannot be read, or whose encoder cannot be built here."""


class ServedArchive:
    """Archive that is opened when it is there, and opened again after changes.

    Args:
        location: Local folder or ``s3://`` address of the archive.
        device: Where queries are encoded.
        synonyms: As in `Archive.open`.
        model: As in `Archive.open`.

    Attributes:
        opened: The archive as it is open now; None if it is not.
    """

    def __init__(
        self,
        location: str,
        device: str = "cpu",
        synonyms: FilePath | None = None,
        model: FilePath | None = None,
    ) -> None:
        self._location = location
        self._open_archive = partial(Archive.open, location, device, synonyms=synonyms, model=model)
        self.opened: Archive | None = None
        self._look_at = 0.0
        self._unfit: tuple[str, float] = "", 0.0
        self._opening = Lock()

    def current(self, unlike: Version | None = None) -> Archive:
        """Return the archive; once its version is `LOOK_AGAIN_SECONDS` old, one request opens the newest one.

        Args:
            unlike: What can no longer be read. The newest version is then opened if it is still the one at hand.

        Raises:
            NotServedError: If there is none; names the place and the fix.
        """
        opened = self.opened
        if opened is not None and unlike is None:
            if not self._opening.acquire(blocking=False):
                return opened  # while another request opens the newest version
        else:
            self._opening.acquire()
        try:
            if self.opened is None or self._is_due(self.opened, unlike):
                self._look_at = monotonic() + LOOK_AGAIN_SECONDS
                self.opened = self._open()
        except (McmfhError, OSError) as error:
            self.opened = None
            raise NotServedError(str(error)) from error
        else:
            return self.opened
        finally:
            self._opening.release()

    def _is_due(self, opened: Archive, unlike: Version | None) -> bool:
        return _version(opened) == unlike or monotonic() >= self._look_at

    def _open(self) -> Archive:
        """Open the newest version; the encoder stays, unless another archive has taken the place."""
        if self.opened is not None:
            for pause in _PAUSES:
                try:
                    self.opened.refresh()
                except SwitchedError:
                    return self._follow(self.opened)
                except (McmfhError, OSError):
                    sleep(pause)
                else:
                    return self.opened
        return self._open_archive()

    def _follow(self, before: Archive) -> Archive:
        """Open the archive that a link names by now, with its encoder; others are answered by the one before."""
        place = Location(self._location).uri
        unfit, again = self._unfit
        if place == unfit and monotonic() < again:
            return before
        try:
            other = self._open_archive()
            if before.is_loaded:
                other.load()
        except (McmfhError, OSError, ImportError) as error:
            self._unfit = place, monotonic() + FOLLOW_AGAIN_SECONDS
            LOGGER.warning("the archive before is served until the link names one that can be: %s", error)
            return before
        return other

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

    def ask(self, question: Callable[[Archive], Answer], *, encoder: bool = False) -> Answer:
        """Ask the archive; once more at its newest version, where another process has erased the one at hand.

        Args:
            question: What to ask.
            encoder: Whether it needs the encoder.

        Raises:
            NotServedError: If there is no archive, or its encoder cannot be built.
            McmfhError: If the archive cannot be read, or the question has no answer.
        """
        archive = self.with_encoder() if encoder else self.current()
        for _ in range(_TRIES - 1):
            version = _version(archive)
            try:
                return question(archive)
            except (UnknownError, QueryError):
                raise
            except (McmfhError, OSError):
                archive = self.current(unlike=version)
                if _version(archive) == version:
                    raise
        return question(archive)

    def check_health(self) -> None:
        """Tell whether the archive can be searched, and nothing else: no token is asked for.

        Raises:
            RefusedError: If it cannot be; names the class of the reason.
        """
        try:
            self.current()
        except NotServedError as error:
            raise RefusedError(503, f"the archive cannot be opened ({type(error.__cause__).__name__})") from error

    def warm(self) -> None:
        """Load everything, so that the first query does not wait; the log says what is missing."""
        try:
            self.with_encoder()
        except NotServedError as error:
            LOGGER.warning("%s", error)


def routes(served: ServedArchive, load: Load, *, guarded: bool) -> APIRouter:
    """Make the routes; each is a plain function that runs in a thread of its own.

    Args:
        served: The archive.
        load: Slots of requests that encode.
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
        found = served.ask(Archive.facets)
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

    @router.post("/search", response_model=SearchResult, responses=_FILES)
    def search(request: SearchRequest) -> SearchResult | Response:
        """Search by a text, or by items of the archive."""
        query = request.query()
        archive = served.with_encoder() if query.needs_encoder else served.current()
        archive.check_names(query.filters)  # does not wait for another query
        with load.searches.slot() if query.needs_encoder else nullcontext():
            return served.ask(
                lambda archive: _answer(archive, archive.find(query), request), encoder=query.needs_encoder
            )

    @router.post(IMAGE_SEARCH.removeprefix("/api"), response_model=SearchResult, responses=_FILES)
    def search_image(image: Film, options: Options = None) -> SearchResult | Response:
        """Search by a picture, which is not kept."""
        asked = options or SearchOptions()
        archive = served.with_encoder()
        archive.check_names(asked.filters.parsed())  # costs less than decoding
        with load.films.slot():
            query = asked.query(read_picture(image.file, image.filename, archive.info.value_range))
            return served.ask(lambda archive: _answer(archive, archive.find(query), asked), encoder=True)

    @router.post(PREVIEW.removeprefix("/api"), responses=_JPEG, response_class=Response)
    def preview(image: Film) -> Response:
        """Show a picture as a search by it would read it, small; it is not kept. Browsers do not show DICOM."""
        value_range = served.current().info.value_range
        with load.films.slot():
            picture = small_jpeg(read_picture(image.file, image.filename, value_range))
        return Response(picture, media_type="image/jpeg")

    @router.get("/items/{item_id:path}")
    def item(item_id: ItemPath) -> Item:
        """Show an item."""
        return served.ask(lambda archive: archive.item(item_id))

    # Not below /items: ids may hold slashes.
    @router.get("/pictures/{item_id:path}", responses=_JPEG, response_class=Response)
    def picture(item_id: ItemPath) -> Response:
        """Show the picture of an item."""
        found = served.ask(lambda archive: archive.picture(item_id))
        if found is None:
            raise RefusedError(404, "neither the archive nor its collection holds a picture of the item")
        return Response(found, media_type="image/jpeg")

    return router


def _version(archive: Archive) -> Version:
    return archive.info.uid, archive.version


def _answer(archive: Archive, found: SearchResult, asked: SearchOptions) -> SearchResult | Response:
    """Return a result as it is asked for: as JSON, or as the file that the command line writes."""
    if asked.format == "csv":
        return Response(BOM + result_csv(found), media_type="text/csv")
    if asked.format == "html":
        return Response(result_page(found, partial(_picture, archive)), media_type="text/html")
    return found


def _picture(archive: Archive, item: str) -> bytes | None:
    """Return the picture of a hit; None also if another process has deleted it since the search."""
    try:
        return archive.picture(item)
    except UnknownItemError:
        return None


def _counts(counts: Mapping[str, int]) -> list[Count]:
    # An object of JSON keeps no order.
    return [Count(name=name, items=items) for name, items in counts.items()]
