"""Who may ask the HTTP service, and what it keeps to itself."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mcmfh_lightning.archive.queries import Query
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.server.app import create_app, listen
from mcmfh_lightning.archive.server.messages import MAX_UPLOAD_BYTES
from mcmfh_lightning.archive.server.middleware import TOKEN_VARIABLE, read_token
from mcmfh_lightning.archive.server.routes import ServedArchive
from mcmfh_lightning.cli.archive import main as command
from mcmfh_lightning.errors import ConfigError

from .service import HERE, SECRET, TOKEN, client_of


@pytest.fixture(scope="module")
def guarded(phantom_archive: Path) -> TestClient:
    return client_of(create_app({"": ServedArchive(str(phantom_archive))}, TOKEN))


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xff"]
)
def test_a_missing_or_wrong_token_is_401(guarded: TestClient, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    for method, path in (("GET", "/api/info"), ("POST", "/api/search"), ("GET", "/api/pictures/x"), ("GET", "/api/no")):
        answer = guarded.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text


def test_the_right_token_opens_and_the_page_needs_none(guarded: TestClient) -> None:
    assert guarded.get("/api/info", headers={"authorization": f"Bearer {TOKEN}"}).json()["items"] == 24
    # A proxy may serve it under another name: the token is what decides.
    headers = {"authorization": f"bearer {TOKEN}", "host": "archive.example", "origin": "https://archive.example"}
    assert guarded.get("/api/info", headers=headers).status_code == 200
    assert guarded.get("/").status_code == 200
    assert guarded.get("/openapi.json").status_code == 200


def test_nothing_of_a_body_is_read_before_the_token(guarded: TestClient) -> None:
    def parts() -> Iterator[bytes]:
        raise AssertionError("was read")
        yield b""

    assert guarded.post("/api/search/image", content=parts()).status_code == 401
    oversize = {"content-length": str(MAX_UPLOAD_BYTES * 2)}
    assert guarded.post("/api/search/image", headers=oversize).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "archive.example"}, 421),
        ({"host": "127.0.0.1.archive.example:8000"}, 421),
        ({"host": ""}, 421),
        ({"host": "[::1"}, 421),
        ({"host": "localhost:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "127.0.0.2"}, 200),
        ({"origin": "http://archive.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"origin": HERE}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_other_pages_are_refused_without_a_token(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.get("/api/info", headers=headers).status_code == status


def test_the_page_may_be_reached_by_a_link(client: TestClient) -> None:
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_tokens_are_read_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token(None) is None
    monkeypatch.setenv(TOKEN_VARIABLE, f" {TOKEN}\n")
    assert read_token(None) == TOKEN
    (tmp_path / "token").write_text("another-token-of-20-\n")
    assert read_token(tmp_path / "token") == "another-token-of-20-"
    with pytest.raises(ConfigError, match="nowhere"):
        read_token(tmp_path / "nowhere")
    for bad in ("", "short", "words with spaces in them", "x\x7f" * 20, "ä" * 20):
        (tmp_path / "token").write_text(bad)
        with pytest.raises(ConfigError, match=str(tmp_path / "token")):
            read_token(tmp_path / "token")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "archive.example"])
def test_other_machines_are_not_served_without_a_token(
    host: str, model_flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with pytest.raises(SystemExit) as stop:
        command(["serve", "archive", *model_flags, "--host", host, "--port", "0"])
    assert stop.value.code == 2
    assert "--token-file" in capsys.readouterr().err


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_taken_port_is_reported_in_one_line(model_flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(SystemExit) as stop:
            command(["serve", "archive", *model_flags, "--port", str(taken.getsockname()[1])])
        assert stop.value.code == 2
    assert "--port" in capsys.readouterr().err


def test_nothing_of_a_query_is_logged(
    client: TestClient,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    client.post("/api/search", json={"text": SECRET})
    client.post("/api/search", json={"text": SECRET, "k": SECRET})
    client.get(f"/api/items/{SECRET}")
    client.post("/api/search/image", files={"image": (SECRET, SECRET.encode())})

    def fail(_: Archive, query: Query) -> None:
        raise RuntimeError(f"cannot hash {query.text}")

    monkeypatch.setattr(Archive, "find", fail)
    answer = client.post("/api/search", json={"text": SECRET})
    assert (answer.status_code, answer.json()) == (500, {"detail": "the server failed; its log says where"})
    # Of the server's own; the client of this test logs what it asks for.
    logged = [record for record in caplog.records if not record.name.startswith("http")]
    assert any("RuntimeError" in record.getMessage() for record in logged)
    written = "".join(str(record.__dict__) for record in logged) + "".join(capfd.readouterr())
    assert SECRET.split()[0] not in written
    assert SECRET.split()[1] not in written


def test_every_answer_forbids_keeping_and_embedding(client: TestClient) -> None:
    for path in ("/", "/api/info", "/api/nothing", "/openapi.json", "/api/pictures/x"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_the_description_names_the_notice_and_every_problem(client: TestClient, guarded: TestClient) -> None:
    for asked, security in ((client, None), (guarded, [{"HTTPBearer": []}])):
        described = asked.get("/openapi.json").json()
        assert "Research use, not diagnosis" in described["info"]["summary"]
        for path, methods in described["paths"].items():
            for method in methods.values():
                assert {"200", "401", "503"} <= method["responses"].keys(), path
                assert method.get("security") == security
