"""What operators see of the HTTP service: its health, its numbers and its access log, none of which has contents."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.observing import AccessLog
from mcmfh_lightning.archive.server.routes import ServedArchive
from mcmfh_lightning.errors import ConfigError

from .service import ODD_ID, SECRET, TOKEN, client_of, png

RIGHT = {"authorization": f"Bearer {TOKEN}"}
NAMES = SECRET.split()


@pytest.fixture
def own(phantom_archive: Path) -> TestClient:
    """Of a service with its own numbers."""
    return client_of(create_app({"": ServedArchive(str(phantom_archive))}))


def ask_for_secrets(client: TestClient) -> list[tuple[str, str, int]]:
    """Name a patient wherever a request can; method, route and status of each."""
    secret, film = quote(SECRET), {"image": (f"{SECRET}.png", png(64, 64))}
    asked = [
        ("POST", "/api/search", {"json": {"text": SECRET}}, "/api/search"),
        ("POST", "/api/search", {"json": {"text": SECRET, SECRET: 1}}, "/api/search"),
        ("POST", "/api/search", {"json": {"id": SECRET}}, "/api/search"),
        ("POST", "/api/search/image", {"files": film}, "/api/search/image"),
        ("GET", f"/api/items/{secret}", {}, "/api/items/{item_id:path}"),
        ("GET", f"/api/items/{quote(ODD_ID, safe='')}?{secret}={secret}", {}, "/api/items/{item_id:path}"),
        ("GET", f"/api/pictures/{secret}", {}, "/api/pictures/{item_id:path}"),
        ("GET", f"/{secret}", {}, "other"),
        ("GET", f"/api/{secret}?q={secret}", {}, "other"),
        (
            NAMES[0].upper(),
            "/api/info",
            {"headers": {"user-agent": SECRET, "referer": f"http://x/{secret}"}},
            "/api/info",
        ),
    ]
    found = []
    for method, path, options, route in asked:
        status = client.request(method, path, **options).status_code
        found.append((method if method in ("GET", "POST") else "other", route, status))
    assert [status for *_, status in found] == [200, 422, 404, 200, 404, 200, 404, 404, 404, 405]
    return found


def samples(text: str) -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_access_log_names_time_client_and_status_and_no_contents(phantom_archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("an earlier line\n")
    client = client_of(create_app({"": ServedArchive(str(phantom_archive))}, access_log=AccessLog(path)))
    begin = datetime.now(UTC)
    asked = ask_for_secrets(client)
    page = client.get("/")
    written = path.read_text()
    assert not [name for name in (*NAMES, ODD_ID, "film") if name.lower() in written.lower()]
    first, *lines = written.splitlines()
    assert first == "an earlier line"
    found = [json.loads(line) for line in lines]
    assert [(line["method"], line["route"], line["status"]) for line in found] == [*asked, ("GET", "/", 200)]
    assert found[-1]["bytes"] == len(page.content)
    for line in found:
        assert list(line) == ["time", "client", "method", "route", "status", "ms", "bytes"]
        assert line["client"] == "testclient"
        assert (
            begin.timestamp() - 1 <= datetime.fromisoformat(line["time"]).timestamp() <= datetime.now(UTC).timestamp()
        )
        assert line["time"].endswith("+00:00")
        assert line["ms"] > 0


def test_the_access_log_has_what_is_refused_and_what_fails(
    phantom_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.log"
    client = client_of(create_app({"": ServedArchive(str(phantom_archive))}, TOKEN, AccessLog(path)))

    def fail(_: Archive, item: str) -> None:
        raise RuntimeError(item)

    monkeypatch.setattr(Archive, "item", fail)
    client.get(f"/api/items/{quote(SECRET)}")
    client.get(f"/api/items/{quote(SECRET)}", headers=RIGHT)
    assert [json.loads(line)["status"] for line in path.read_text().splitlines()] == [401, 500]
    path.rename(tmp_path / "access.log.1")  # as a program that rotates logs does
    client.get("/healthz")
    assert json.loads(path.read_text())["route"] == "/healthz"
    assert NAMES[0] not in path.read_text() + (tmp_path / "access.log.1").read_text()


def test_a_log_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.*--access-log"):
        AccessLog(tmp_path / "nowhere" / "access.log")


def test_numbers_count_requests_by_route_and_status(own: TestClient) -> None:
    asked = ask_for_secrets(own)
    text = own.get("/metrics").text
    assert not [name for name in (*NAMES, ODD_ID, "film.png") if name.lower() in text.lower()]
    found = samples(text)
    for method, route, status in asked:
        labels = frozenset({"method": method, "route": route, "status": str(status)}.items())
        assert found["mcmfh_archive_requests_total", labels] == asked.count((method, route, status))
        place = frozenset({"route": route}.items())
        count = sum(1 for one in asked if one[1] == route)
        assert found["mcmfh_archive_request_seconds_count", place] == count
        assert 0 < found["mcmfh_archive_request_seconds_sum", place] < 60 * count
    assert found["mcmfh_archive_items", frozenset()] == 24
    assert found["mcmfh_archive_version", frozenset()] >= 1
    assert found["process_resident_memory_bytes", frozenset()] > 1e8
    for kind in ("film", "search", "other"):
        assert found["mcmfh_archive_requests_in_progress", frozenset({("kind", kind)})] == 0
        assert found["mcmfh_archive_refused_total", frozenset({("kind", kind)})] == 0


def test_paths_and_methods_add_no_series(own: TestClient) -> None:
    own.get("/nothing"), own.request("ODD", "/nothing"), own.get("/metrics")
    before = own.get("/metrics").text.count("\n")
    for number in range(50):
        own.get(f"/nothing/{number}")
        own.request(f"ODD{number}", f"/api/items/{number}")
        own.request(f"ODD{number}", f"/nothing/{number}")
    # One route more, with its histogram.
    assert own.get("/metrics").text.count("\n") - before < 30


def test_numbers_ask_for_the_token_and_health_does_not(phantom_archive: Path) -> None:
    client = client_of(create_app({"": ServedArchive(str(phantom_archive))}, TOKEN))
    assert client.get("/metrics").status_code == 401
    answer = client.get("/metrics", headers=RIGHT)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "mcmfh_archive_items" not in answer.text  # nothing has opened the archive yet
    health = client.get("/healthz")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert "mcmfh_archive_items 24.0" in client.get("/metrics", headers=RIGHT).text


def test_health_says_why_and_not_where(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    client = client_of(create_app({"": ServedArchive(str(tmp_path / SECRET))}))
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (503, {"detail": "the archive cannot be opened (DataError)"})
    assert client.get("/metrics").status_code == 200
