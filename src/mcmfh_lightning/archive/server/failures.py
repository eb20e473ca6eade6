"""What went wrong, told to the client in one line and to the log without anybody's words."""

import logging
import traceback
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcmfh_lightning.archive.server.limits import RefusedError, public_errors
from mcmfh_lightning.archive.server.served import NotServedError
from mcmfh_lightning.errors import McmfhError

LOGGER = logging.getLogger(__name__)


def add_error_answers(app: FastAPI) -> None:
    """Give every error the form ``{"detail": "one line"}``, which never quotes the request."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": public_errors(list(error.errors()))}, 422)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        # The frameworks' own messages may quote what they could not parse; ours do not.
        told = error.detail if isinstance(error, RefusedError) else HTTPStatus(error.status_code).phrase.lower()
        return JSONResponse({"detail": told}, error.status_code, headers=error.headers)

    @app.exception_handler(NotServedError)
    async def not_served(_: Request, error: NotServedError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503)

    @app.exception_handler(McmfhError)
    async def unreadable(_: Request, error: McmfhError) -> JSONResponse:
        # Everything that a request can do wrong has been refused by now: the archive itself is at fault.
        _log(error)
        return JSONResponse({"detail": "the archive cannot be read now; try again, or see mcmfh-archive verify"}, 503)


class QuietErrors:
    """Answers 500 to what nobody foresaw and logs where it was raised, but neither its message nor the request.

    The message of an exception may hold a query or a report; the lines of a traceback hold only code.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            _log(error)
            if scope["type"] == "http" and not started:
                answer = JSONResponse({"detail": "the server failed; its log says where"}, 500)
                await answer(scope, receive, send)


def _log(error: Exception) -> None:
    """Write down where an error was raised."""
    frames = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    LOGGER.error("%s in an answer:\n%s", type(error).__name__, frames.rstrip())
