"""The questions that an archive answers over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Path, Response, Security, UploadFile
from fastapi.security import HTTPBearer
from pydantic import Json

from mcmfh_lightning.archive.archive import Archive
from mcmfh_lightning.archive.filters import Filters
from mcmfh_lightning.archive.results import Item, SearchResult
from mcmfh_lightning.archive.server.limits import IMAGE_SEARCH, MAX_ID_CHARACTERS, RefusedError, read_picture
from mcmfh_lightning.archive.server.models import NO_NUL, Choices, Info, Problem, SearchOptions, SearchRequest
from mcmfh_lightning.archive.server.served import ServedArchive
from mcmfh_lightning.archive.snapshot import UnknownItemError
from mcmfh_lightning.metrics.functional import packed_width

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
        422: "Something of the request is not as it must be",
        500: "The server failed",
        503: "There is no archive yet, or its encoder is not at hand",
    }.items()
}
_JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "The picture"}}

# None instead of the defaults themselves: FastAPI 0.115 parses a default as if it had been sent.
Options = Annotated[
    Json[SearchOptions] | None, Form(description="JSON: what the body of /api/search may hold beside a query")
]
ItemPath = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_NUL)]


def _answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problems of a question, beside those of every one."""
    return {status: _PROBLEMS[status] for status in sorted({*statuses, 401, 403, 421, 500, 503})}


def routes(served: ServedArchive, *, guarded: bool) -> APIRouter:
    """All questions; each is a plain function that runs in a thread of its own.

    Args:
        served: What is asked.
        guarded: Whether to describe them as asking for a token. What refuses, before it reads anything of a body, is
            `mcmfh_lightning.archive.server.auth.TokenRequired`.
    """
    router = APIRouter(prefix="/api", dependencies=[Security(HTTPBearer(auto_error=False))] if guarded else [])

    @router.get("/info", responses=_answers())
    def info() -> Info:
        """Number of items, bits and bytes of the codes."""
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

    @router.get("/facets", responses=_answers())
    def facets() -> Choices:
        """Labels, licences, splits and dates of the items, for filters."""
        return Choices.of(served.current().facets())

    @router.post("/search", responses=_answers(400, 404, 413, 422))
    def search(request: SearchRequest) -> SearchResult:
        """Search by a text, or by an item of the archive."""
        filters, options = request.filters.parsed(), _options(request)
        if request.text is not None:
            archive = _checked(served.with_encoder(), filters)
            with served.encoding():
                return archive.search(text=request.text, filters=filters, **options)
        archive = _checked(served.current(), filters)
        item = _item(archive, request.id or "")
        if request.modality is not None and not {"image": item.has_image, "text": item.has_text}[request.modality]:
            raise RefusedError(422, f"the item has no {request.modality}: search by its other modality")
        return archive.search(id=item.id, modality=request.modality, filters=filters, **options)

    @router.post(IMAGE_SEARCH.removeprefix("/api"), responses=_answers(400, 413, 415, 422))
    def search_image(
        image: Annotated[UploadFile, File(description="JPEG, PNG or DICOM")],
        options: Options = None,
    ) -> SearchResult:
        """Search by a picture, which is not kept."""
        options = options or SearchOptions()
        filters = options.filters.parsed()
        archive = _checked(served.with_encoder(), filters)
        with served.encoding():
            picture = read_picture(image.file, image.filename, archive.info.value_range)
            return archive.search(image=picture, filters=filters, **_options(options))

    @router.get("/items/{item_id:path}", responses=_answers(404, 422))
    def item(item_id: ItemPath) -> Item:
        """What is known of an item."""
        return _item(served.current(), item_id)

    # Not below /items: ids may hold slashes.
    @router.get("/pictures/{item_id:path}", responses=_JPEG | _answers(404, 422), response_class=Response)
    def picture(item_id: ItemPath) -> Response:
        """Picture of an item."""
        archive = served.current()
        found = archive.picture(_item(archive, item_id).id)
        if found is None:
            raise RefusedError(404, "neither the archive nor its collection holds a picture of the item")
        return Response(found, media_type="image/jpeg")

    return router


def _options(options: SearchOptions) -> dict[str, Any]:
    return options.model_dump(include={"k", "radius", "against", "rerank", "offset", "limit"})


def _item(archive: Archive, item_id: str) -> Item:
    try:
        return archive.item(item_id)
    except UnknownItemError as error:  # quotes the id
        raise RefusedError(404, "the archive has no such item") from error


def _checked(archive: Archive, filters: Filters) -> Archive:
    """Refuse unknown labels and groups in words that do not quote them."""
    known = archive.facets().labels
    if any(label not in known for label in filters.named_labels):
        raise RefusedError(422, "filters: a label is unknown to the archive; /api/facets lists them")
    if not archive.knows_groups(filters):
        raise RefusedError(422, "filters: a group is unknown to the archive; items say their group")
    return archive
