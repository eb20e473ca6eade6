"""What the HTTP service refuses, in one line that repeats nothing."""

import asyncio
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mcmfh_lightning.archive.server.messages import MAX_JSON_BYTES, MAX_UPLOAD_BYTES

from .service import JSON, ODD_ID, SECRET, huge_png, png

BAD_BODIES = {
    "nothing": {},
    "both": {"text": "x", "id": ODD_ID},
    "null text": {"text": None},
    "blank text": {"text": " \n"},
    "long text": {"text": "x" * 5001},
    "NUL": {"text": "a\0b"},
    "number for text": {"text": 3},
    "k of 0": {"text": "x", "k": 0},
    "k too large": {"text": "x", "k": 10**6},
    "huge k": {"text": "x", "k": 10**30},
    "k in quotes": {"text": "x", "k": "3"},
    "broken k": {"text": "x", "k": 1.5},
    "null k": {"text": "x", "k": None},
    "negative radius": {"text": "x", "radius": -1},
    "negative offset": {"text": "x", "offset": -1},
    "limit too large": {"text": "x", "limit": 101},
    "unknown side": {"text": "x", "against": SECRET},
    "unknown key": {"text": "x", SECRET: 1},
    "unknown filter": {"text": "x", "filters": {SECRET: 1}},
    "unknown label": {"text": "x", "filters": {"labels": [SECRET]}},
    "null label": {"text": "x", "filters": {"labels": [None]}},
    "label that is not a list": {"text": "x", "filters": {"labels": SECRET}},
    "no date": {"text": "x", "filters": {"since": SECRET}},
    "impossible date": {"text": "x", "filters": {"since": "2011-02-29"}},
    "dates exchanged": {"text": "x", "filters": {"since": "2012-01-01", "until": "2011-01-01"}},
    "unknown group": {"text": "x", "filters": {"without_groups": [SECRET]}},
    "group beyond 64 bits": {"text": "x", "filters": {"groups": [2**63]}},
    "modality without id": {"text": "x", "modality": "image"},
    "too many": {"text": "x", "filters": {"splits": ["train"] * 101}},
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_searches_are_reported_in_one_line(client: TestClient, name: str) -> None:
    answer = client.post("/api/search", json=BAD_BODIES[name])
    assert answer.status_code == 422
    assert answer.json().keys() == {"detail"}
    assert SECRET not in answer.text
    assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"text": "a", "k": NaN}', 422),
        (b'{"text": "a", "k": 1e999}', 422),
        (b'{"text": "a", "filters": {"groups": [-Infinity]}}', 422),
        (b'{"text": "a", "filters": {"groups": ["\\ud800"]}}', 422),
        (b'{"text": "\\ud800"}', 422),
        (b'{"id": "\\ud800"}', 422),
        (b'{"text": "a", "filters": {"licences": ["\\udfff"]}}', 422),
        (b'{"text": "\xff"}', 400),
        (b"[" * 60_000, 400),
        (b'{"text": ' + SECRET.encode(), 422),
        (b"null", 422),
        (b"[]", 422),
        (b"", 422),
    ],
)
def test_bad_json_is_reported_in_one_line(client: TestClient, body: bytes, status: int) -> None:
    answer = client.post("/api/search", content=body, headers=JSON)
    assert answer.status_code == status
    assert answer.json().keys() == {"detail"}
    assert SECRET not in answer.text


def test_ids_lead_nowhere_else(client: TestClient, phantom_archive: Path) -> None:
    assert (phantom_archive / "archive.json").is_file()
    for path in ("nothing", "..%2Farchive.json", "%2Fetc%2Fpasswd", "..%2f..%2f..%2fetc%2fpasswd", "%00", "a" * 600):
        for kind in ("items", "pictures"):
            answer = client.get(f"/api/{kind}/{path}")
            assert answer.status_code in (404, 422)
            assert answer.json().keys() == {"detail"}
    assert client.post("/api/search", json={"id": "../archive.json"}).status_code == 404


UPLOADS = {
    "nothing": (b"", "film.png", 415),
    "text": (b"hello", "film.png", 415),
    "gif": (b"GIF89a" + bytes(100), "film.png", 415),
    "page": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "film.png", 415),
    "cut short": (png(64, 64, compress_level=0)[:1000], "film.png", 422),
    "only the first bytes": (b"\x89PNG\r\n\x1a\n", "film.png", 422),
    "damaged": (png(64, 64)[:60] + b"damage" + png(64, 64)[66:], "film.png", 422),
    "large": (png(64, 64) + bytes(MAX_UPLOAD_BYTES), "film.png", 413),
    "larger than its form": (png(64, 64) + bytes(MAX_UPLOAD_BYTES + MAX_JSON_BYTES), "film.png", 413),
    "bomb by its header": (huge_png(60_000, 60_000), "film.png", 413),
    "more pixels than are allowed": (huge_png(6_100, 6_000), "film.png", 413),
    "bomb": (png(14_000, 14_000), "film.png", 413),
    "strip": (png(1, 60_000), "film.png", 413),
    "lying strip": (png(30_000, 20), "film.png", 413),
    "name of a folder": (png(64, 64), "../../etc/passwd", 422),
    "name of Windows": (png(64, 64), "..\\film.png", 422),
    "dots": (png(64, 64), "..", 422),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_bad_uploads_are_refused(client: TestClient, name: str) -> None:
    content, filename, status = UPLOADS[name]
    answer = client.post("/api/search/image", files={"image": (filename, content, "image/png")})
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])


def test_bad_forms_are_refused(client: TestClient) -> None:
    film = {"image": ("film.png", png(64, 64))}
    assert client.post("/api/search/image", files=film).status_code == 200
    for options in ("{", "[]", '{"k": 0}', f'{{"{SECRET}": 1}}', '{"text": "x"}', '{"k": NaN}'):
        answer = client.post("/api/search/image", files=film, data={"options": options})
        assert answer.status_code == 422
        assert SECRET not in answer.text
    assert client.post("/api/search/image", data={"options": "{}"}).status_code == 422
    assert client.post("/api/search/image", data={"image": "/etc/passwd"}).status_code == 422
    boundary = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/api/search/image", content=SECRET.encode(), headers=boundary).status_code in (400, 422)
    without = {"content-type": "multipart/form-data"}
    assert client.post("/api/search/image", content=SECRET.encode(), headers=without).status_code == 400


def test_a_large_body_is_refused(client: TestClient) -> None:
    assert client.post("/api/search", content=b" " * (MAX_JSON_BYTES + 1), headers=JSON).status_code == 413
    assert client.post("/api/search", headers={"content-length": "9" * 5000}).status_code == 413


@pytest.mark.parametrize(("path", "limit"), [("/api/search", 0), ("/api/search/image", MAX_UPLOAD_BYTES)])
def test_a_body_of_unknown_length_is_refused_while_it_arrives(app: FastAPI, path: str, limit: int) -> None:
    limit, part = limit + MAX_JSON_BYTES, 1 << 16
    kind = b"application/json" if path == "/api/search" else b"multipart/form-data; boundary=x"
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="f"\r\n\r\n'
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", kind)],
    }
    read, sent = 0, []

    async def receive() -> dict:
        nonlocal read
        body = head if read == 0 and "image" in path else bytes(part)
        read += len(body)
        return {"type": "http.request", "body": body, "more_body": True}

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] == [413]
    assert read <= limit + part


def test_methods_and_paths_that_are_none(client: TestClient) -> None:
    assert client.get("/api/search").status_code == 405
    assert client.get("/api/nothing").json() == {"detail": "not found"}
    assert client.get("/docs").status_code == 404
