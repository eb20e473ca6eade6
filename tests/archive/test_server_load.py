"""How much the HTTP service does at once, and that it waits neither for a slow film nor for an erased version."""

import asyncio
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse

from mcmfh_lightning.archive.codes_cache import remove_codes
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.server import app as app_module
from mcmfh_lightning.archive.server import load as load_module
from mcmfh_lightning.archive.server import middleware
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.load import RETRY_SECONDS, Bounded, Load
from mcmfh_lightning.archive.server.routes import ServedArchive
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.images.decode import decode_picture

from .service import ODD_ID, answering, client_of, png

ODD_PATH = "study%203%2Ffilm%20%C3%A4.1%3F"
FILMS = "/api/search/image"


@pytest.fixture(scope="module")
def url(app: FastAPI) -> Iterator[str]:
    with answering(app) as url:
        # Its encoder is loaded by the first query.
        assert httpx.post(f"{url}api/search", json={"text": "effusion"}, timeout=120).status_code == 200
        yield url


def scope_of(path: str, kind: bytes = b"application/json") -> dict:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", kind)],
    }


def test_a_full_lane_refuses_before_it_reads_and_stops_no_other() -> None:
    async def check() -> None:
        load, go = Load(), asyncio.Event()

        async def inner(scope: dict, receive: object, send: object) -> None:
            if scope["path"] == FILMS:
                await go.wait()
            await PlainTextResponse("answer")(scope, receive, send)

        bounded, answers = Bounded(inner, load), []

        async def ask(path: str) -> int:
            sent: list[dict] = []

            async def receive() -> dict:
                raise AssertionError("a body was read")

            async def send(message: dict) -> None:
                sent.append(message)

            await bounded(scope_of(path), receive, send)
            answers.append((sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]))
            return sent[0]["status"]

        waiting = [asyncio.create_task(ask(FILMS)) for _ in range(load.films.places)]
        await asyncio.sleep(0)
        assert load.films.taken == load.films.places
        assert await ask(FILMS) == 503
        _, headers, body = answers[-1]
        assert headers[b"retry-after"] == str(RETRY_SECONDS).encode()
        assert body.startswith(b'{"detail":')
        for path in ("/api/search", "/api/info", "/", "/healthz", "/metrics"):
            assert await ask(path) == 200
        go.set()
        assert set(await asyncio.gather(*waiting)) == {200}
        assert await ask(FILMS) == 200
        assert [lane.taken for lane in load.lanes] == [0, 0, 0]
        assert [lane.refused for lane in load.lanes] == [1, 0, 0]

    asyncio.run(check())


def test_more_requests_than_places_are_answered_or_refused_in_json(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "WAIT_SECONDS", 120)  # whoever has a place gets a slot, also on a busy machine
    many, film = 4 * Load().films.places, png(500, 500)

    async def flood() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as client:
            asked = [client.post(FILMS, files={"image": ("film.png", film)}) for _ in range(many)]
            health = [client.get("/healthz") for _ in range(20)]
            return await asyncio.gather(*asked, *health)

    answers = asyncio.run(flood())
    assert {answer.status_code for answer in answers[many:]} == {200}
    statuses = [answer.status_code for answer in answers[:many]]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= Load().films.places
    for answer in answers[:many]:
        if answer.status_code == 503:
            assert answer.json().keys() == {"detail"}
            assert answer.headers["retry-after"] == str(RETRY_SECONDS)
            assert answer.headers["cache-control"] == "no-store"
    shown = httpx.get(f"{url}metrics").text
    assert f'mcmfh_archive_refused_total{{kind="film"}} {statuses.count(503)}.0' in shown
    assert 'mcmfh_archive_requests_in_progress{kind="film"} 0.0' in shown


def test_a_text_does_not_wait_for_a_film(url: str) -> None:
    """The largest film that is read takes seconds, a text a few hundredths of one."""
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=url, timeout=120) as client:
        film = {"image": ("film.png", png(6000, 6000))}
        slow = pool.submit(httpx.post, f"{url}api/search/image", files=film, timeout=120)
        while 'in_progress{kind="film"} 1.0' not in client.get("metrics").text:
            time.sleep(0.01)
        time.sleep(0.1)
        answer = client.post("api/search", json={"text": "small effusion"})
        assert answer.status_code == 200
        assert not slow.done()
        assert slow.result().status_code == 200


def torch_threads() -> int | None:
    """How many threads of torch this one may use; None where it is not installed."""
    return sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None


def test_codes_do_not_depend_on_what_is_encoded_meanwhile(archive: Archive) -> None:
    hasher, texts = archive.load(), [f"effusion number {number}" for number in range(8)]
    films = [decode_picture(png(200 + 40 * number, 300), None).rgb() for number in range(4)]
    threads = torch_threads()

    def codes(query: object) -> list[tuple[bytes, bytes]]:
        found = hasher.text(query, "case") if isinstance(query, str) else hasher.image(query, "case").query
        return [(code.packed.tobytes(), code.relaxed.tobytes()) for code in found.values()]

    alone = [codes(query) for query in (*texts, *films)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(codes, (*texts, *films))) == alone
    assert torch_threads() == threads


def test_who_waits_too_long_is_refused_and_items_do_not_wait(
    phantom_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module, "WAIT_SECONDS", 0.1)
    loads: list[Load] = []
    monkeypatch.setattr(app_module, "Load", lambda: loads.append(Load()) or loads[0])
    client = client_of(create_app({"": ServedArchive(str(phantom_archive))}))
    text = {"json": {"text": "effusion"}}
    film = {"files": {"image": ("film.png", png(64, 64))}}
    for lane, path, question in ((loads[0].searches, "/api/search", text), (loads[0].films, FILMS, film)):
        with ExitStack() as held:
            for _ in range(lane.slots):
                held.enter_context(lane.slot())
            answer = client.post(path, **question)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, str(RETRY_SECONDS))
            assert answer.json().keys() == {"detail"}
            assert lane.refused == 1
            assert client.post("/api/search", json={"id": ODD_ID}).status_code == 200
        assert client.post(path, **question).status_code == 200


def test_a_text_is_encoded_while_a_film_is(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, started, done = archive.load(), threading.Event(), threading.Event()
    encode = hasher._encoder.encode_image

    def slow(pixels: object) -> object:
        started.set()
        assert done.wait(30), "the text waits for the film"
        return encode(pixels)

    monkeypatch.setattr(hasher._encoder, "encode_image", slow)
    threads = torch_threads()
    with ThreadPoolExecutor(1) as pool:
        film = pool.submit(hasher.image, decode_picture(png(64, 64), None).rgb(), "case")
        assert started.wait(30)
        hasher.text("effusion", "case")
        done.set()
        film.result()
        # What both restore is what there was before the first, in either thread.
        assert pool.submit(torch_threads).result() == threads
    assert torch_threads() == threads


def test_an_erased_version_is_no_error(phantom_archive: Path, tmp_path: Path) -> None:
    """Each question is the first one after another process has erased what the service reads."""
    place = shutil.copytree(phantom_archive, tmp_path / "archive")
    client = client_of(create_app({"": ServedArchive(str(place))}))
    film = {"image": ("film.png", png(64, 64))}
    questions = {
        "text": lambda: client.post("/api/search", json={"text": "effusion"}),
        "item": lambda: client.post("/api/search", json={"id": ODD_ID}),
        "film": lambda: client.post(FILMS, files=film),
        "description": lambda: client.get(f"/api/items/{ODD_PATH}"),
        "picture": lambda: client.get(f"/api/pictures/{ODD_PATH}"),
    }
    ids = [item for item in ItemTable.open(place).select(["id"])["id"].to_pylist() if item != ODD_ID]
    for (name, question), deleted in zip(questions.items(), ids, strict=False):
        assert question().status_code == 200
        table = ItemTable.open(place)
        assert table.delete([deleted]) == 1
        table.erase()
        remove_codes(Location(place), ArchiveInfo.load(place).uid)
        answer = question()
        assert answer.status_code == 200, name
        assert deleted not in answer.text
    assert client.get("/api/info").json()["items"] == 24 - len(questions)


def test_questions_do_not_wait_while_another_opens_the_newest_version(
    phantom_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, started, go = ServedArchive(str(phantom_archive)), threading.Event(), threading.Event()
    archive = served.current()
    served._look_at = 0.0

    def slow(_: Archive) -> bool:
        started.set()
        return go.wait(30)

    monkeypatch.setattr(Archive, "refresh", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(served.current)
        assert started.wait(30)
        assert served.current() is archive
        assert not first.done()
        go.set()
        assert first.result() is archive


@pytest.mark.parametrize("path", ["/api/search", FILMS])
def test_a_body_that_stops_is_refused(path: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.2)
    sent, parts = [], [b"{" if path == "/api/search" else b"--x\r\n"]

    async def receive() -> dict:
        if not parts:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": parts.pop(), "more_body": True}

    async def send(message: dict) -> None:
        sent.append(message)

    kind = b"application/json" if path == "/api/search" else b"multipart/form-data; boundary=x"
    asyncio.run(app(scope_of(path, kind), receive, send))
    assert [message.get("status") for message in sent] == [408, None]
    assert sent[1]["body"].startswith(b'{"detail":')
