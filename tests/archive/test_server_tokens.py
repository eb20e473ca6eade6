"""Guessing the token: wrong ones are counted by client, and a client that sent many has to wait."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mcmfh_lightning.archive.server import guesses
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.guesses import MAX_WRONG, WINDOW_SECONDS, WrongTokens
from mcmfh_lightning.archive.server.middleware import TOKEN_VARIABLE
from mcmfh_lightning.archive.server.routes import ServedArchive

from .browser import Server
from .service import HERE, TOKEN

RIGHT = {"authorization": f"Bearer {TOKEN}"}
WRONG = {"authorization": "Bearer wrong"}


@pytest.fixture
def guarded(phantom_archive: Path) -> FastAPI:
    return create_app({"": ServedArchive(str(phantom_archive))}, TOKEN)


def of(app: FastAPI, address: str) -> TestClient:
    return TestClient(app, base_url=HERE, client=(address, 50_000))


def status(client: TestClient, headers: dict[str, str] | None = None) -> int:
    return client.get("/api/info", headers=headers).status_code


def test_who_guesses_has_to_wait_and_nobody_else(guarded: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(guesses, "monotonic", lambda: now)
    guesser, other = of(guarded, "192.0.2.1"), of(guarded, "192.0.2.2")
    assert {status(guesser, WRONG) for _ in range(MAX_WRONG)} == {401}
    refused = guesser.get("/api/info", headers=RIGHT)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == str(int(WINDOW_SECONDS))
    assert refused.json().keys() == {"detail"}
    assert status(guesser, WRONG) == status(guesser) == 429
    assert guesser.get("/metrics", headers=RIGHT).status_code == 429
    assert guesser.get("/").status_code == guesser.get("/healthz").status_code == 200
    assert status(other, RIGHT) == 200
    now += WINDOW_SECONDS - 0.5
    assert guesser.get("/api/info", headers=RIGHT).headers["retry-after"] == "1"
    now += 1
    assert status(guesser, RIGHT) == 200
    assert {status(guesser, WRONG) for _ in range(MAX_WRONG)} == {401}  # a new window has all of them
    assert status(guesser, RIGHT) == 429


def test_asking_without_a_token_is_no_guess(guarded: FastAPI) -> None:
    client = of(guarded, "192.0.2.1")
    for headers in (None, {"authorization": ""}, {"authorization": "Bearer "}, {"authorization": f"Basic {TOKEN}"}):
        assert {status(client, headers) for _ in range(MAX_WRONG)} == {401}
    assert status(client, RIGHT) == 200


def test_addresses_of_an_ipv6_network_are_one_client() -> None:
    wrong = WrongTokens()
    for number in range(MAX_WRONG):
        wrong.add(f"2001:db8::{number:x}")
    assert wrong.seconds_to_wait("2001:db8::ffff:1") > 0
    assert wrong.seconds_to_wait("2001:db8:0:1::1") == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "MAX_CLIENTS", 50)
    wrong = WrongTokens()
    for number in range(500):
        wrong.add(f"192.0.{number // 250}.{number % 250}")
    assert len(wrong._windows) == 50
    for _ in range(MAX_WRONG):
        wrong.add("198.51.100.1")
    assert wrong.seconds_to_wait("198.51.100.1") > 0


def test_clients_of_a_proxy_are_told_apart_and_named_in_the_log(
    phantom_archive: Path, model_flags: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    flags = [*model_flags, "--proxy", "127.0.0.1", "--access-log", str(log)]
    server = Server(phantom_archive, tmp_path / "log", *flags, **{TOKEN_VARIABLE: TOKEN})
    try:
        asked = [("192.0.2.1", WRONG)] * MAX_WRONG + [("192.0.2.1", RIGHT), ("192.0.2.2", RIGHT)]
        with httpx.Client(base_url=server.url, timeout=120) as client:
            found = [
                client.get("api/info", headers=headers | {"x-forwarded-for": address}).status_code
                for address, headers in asked
            ]
    finally:
        assert server.stop() == 0  # also while its encoder is loading
    assert found == [401] * MAX_WRONG + [429, 200]
    lines = log.read_text().splitlines()  # each is written after its answer: now all are there
    assert len(lines) == len(asked)
    assert '"client": "192.0.2.2", "method": "GET", "route": "/api/info", "status": 200' in lines[-1]
    assert TOKEN not in log.read_text()
