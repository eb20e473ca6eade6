"""The service of an archive under load, while another process changes the archive.

    python benchmarks/soak.py [--minutes N] [--clients N ...] [--folder DIR]

Clients search by text, film and item as fast as they get answers. Meanwhile a process adds items, deletes some, erases
them from the disk and compacts the table, again and again; it is killed (`kill -9`) in the middle of adding once for
each number of clients, and started again. Answers are checked: each item once, ranks without a gap, every item that is
there, none that was deleted.

Prints requests by kind and outcome with percentiles of their times, and the memory of the service. Refused requests
(503 with Retry-After) are repeated after that time, and counted apart. Exit code 1 if there was an error or an answer
was wrong.
"""

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import pandas as pd
from measurements import machine, markdown
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from soak_archive import NUM_BITS, Collection, make_archive
from soak_journal import ADDING, COMMITTED, Journal

from mcmfh_lightning.archive.store import ItemTable

SERVE = "import sys; from mcmfh_lightning.cli.archive import main; main(['serve', *sys.argv[1:]])"
KINDS = ("text", "film", "item")
MOST = 100  # hits of an answer; more than the archive has items
TIMEOUT = aiohttp.ClientTimeout(total=300)  # a service that does not answer at all


class Service:
    """``mcmfh-archive serve`` in a process of its own."""

    def __init__(self, archive: Path, log: Path) -> None:
        self._log = log
        with log.open("wb") as stream:
            command = [sys.executable, "-c", SERVE, str(archive), "--port", "0"]
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream)  # noqa: S603  # this package's
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())):
            if self.process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
        self.url = found.group()

    def memory(self, kind: str = "VmRSS") -> float:
        """Return what is resident now, or at most (``VmHWM``), in MB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(kind))

    def log(self) -> str:
        """Return what it has said."""
        return self._log.read_text()


class Writer:
    """Process that changes the archive, and can be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.killed = 0
        self._start()
        while not (folder / "journal.jsonl").read_text():  # its imports take a while
            self.check()
            time.sleep(0.1)

    def _start(self) -> None:
        with (self._folder / "writer.log").open("ab") as stream:
            command = [sys.executable, str(Path(__file__).with_name("soak_writer.py")), str(self._folder)]
            self._process = subprocess.Popen(command, stdout=stream, stderr=stream)  # noqa: S603  # next to this file

    def check(self) -> None:
        """Stop everything if it has ended by itself.

        Raises:
            SystemExit: If it has.
        """
        if self._process.poll() is not None:
            raise SystemExit(f"the writer has ended:\n{(self._folder / 'writer.log').read_text()[-3000:]}")

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    async def kill_while_adding(self, journal: Journal) -> None:
        """Kill it after the first commit of several, and start it again."""
        seen = len(journal.events)
        while True:  # once it is known to be in the middle
            journal.update()
            events = [event for event, _ in journal.events[seen:]]
            if ADDING in events and COMMITTED in events[events.index(ADDING) :]:
                break
            await asyncio.sleep(0.005)
        self.kill()
        journal.update()
        self.killed += journal.events[-1][0] == COMMITTED
        self._start()


@dataclass
class Outcomes:
    """What became of the requests.

    Attributes:
        seconds: Times of requests that were answered, by kind.
        statuses: Numbers of requests by kind and status; 0 stands for no answer.
        refused: Numbers of requests that were asked to come again, by kind.
        errors: What went wrong.
        wrong: What was wrong in answers.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def table(self) -> str:
        """Write a table of kinds."""
        rows = []
        for kind in KINDS:
            times = 1e3 * np.array(self.seconds[kind] or [np.nan])
            row = {"by": kind, "answered": len(self.seconds[kind]), "refused": self.refused[kind]}
            row |= {"statuses": ", ".join(f"{s}: {n}" for (k, s), n in sorted(self.statuses.items()) if k == kind)}
            rows.append(row | {f"p{p} ms": f"{np.percentile(times, p):.0f}" for p in (50, 95, 99)})
        return markdown(pd.DataFrame(rows))


class Client:
    """Client that asks one question after another.

    Args:
        session: Connections.
        items: What is in the archive.
        journal: What the writer has done.
        outcomes: Where to note what becomes of the questions.
        number: Number of the client, from which its questions are drawn.
    """

    def __init__(
        self, session: aiohttp.ClientSession, items: Collection, journal: Journal, outcomes: Outcomes, number: int
    ) -> None:
        self._session, self._items, self._journal, self._outcomes = session, items, journal, outcomes
        self._draw = random.Random(number)  # noqa: S311  # questions

    async def run(self, end: float) -> None:
        """Ask until a moment of the clock."""
        while time.monotonic() < end:
            await self.ask(self._draw.choice(KINDS))

    async def ask(self, kind: str) -> None:
        """Ask once, and check the answer."""
        item = self._draw.choice(self._items.staying)
        # Half of the questions ask for every item within the largest distance.
        everything = self._draw.random() < 0.5
        options: dict[str, object] = {"limit": MOST} | ({"radius": NUM_BITS} if everything else {"k": MOST})
        shown, begin = self._journal.shown, time.perf_counter()
        try:
            async with self._request(kind, item, options) as answer:
                content = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._outcomes.statuses[kind, 0] += 1
            self._outcomes.errors.append(f"{kind}: {type(error).__name__} {error}")
            return
        seconds = time.perf_counter() - begin
        self._outcomes.statuses[kind, answer.status] += 1
        if answer.status == 503 and "Retry-After" in answer.headers and content.keys() == {"detail"}:
            self._outcomes.refused[kind] += 1
            await asyncio.sleep(float(answer.headers["Retry-After"]))
        elif answer.status != 200:
            self._outcomes.errors.append(f"{kind}: {answer.status} {content}")
        else:
            self._outcomes.seconds[kind].append(seconds)
            own = {item} if kind == "item" else set()
            faults = self._journal.faults(content["hits"], shown, own, everything=everything)
            self._outcomes.wrong += [f"{kind}: {fault}" for fault in faults]

    def _request(self, kind: str, item: str, options: Mapping[str, object]) -> "aiohttp.client._RequestContextManager":
        if kind == "film":
            form = aiohttp.FormData()
            form.add_field("image", self._items.films[item], filename="film.png", content_type="image/png")
            form.add_field("options", json.dumps({**options, "against": "case"}))
            return self._session.post("api/search/image", data=form)
        query = {"text": self._items.texts[item]} if kind == "text" else {"id": item, "against": "case"}
        return self._session.post("api/search", json={**query, **options})


async def soak(
    service: Service, writer: Writer, journal: Journal, items: Collection, clients: int, seconds: float
) -> Outcomes:
    """Let clients ask for some time; kill the writer at half of it."""
    outcomes, end = Outcomes(), time.monotonic() + seconds
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(service.url, connector=connector, timeout=TIMEOUT) as session:
        asking = [asyncio.create_task(Client(session, items, journal, outcomes, n).run(end)) for n in range(clients)]
        looking = asyncio.create_task(look(session, journal, outcomes))
        killing: asyncio.Task[None] | None = None
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        try:
            with Progress(*columns) as bar:
                shown = bar.add_task("", total=seconds)
                while (left := end - time.monotonic()) > 0:
                    if killing is None and left < seconds / 2:
                        killing = asyncio.create_task(writer.kill_while_adding(journal))
                    answered = sum(map(len, outcomes.seconds.values()))
                    said = f"{clients} clients: {answered} answered, {len(outcomes.errors) + len(outcomes.wrong)} wrong"
                    bar.update(shown, completed=seconds - left, description=said)
                    if killing is None or killing.done():
                        writer.check()
                    await asyncio.sleep(min(left, 0.5))
            await asyncio.gather(*asking)
        finally:  # all of them, or what they say hides the error that ended this
            tasks = [*asking, looking, *filter(None, [killing])]
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):  # what was canceled is none
                raise error
    return outcomes


async def look(session: aiohttp.ClientSession, journal: Journal, outcomes: Outcomes) -> None:
    """Note the version that the service has opened, twice a second, without an end."""
    while True:
        try:
            async with session.get("metrics") as answer:
                found = re.search(r"^mcmfh_archive_version (\S+)$", await answer.text(), re.MULTILINE)
            if found:
                journal.show(int(float(found[1])))
        except (aiohttp.ClientError, TimeoutError) as error:
            outcomes.errors.append(f"metrics: {type(error).__name__} {error}")
        await asyncio.sleep(0.5)


async def warm(service: Service, items: Collection, journal: Journal) -> None:
    """Ask once for each kind: the encoder is loaded by the first questions."""
    outcomes = Outcomes()
    async with aiohttp.ClientSession(service.url, timeout=TIMEOUT) as session:
        for kind in KINDS:
            await Client(session, items, journal, outcomes, 0).ask(kind)
    if outcomes.errors:
        raise SystemExit(f"{outcomes.errors}\n{service.log()}")


def check_table(archive: Path, items: Collection) -> list[str]:
    """Find what is wrong in the table after all."""
    found = ItemTable.open(archive).select(["id"])["id"].to_pylist()
    faults = [f"{len(found) - len(set(found))} items are in the table twice"] if len(set(found)) < len(found) else []
    if lost := set(items.staying) - set(found):
        faults.append(f"{len(lost)} items that were never deleted are gone")
    if foreign := set(found) - {*items.staying, *items.changing}:
        faults.append(f"{len(foreign)} items are not of the collection")
    return faults


def run(folder: Path, minutes: float, numbers: list[int]) -> bool:
    """Make an archive, and soak it; return whether all was well."""
    items = make_archive(folder)
    journal = Journal(folder / "journal.jsonl", items.staying, items.changing)
    service = Service(folder / "archive", folder / "service.log")
    print(machine("lancedb", "uvicorn"))
    well = True
    try:
        asyncio.run(warm(service, items, journal))
        writer = Writer(folder)
        try:
            for clients in numbers:
                begin = service.memory()
                outcomes = asyncio.run(soak(service, writer, journal, items, clients, 60 * minutes / len(numbers)))
                print(f"\n### {clients} clients, {60 * minutes / len(numbers):.0f} s\n\n{outcomes.table()}\n")
                print(
                    f"errors {len(outcomes.errors)}, wrong answers {len(outcomes.wrong)}; memory of the service "
                    f"{begin:,.0f} MB at the beginning, {service.memory():,.0f} MB at the end, "
                    f"at most {service.memory('VmHWM'):,.0f} MB"
                )
                for line in [*outcomes.errors, *outcomes.wrong][:20]:
                    print(f"  {line}")
                well &= not outcomes.errors and not outcomes.wrong
        finally:
            writer.kill()
        journal.update()
        done = Counter(event for event, _ in journal.events)
        print(f"the writer: {dict(done)}; killed while adding {writer.killed} times")
        print(f"a change was shown after {journal.lag:.1f} s at most")
        print(f"{journal.looked_for_gone:,} times an answer was checked for an item that had been deleted")
        for fault in check_table(folder / "archive", items):
            print(f"  {fault}")
            well = False
    finally:
        service.process.send_signal(2)
        service.process.wait(120)
    if said := [line for line in service.log().splitlines() if line.startswith(("ERROR", "Traceback"))]:
        print(f"the service said: {said[:5]}")
        well = False
    return well


def main() -> None:
    """Soak, print, and exit with 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="time, divided among the numbers of clients")
    parser.add_argument(
        "--clients", type=int, nargs="+", default=[16, 64], help="numbers of clients, one after another"
    )
    parser.add_argument("--folder", type=Path, help="empty folder for the archive; a temporary one if not given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        well = run(given.folder or Path(temporary), given.minutes, given.clients)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
