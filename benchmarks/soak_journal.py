"""What the writer of `soak` has done, and what answers must and must not hold because of it."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ADDING, COMMITTED, ADDED, DELETING, DELETED = "adding", "committed", "added", "deleting", "deleted"
ERASED, COMPACTED = "erased", "compacted"


def note(path: Path, event: str, ids: Sequence[str] = (), version: int | None = None) -> None:
    """Add an event to the journal, with the items that it is about and the version of the table after it."""
    with path.open("a") as stream:
        stream.write(json.dumps({"at": time.time(), "event": event, "ids": list(ids), "version": version}) + "\n")


class Journal:
    """Events of the writer, read while they are written.

    Attributes:
        events: Event and ids of each line.
        shown: Version that the service is known to have opened.
        lag: Seconds from a change to the version that shows it, at most.
        looked_for_gone: How often an item that had been deleted was looked for in an answer.

    Args:
        path: File of the writer.
        staying: Ids of items that are always there.
        changing: Ids of items that are added and deleted.
    """

    def __init__(self, path: Path, staying: Sequence[str], changing: Sequence[str]) -> None:
        path.touch()
        self._stream = path.open()
        self._known = {*staying, *changing}
        # Version from which on an item is there or gone; in neither while it is being added or deleted.
        self._there = dict.fromkeys(staying, 0)
        self._gone = dict.fromkeys(changing, 0)
        self._unseen: list[tuple[int, float]] = []  # versions that the service has not opened, and when they came
        self.events: list[tuple[str, list[str]]] = []
        self.shown, self.lag = 0, 0.0
        self.looked_for_gone = 0

    def update(self) -> None:
        """Read what is new; a line that is not whole yet is read later."""
        while True:
            place = self._stream.tell()
            line = self._stream.readline()
            if not line.endswith("\n"):
                self._stream.seek(place)
                return
            found = json.loads(line)
            event, ids = found["event"], found["ids"]
            self.events.append((event, ids))
            for item in ids:
                self._there.pop(item, None)
                self._gone.pop(item, None)
                if event in (ADDED, DELETED):
                    (self._there if event == ADDED else self._gone)[item] = found["version"]
            if event in (ADDED, DELETED):
                self._unseen.append((found["version"], found["at"]))

    def show(self, version: int) -> None:
        """Note the version that the service has opened."""
        self.update()
        self.shown = version
        self.lag = max([self.lag, *(time.time() - at for number, at in self._unseen if number <= version)])
        self._unseen = [unseen for unseen in self._unseen if unseen[0] > version]

    def faults(
        self, hits: Sequence[Mapping[str, Any]], shown: int, own: set[str], *, everything: bool
    ) -> Iterator[str]:
        """Find what is wrong in an answer.

        Args:
            hits: Its hits.
            shown: Version that the service had opened before it was asked.
            own: Items that must not be in it: the one that is searched by.
            everything: Whether all items were asked for.

        Yields:
            A line for each fault.
        """
        self.update()
        ids = [hit["item"]["id"] for hit in hits]
        if len(set(ids)) < len(ids):
            yield f"{len(ids) - len(set(ids))} items twice"
        if [hit["rank"] for hit in hits] != list(range(1, len(ids) + 1)):
            yield "ranks with a gap"
        if foreign := set(ids) - self._known | set(ids) & own:
            yield f"{foreign} must not be found"
        gone = {item for item, since in self._gone.items() if since <= shown}
        self.looked_for_gone += len(gone)
        if deleted := gone & set(ids):
            yield f"{deleted} had been deleted"
        there = {item for item, since in self._there.items() if since <= shown} - own
        if everything and (missing := there - set(ids)):
            yield f"{missing} are missing"
