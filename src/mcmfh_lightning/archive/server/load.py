"""Bounds on what the service does at once: requests that wait, and requests that encode."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, Semaphore

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mcmfh_lightning.archive.server.messages import UPLOADS, RefusedError

RETRY_SECONDS = 2  # when to ask again: eight films are encoded by then, if nothing else runs
WAIT_SECONDS = 30.0  # for a slot, on a machine that is busy with something else
UNBOUNDED = ("/healthz", "/metrics")  # asked when everything else is refused, and answered at once


@dataclass
class Lane:
    """Requests of a kind. They wait for each other, and not for those of other kinds.

    Attributes:
        kind: Name of the kind.
        places: Requests that arrive, wait or are answered, at most.
        slots: Those of them that encode, at most.
        taken: Places that are taken.
        refused: Requests that found no place, or no slot in time.
    """

    kind: str
    places: int
    slots: int = 0
    taken: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        self._slot = Semaphore(self.slots)
        self._counting = Lock()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot.

        Raises:
            RefusedError: If none is free in time.
        """
        if not self._slot.acquire(timeout=WAIT_SECONDS):
            self.refuse()
            detail = f"the service is busy: try again in {RETRY_SECONDS} seconds"
            raise RefusedError(503, detail, {"Retry-After": str(RETRY_SECONDS)})
        try:
            yield
        finally:
            self._slot.release()

    def refuse(self) -> None:
        """Count a request that was refused."""
        with self._counting:  # threads of requests, and the event loop
            self.refused += 1


class Load:
    """Lanes of a service: films, other searches, and everything else.

    Attributes:
        films: Searches by a picture, and previews. A picture takes up to 700 MB while it is decoded: one at a time.
        searches: Searches by a text or an item. `QueryHasher` encodes texts one by one, and what follows takes less
            time: two at a time. Items have their codes, and need no slot.
        others: Everything else: a page of hits asks for its pictures at once.
    """

    def __init__(self) -> None:
        self.films = Lane("film", places=16, slots=1)
        self.searches = Lane("search", places=48, slots=2)
        self.others = Lane("other", places=64)

    @property
    def lanes(self) -> Sequence[Lane]:
        """All lanes."""
        return self.films, self.searches, self.others

    def lane_of(self, path: str) -> Lane | None:
        """Return the lane of a request; None if it needs none."""
        if path in UNBOUNDED:
            return None
        if path.endswith(UPLOADS):
            return self.films
        return self.searches if path.endswith("/search") else self.others


class Bounded:
    """Answer 503 to a request that finds no place in its lane, before anything of its body is read."""

    def __init__(self, app: ASGIApp, load: Load) -> None:
        self._app = app
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while it has a place."""
        lane = self._load.lane_of(scope["path"]) if scope["type"] == "http" else None
        if lane is None:
            await self._app(scope, receive, send)
        elif lane.taken >= lane.places:
            lane.refuse()
            detail = f"{lane.places} requests of this kind are waiting: try again in {RETRY_SECONDS} seconds"
            answer = JSONResponse({"detail": detail}, 503, {"Retry-After": str(RETRY_SECONDS)})
            await answer(scope, receive, send)
        else:
            lane.taken += 1
            try:
                await self._app(scope, receive, send)
            finally:
                lane.taken -= 1
