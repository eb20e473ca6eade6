"""What a request may weigh, and what an upload must be, before any of it is worked on."""

from collections.abc import Mapping
from typing import Any, BinaryIO

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcmfh_lightning.images.decode import decode_picture, picture_size
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.images.unusable import (
    FIXES,
    NO_PYDICOM,
    NOT_A_PICTURE,
    TOO_LARGE,
    UNDECODABLE,
    UNREADABLE,
    PictureError,
)

IMAGE_SEARCH = "/api/search/image"

MAX_UPLOAD_BYTES = 20 * 1024**2
"""Of a picture. The most that its form may weigh is this and `MAX_JSON_BYTES` more."""

MAX_JSON_BYTES = 128 * 1024
"""Of any other body. `MAX_QUERY_CHARACTERS` fit in it, whatever escapes the client writes them with."""

MAX_PIXELS = 36_000_000
"""Of a picture: films of digital radiography have 5 to 24 million. Decoding one takes up to 20 bytes a pixel."""

MAX_SIDES_RATIO = 20
"""Of the longer to the shorter side: encoders scale the shorter one to some 256 pixels, which makes one of 12 GB of a
picture of 1 by 60,000. Films of a whole leg or spine have 3 to 5."""

MAX_QUERY_CHARACTERS = 5_000
MAX_ID_CHARACTERS = 512
MAX_K = 1_000
MAX_RADIUS = 1_024
MAX_RERANK = 2_000
MAX_PAGE = 100
MAX_OFFSET = 1_000_000
MAX_CHOICES = 100
"""Entries of one filter."""

_DAMAGED = "the picture is damaged or incomplete: export it again"
_REFUSALS: Mapping[str, tuple[int, str]] = {
    NOT_A_PICTURE: (415, "the file is not a JPEG, PNG or DICOM picture: export it as one of these"),
    NO_PYDICOM: (415, "this service reads no DICOM, as pydicom is not installed here: send the picture as JPEG or PNG"),
    TOO_LARGE: (413, f"the picture has more than {MAX_PIXELS:,} pixels: send a smaller one"),
    UNDECODABLE: (422, _DAMAGED),
    UNREADABLE: (422, _DAMAGED),
}
"""Status and message by the reason why there is no picture. What the decoder says of a file may quote it."""


class RefusedError(HTTPException):
    """A request that is turned away with a message of ours, which repeats nothing of the request."""


class BodyLimit:
    """Ends a request with 413 as soon as its body is known to be too large: by its header, or while it arrives."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting the bytes of its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_JSON_BYTES + (MAX_UPLOAD_BYTES if scope["path"] == IMAGE_SEARCH else 0)
        refusal = JSONResponse({"detail": f"the body is larger than {limit:,} bytes: send less"}, 413)
        length = Headers(scope=scope).get("content-length", "")
        # Without leading zeros in no more than 20 digits, however long; what lies is counted below.
        if length.isdecimal() and int(length[:20]) > limit:
            await refusal(scope, receive, send)
            return
        seen, answered = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _BodyTooLargeError
            return message

        async def replaced(message: Message) -> None:
            # The application answers a body that breaks off with 400, in words of its own: it does not know why.
            nonlocal answered
            if seen <= limit:
                await send(message)
            elif not answered:
                answered = True
                await refusal(scope, receive, send)

        try:
            await self._app(scope, counted, replaced)
        except _BodyTooLargeError:
            await replaced({})


class _BodyTooLargeError(Exception):
    pass


def read_picture(upload: BinaryIO, filename: str | None, value_range: ValueRange | None) -> Image.Image:
    """Decode an uploaded picture after every check that costs less than decoding.

    Args:
        upload: The bytes, from their beginning.
        filename: What the client calls it. Used for nothing, but one that names a folder is no browser's.
        value_range: That of the archive.

    Returns:
        RGB.

    Raises:
        RefusedError: 413 if it has too many bytes or pixels or is a strip, 415 if it is not JPEG, PNG or DICOM by its
            content, 422 if it says it is and cannot be decoded, or if the name has a folder or an unprintable character
            in it.
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
    """One line on what is wrong with a request, from pydantic's findings, which quote it: values are left out.

    Args:
        errors: Of ``RequestValidationError.errors()``.
    """
    found = []
    for error in errors:
        where = [str(part) for part in error["loc"][1:]]  # the first says body, path or query
        kind = error["type"]
        if kind == "extra_forbidden":  # its place is a name that the client chose
            found.append(f"{'.'.join(where[:-1]) or 'body'}: unknown key")
        elif kind == "json_invalid":  # the place in a body is a number
            found.append(f"{'body' if isinstance(error['loc'][1], int) else where[0]}: not JSON")
        else:
            found.append(f"{'.'.join(where) or 'body'}: {error['msg'].removeprefix('Value error, ')}")
    return "; ".join(dict.fromkeys(found))
