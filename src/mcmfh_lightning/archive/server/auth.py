"""Who may ask: holders of the token, or without one the pages and programs of this machine."""

import hmac
import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mcmfh_lightning.errors import ConfigError

TOKEN_VARIABLE = "MCMFH_ARCHIVE_TOKEN"  # noqa: S105  # the name of the variable
MIN_TOKEN_CHARACTERS = 16
API = "/api/"


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
    """Whether a host's name or address is of this machine alone."""
    name = host.strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


class TokenRequired:
    """Answers 401 under ``/api/`` unless the request carries the token; nothing of its body has been read by then."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and scope["path"].startswith(API):
            scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
            # Constant time, whatever is given. Headers are latin-1.
            if not hmac.compare_digest(given.strip().encode("latin-1"), self._token) or scheme.lower() != "bearer":
                refusal = JSONResponse({"detail": "this archive asks for its token"}, 401)
                refusal.headers["WWW-Authenticate"] = "Bearer"
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


class OwnPagesOnly:
    """Refuses what a foreign web page makes a browser of this machine send.

    Without a token, everything that reaches loopback is answered, and a browser lets any page try. A name that is
    rebound to 127.0.0.1 is told by its ``Host``, a request from another site by ``Origin`` and ``Sec-Fetch-Site``.
    Not used with a token, which such a page does not have.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host", ""), headers.get("origin")
            if not is_loopback(_host_name(host)):
                refusal = JSONResponse({"detail": "only names of this machine are answered to without a token"}, 421)
                await refusal(scope, receive, send)
                return
            foreign = headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
            if (foreign and _is_data(scope)) or (origin is not None and _host_of(origin) != host):
                await JSONResponse({"detail": "requests of other web pages are refused"}, 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_data(scope: Scope) -> bool:
    """The page itself may be reached by a link on another page."""
    return bool(scope["path"] != "/")


def _host_name(host: str) -> str:
    """Name or address without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
