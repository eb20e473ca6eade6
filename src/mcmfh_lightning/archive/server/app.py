"""HTTP service of an archive: its application, its page and its server."""

import base64
import hashlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from html import escape
from http import HTTPStatus
from importlib.resources import files
from threading import Thread
from urllib.parse import quote

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.authentication import AuthenticationMiddleware

from mcmfh_lightning import __version__
from mcmfh_lightning.archive.filters import QueryError, UnknownError, UnknownItemError
from mcmfh_lightning.archive.server.load import Bounded, Load
from mcmfh_lightning.archive.server.messages import RefusedError, public_errors
from mcmfh_lightning.archive.server.metrics import CONTENT_TYPE, Metrics
from mcmfh_lightning.archive.server.middleware import (
    BodyLimit,
    OwnPagesOnly,
    SafeAnswers,
    TokenRequired,
    log_quietly,
    refuse,
)
from mcmfh_lightning.archive.server.observing import AccessLog, Observed
from mcmfh_lightning.archive.server.routes import NotServedError, ServedArchive, routes
from mcmfh_lightning.errors import ConfigError, McmfhError

# Beyond it uvicorn answers 503 in plain text, so that there are files left to open. `Load` refuses requests before.
MAX_CONNECTIONS = 500
_SPARE_THREADS = 8  # for what has no lane
# One script in this order; the parts share their names.
_SCRIPTS = (
    *("elements.js", "api.js", "pictures.js", "picks.js", "cards.js", "filters.js", "results.js", "film.js"),
    *("saving.js", "links.js", "main.js"),
)


def _page(name: str) -> HTMLResponse:
    """Put the page of an archive together from the files next to this one."""
    brand = f'<a href="../">mcmfh archive</a> {escape(name)}' if name else "mcmfh archive"
    script = "\n" + "\n".join(map(_read, _SCRIPTS))
    html = _read("page.html").replace("{of}", f" in {escape(name)}" if name else "").replace("{brand}", brand)
    return _html(html.replace("{script}", script), script)


def _index(names: Iterable[str]) -> HTMLResponse:
    """Make the page that leads to the pages of several archives."""
    links = "".join(f'<li><a href="{quote(name)}/">{escape(name)}</a></li>' for name in names)
    return _html(_read("index.html").replace("{links}", links))


def _read(name: str) -> str:
    return (files("mcmfh_lightning.archive.server") / "page" / name).read_text("utf-8")


def _html(html: str, script: str = "") -> HTMLResponse:
    """Give a page its style, and a policy that lets nothing run or load but what it holds."""
    style = "\n" + _read("page.css")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src 'self' blob: data:; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return HTMLResponse(html.replace("{style}", style), headers={"Content-Security-Policy": policy})


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def create_app(
    archives: Mapping[str, ServedArchive],
    token: str | None = None,
    access_log: AccessLog | None = None,
) -> FastAPI:
    """Make the service; ``/openapi.json`` describes it.

    Args:
        archives: Archives by name. A single one may have the name "": its page is ``/``, and its service is below
            ``/api/``. Others have pages at ``/NAME/``, and services below ``/NAME/api/``. They share the bounds on what
            is done at once.
        token: Bearer token that every question to a service must have. Without one, only pages and programs of this
            machine are answered.
        access_log: Where to write a line for each request.
    """
    load = Load()
    metrics = Metrics(load, lambda: {name: one.opened for name, one in archives.items() if one.opened is not None})

    def warm() -> None:
        for one in archives.values():
            one.warm()

    def check_health() -> dict[str, str]:
        for one in archives.values():
            one.check_health()
        return {"status": "ok"}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Requests wait in threads: as many as there are places, so that a lane that is full stops no other.
        current_default_thread_limiter().total_tokens = sum(lane.places for lane in load.lanes) + _SPARE_THREADS
        # A daemon: who stops the server does not wait for an encoder; see `run`.
        app.state.warming = Thread(target=warm, daemon=True)
        app.state.warming.start()
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
    for kind in (RequestValidationError, HTTPException, McmfhError):
        app.add_exception_handler(kind, _answer_error)

    pages = {f"/{name}/": _page(name) for name in archives if name}
    pages["/"] = _index(archives) if pages else _page("")
    for path, page in pages.items():
        app.add_api_route(path, partial(_same, page), include_in_schema=False, response_class=HTMLResponse)
    for name, one in archives.items():
        app.include_router(routes(one, load, guarded=token is not None), prefix=f"/{name}" if name else "")
    app.add_api_route("/healthz", check_health, include_in_schema=False)
    app.add_api_route("/metrics", lambda: Response(metrics.text(), media_type=CONTENT_TYPE), include_in_schema=False)

    # The last is the first to see a request.
    app.add_middleware(BodyLimit)
    app.add_middleware(Bounded, load=load)
    backend = OwnPagesOnly(pages) if token is None else TokenRequired(token)
    app.add_middleware(AuthenticationMiddleware, backend=backend, on_error=refuse)
    app.add_middleware(SafeAnswers)
    app.add_middleware(Observed, metrics=metrics, log=access_log)
    return app


def _same(page: HTMLResponse) -> HTMLResponse:
    return page


async def _answer_error(_: Request, error: Exception) -> JSONResponse:
    """Give every error the form ``{"detail": "one line"}``, which never quotes the request."""
    headers = None
    if isinstance(error, RequestValidationError):
        status, detail = 422, public_errors(list(error.errors()))
    elif isinstance(error, HTTPException):
        # The frameworks' own messages may quote what they could not parse; ours do not.
        status, headers = error.status_code, error.headers
        detail = error.detail if isinstance(error, RefusedError) else HTTPStatus(status).phrase.lower()
    elif isinstance(error, QueryError):  # names options; whatever it could quote was refused by the model
        status, detail = 422, str(error)
    elif isinstance(error, UnknownError):
        status, detail = 404 if isinstance(error, UnknownItemError) else 422, error.public
    elif isinstance(error, NotServedError):
        status, detail = 503, str(error)
    else:
        # Everything that a request can do wrong has been refused by now: the archive itself is at fault.
        log_quietly(error)
        status, detail = 503, "the archive cannot be read now; try again, or see mcmfh-archive verify"
    return JSONResponse({"detail": detail}, status, headers=headers)


def listen(host: str, port: int) -> socket.socket:
    """Open the port.

    Raises:
        ConfigError: If it is taken, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot listen at {host}, port {port} ({error}): choose another --host or --port") from error
    # asyncio does so only where it made the socket; without, each answer waits 40 ms for an acknowledgment.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def run(app: FastAPI, listener: socket.socket, proxy: str | None = None) -> None:
    """Answer requests until Ctrl+C.

    Args:
        app: The service.
        listener: Its port.
        proxy: Address of a proxy in front, which names the client in ``X-Forwarded-For``.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s")
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # paths hold ids
        server_header=False,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
    warming: Thread | None = getattr(app.state, "warming", None)
    if warming is not None and warming.is_alive():
        os._exit(0)  # Python aborts when it ends in the middle of a thread that imports torch
