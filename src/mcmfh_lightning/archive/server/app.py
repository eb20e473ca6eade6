"""The HTTP service, put together.

Headers of every answer.

The page: one document whose style and script are within it, and a policy under which nothing else runs or loads.
"""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from threading import Thread
from typing import NamedTuple

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcmfh_lightning import __version__
from mcmfh_lightning.archive.server.auth import OwnPagesOnly, TokenRequired
from mcmfh_lightning.archive.server.failures import QuietErrors, add_error_answers
from mcmfh_lightning.archive.server.limits import BodyLimit
from mcmfh_lightning.archive.server.routes import routes
from mcmfh_lightning.archive.server.served import ServedArchive

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


class SecurityHeaders:
    """Adds them; an answer without a policy of its own gets one that lets it load nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Content-Security-Policy", _NOTHING)
            await send(message)

        await self._app(scope, receive, with_headers)


_SCRIPTS = ("elements.js", "api.js", "pictures.js", "cards.js", "filters.js", "results.js", "main.js")
"""One script in this order; the parts share their names."""


class Page(NamedTuple):
    """What is sent."""

    html: str
    policy: str
    """Content-Security-Policy."""


@cache
def page() -> Page:
    """Put the page together from the files beside this one."""
    folder = files("mcmfh_lightning.archive.server") / "page"
    style, script = (
        "\n" + "\n".join((folder / name).read_text("utf-8") for name in names) for names in (("page.css",), _SCRIPTS)
    )
    html = (folder / "page.html").read_text("utf-8").replace("{style}", style).replace("{script}", script)
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "'self' blob: data:",
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return Page(html, "; ".join(f"{name} {value}" for name, value in policy.items()))


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def create_app(served: ServedArchive, token: str | None = None) -> FastAPI:
    """Make the service; ``/openapi.json`` describes it.

    Args:
        served: What is searched.
        token: What every question under ``/api/`` must carry as a bearer token. Without one, only pages and programs
            of this machine are answered.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # A daemon: who stops the server does not wait for an encoder.
        Thread(target=served.warm, daemon=True).start()
        yield

    app = FastAPI(
        title="mcmfh archive",
        summary="Search of hashed medical cases. Research use, not diagnosis.",
        version=__version__,
        lifespan=lifespan,
        # Their assets come from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(routes(served, guarded=token is not None))
    add_error_answers(app)

    @app.get("/", include_in_schema=False)
    def index() -> HTMLResponse:
        return HTMLResponse(page().html, headers={"Content-Security-Policy": page().policy})

    # The last is the first to see a request.
    app.add_middleware(BodyLimit)
    if token is None:
        app.add_middleware(OwnPagesOnly)
    else:
        app.add_middleware(TokenRequired, token=token)
    app.add_middleware(QuietErrors)
    app.add_middleware(SecurityHeaders)
    return app
