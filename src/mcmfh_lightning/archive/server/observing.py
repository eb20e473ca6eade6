"""What is noted of each request: numbers for Prometheus, and a line of an access log. Neither holds contents."""

import json
import logging
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcmfh_lightning.archive.server.metrics import Metrics
from mcmfh_lightning.errors import ConfigError, reason

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OTHER = "other"  # a method that HTTP does not have; a path that the service does not have, or that was refused before
UNANSWERED = 499  # as nginx writes it: the client has gone


class AccessLog:
    """File with a line of JSON for each request: time, client, method, route, status, milliseconds and bytes.

    Paths hold ids of items, so a line has the template of the path. Programs that rotate logs may rename the file.

    Args:
        path: File; lines are added to it.

    Raises:
        ConfigError: If it cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._handler = WatchedFileHandler(path, encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be written as an access log ({reason(error)}): choose another --access-log"
            ) from error

    def write(self, line: dict[str, object]) -> None:
        """Add a line. A full disk is reported by logging on the standard error stream, and stops no answer."""
        self._handler.emit(logging.makeLogRecord({"msg": json.dumps(line)}))


class Observed:
    """Measure each request, whatever becomes of it."""

    def __init__(self, app: ASGIApp, metrics: Metrics, log: AccessLog | None) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        time, started, status, size = datetime.now(UTC), perf_counter(), UNANSWERED, 0

        async def measured(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, measured)
        finally:
            seconds = perf_counter() - started
            method = scope["method"] if scope["method"] in METHODS else OTHER
            route = getattr(scope.get("route"), "path", OTHER)  # set where the path was found
            self._metrics.count(method, route, status, seconds)
            if self._log is not None:
                client = scope.get("client") or ("", 0)
                self._log.write(
                    {
                        "time": time.isoformat(timespec="milliseconds"),
                        "client": client[0],
                        "method": method,
                        "route": route,
                        "status": status,
                        "ms": round(1e3 * seconds, 1),
                        "bytes": size,
                    }
                )
