"""The HTTP service, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Thread

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from mcmfh_lightning import __version__
from mcmfh_lightning.archive.server.auth import OwnPagesOnly, TokenRequired
from mcmfh_lightning.archive.server.failures import QuietErrors, add_error_answers
from mcmfh_lightning.archive.server.headers import SecurityHeaders
from mcmfh_lightning.archive.server.limits import BodyLimit
from mcmfh_lightning.archive.server.page import page
from mcmfh_lightning.archive.server.routes import routes
from mcmfh_lightning.archive.server.served import ServedArchive


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
