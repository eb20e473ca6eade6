"""Checks before a request reaches the service: its origin, its size, and the headers of every answer.

Starlette's `AuthenticationMiddleware` asks the classes here who may ask. Its `TrustedHostMiddleware` does not know IPv6
addresses and answers in plain text. FastAPI's `HTTPBearer` runs after the body was read: it only describes the token in
``/openapi.json``. Neither has a limit for whole bodies.
"""

import asyncio
import hmac
import ipaddress
import logging
import os
import traceback
from collections.abc import Collection
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from starlette.authentication import AuthenticationBackend, AuthenticationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcmfh_lightning.archive.server.guesses import WrongTokens
from mcmfh_lightning.archive.server.messages import MAX_JSON_BYTES, MAX_UPLOAD_BYTES, UPLOADS
from mcmfh_lightning.errors import ConfigError

TOKEN_VARIABLE = "MCMFH_ARCHIVE_TOKEN"  # noqa: S105  # the name of the variable
MIN_TOKEN_CHARACTERS = 16
# For all of a body: who stops sending holds a place that others wait for. 20 MB take it at 1.3 Mbit/s.
BODY_SECONDS = 120.0
LOGGER = logging.getLogger(__name__)
_HEADERS = {
    # Nothing of an archive stays on a disk of the reader's, and no other site may show or embed it.
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_NOTHING = "default-src 'none'; frame-ancestors 'none'"


def read_token(file: Path | None) -> str | None:
    """Read the token from a file, else from the environment; a command line would show it to every user.

    Returns:
        The token; None if there is none.

    Raises:
        ConfigError: If the file cannot be read, or the token is short, empty or not of printable ASCII.
    """
    if file is None:
        source, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE)
    else:
        try:
            source, token = str(file), file.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} cannot be read as a token: name a file with one line of ASCII") from error
    if token is None:
        return None
    token = token.strip()
    if len(token) < MIN_TOKEN_CHARACTERS or not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(
            f"{source}: a token has {MIN_TOKEN_CHARACTERS} or more printable ASCII characters and no space;"
            " make one with: openssl rand -hex 24"
        )
    return token


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is of this machine alone."""
    name = host.strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def refuse(_: HTTPConnection, error: AuthenticationError) -> JSONResponse:
    """Answer a request that may not be asked; the error has a status, a message and headers."""
    status, detail, headers = error.args
    return JSONResponse({"detail": detail}, status, headers)


class TokenRequired(AuthenticationBackend):
    """Access under ``/api/`` and to ``/metrics`` for requests with the token; nothing of a body has been read by then.

    A client that has sent many wrong tokens has to wait, even with the right one, which it may have guessed.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._wrong = WrongTokens()

    async def authenticate(self, conn: HTTPConnection) -> None:
        """Refuse a request without the token."""
        path: str = conn.scope["path"]
        if "/api/" not in path and not path.startswith("/metrics"):
            return
        client = conn.client.host if conn.client else ""
        if seconds := self._wrong.seconds_to_wait(client):
            detail = f"too many wrong tokens from this address: try again in {seconds} seconds"
            raise AuthenticationError(429, detail, {"Retry-After": str(seconds)})
        scheme, _, given = conn.headers.get("authorization", "").partition(" ")
        given, bearer = given.strip(), scheme.lower() == "bearer"
        # Constant time, whatever is given. Headers are latin-1.
        if not hmac.compare_digest(given.encode("latin-1"), self._token) or not bearer:
            if given and bearer:
                self._wrong.add(client)
            raise AuthenticationError(401, "this archive asks for its token", {"WWW-Authenticate": "Bearer"})


class OwnPagesOnly(AuthenticationBackend):
    """Access for pages and programs of this machine, but not for other web pages in a browser of this machine.

    Without a token, everything that reaches loopback is answered, and a browser lets any page try. ``Host`` shows a
    name that is rebound to 127.0.0.1, ``Origin`` and ``Sec-Fetch-Site`` show a request from another site. Not used
    with a token, which such a page does not have.

    Args:
        pages: Paths of the pages, which may be reached by a link on another page.
    """

    def __init__(self, pages: Collection[str]) -> None:
        self._pages = pages

    async def authenticate(self, conn: HTTPConnection) -> None:
        """Refuse a request under a foreign name or from a foreign page."""
        host, origin = conn.headers.get("host", ""), conn.headers.get("origin")
        if not is_loopback(_split(f"//{host}").hostname or ""):
            raise AuthenticationError(421, "only names of this machine are answered to without a token", None)
        foreign = origin is not None and _split(origin).netloc != host
        if conn.scope["path"] not in self._pages:
            foreign |= conn.headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
        if foreign:
            raise AuthenticationError(403, "requests of other web pages are refused", None)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


class BodyLimit:
    """Answer 413 as soon as a body is known to be too large, by its header or while it arrives, and 408 if it stops."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting the bytes of its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_JSON_BYTES + (MAX_UPLOAD_BYTES if scope["path"].endswith(UPLOADS) else 0)
        too_large = JSONResponse({"detail": f"the body is larger than {limit:,} bytes: send less"}, 413)
        too_slow = JSONResponse(
            {"detail": f"the body did not arrive in {BODY_SECONDS:.0f} seconds: send it again"}, 408
        )
        length = Headers(scope=scope).get("content-length", "")
        # At most 20 digits are read. A header that is wrong is found by counting below.
        if length.isdecimal() and int(length[:20]) > limit:
            await too_large(scope, receive, send)
            return
        seen, whole, answered, refusal = 0, False, False, None
        end = asyncio.get_running_loop().time() + BODY_SECONDS

        async def counted() -> Message:
            nonlocal seen, whole, refusal
            try:
                async with asyncio.timeout_at(None if whole else end):
                    message = await receive()
            except TimeoutError:
                refusal = too_slow
                raise _BodyRefusedError from None
            whole = not message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > limit:
                refusal = too_large
                raise _BodyRefusedError
            return message

        async def replaced(message: Message) -> None:
            # The application answers a body that breaks off with 400, in words of its own: it does not know why.
            nonlocal answered
            if refusal is None:
                await send(message)
            elif not answered:
                answered = True
                await refusal(scope, receive, send)

        try:
            await self._app(scope, counted, replaced)
        except _BodyRefusedError:
            await replaced({})


class _BodyRefusedError(Exception):
    pass


class SafeAnswers:
    """Headers of every answer, and an answer of status 500 that says nothing.

    An answer without a policy of its own gets one that lets it load nothing. Starlette's own handler of unexpected
    errors raises them again, and the server logs their message, which may hold a query or a report. Here the log gets
    the lines of the traceback, which hold only code.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        started = False

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Content-Security-Policy", _NOTHING)
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception as error:
            log_quietly(error)
            if scope["type"] == "http" and not started:
                answer = JSONResponse({"detail": "the server failed; its log says where"}, 500)
                await answer(scope, receive, with_headers)


def log_quietly(error: Exception) -> None:
    """Log where an error was raised, without its message."""
    frames = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    LOGGER.error("%s in an answer:\n%s", type(error).__name__, frames.rstrip())
