"""The HTTP service over a real archive: what it answers, what it refuses, and what it keeps to itself."""

import asyncio
import io
import json
import logging
import shutil
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from mcmfh_lightning.archive.archive import Archive
from mcmfh_lightning.archive.cli import main as command
from mcmfh_lightning.archive.commands import serve
from mcmfh_lightning.archive.filters import Filters
from mcmfh_lightning.archive.results import SearchResult
from mcmfh_lightning.archive.server import served as served_module
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.auth import TOKEN_VARIABLE, read_token
from mcmfh_lightning.archive.server.limits import MAX_JSON_BYTES, MAX_UPLOAD_BYTES
from mcmfh_lightning.archive.server.served import ServedArchive
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.errors import ConfigError

from .phantom_archive import ODD_ID

HERE = "http://127.0.0.1:8000"
TOKEN = "correct-horse-battery-staple"
SECRET = "Xanthippe Quickenborne"  # a patient that no message may name
JSON = {"content-type": "application/json"}


def client_of(app: FastAPI) -> TestClient:
    return TestClient(app, base_url=HERE, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def app(phantom_archive: Path) -> FastAPI:
    return create_app(ServedArchive(str(phantom_archive)))


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with client_of(app) as client:
        yield client


@pytest.fixture(scope="module")
def archive(phantom_archive: Path) -> Archive:
    return Archive.open(phantom_archive)


@pytest.fixture(scope="module")
def rows(phantom_pairs: Path) -> list[dict]:
    return [json.loads(line) for line in (phantom_pairs.parent / "phantom.jsonl").read_text().splitlines()]


def png(width: int, height: int, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, height), 90).save(stream, "PNG", **options)
    return stream.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A header that promises pixels, and no more of them than a few bytes."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def without_time(answer: dict) -> dict:
    return {key: value for key, value in answer.items() if key != "timing"}


def as_json(result: SearchResult) -> dict:
    from dataclasses import asdict

    return without_time(json.loads(json.dumps(asdict(result))))


# --- answers


def test_a_text_finds_what_the_archive_finds(client: TestClient, archive: Archive) -> None:
    for options in ({}, {"k": 7, "rerank": 0}, {"radius": 6}, {"against": "image", "offset": 3, "limit": 4}):
        answer = client.post("/api/search", json={"text": "small effusion", **options})
        assert answer.status_code == 200
        expected = archive.search(text="small effusion", **{"limit": 20, **options})
        assert without_time(answer.json()) == as_json(expected)
        assert answer.json()["hits"]


def test_an_item_finds_what_the_archive_finds(client: TestClient, archive: Archive) -> None:
    for modality in ("image", "text", None):
        body = {"id": ODD_ID, "k": 30} | ({"modality": modality} if modality else {})
        answer = client.post("/api/search", json=body).json()
        assert without_time(answer) == as_json(archive.search(id=ODD_ID, modality=modality, k=30, limit=20))
        assert ODD_ID not in [hit["item"]["id"] for hit in answer["hits"]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_finds_what_the_archive_finds(
    client: TestClient, archive: Archive, phantom_pairs: Path, rows: list[dict], kind: str
) -> None:
    film = Image.open(phantom_pairs.parent / "images" / rows[0]["image"])
    stream = io.BytesIO()
    film.convert("RGB").save(stream, kind)
    options = {"k": 9, "filters": {"splits": ["train"]}}
    answer = client.post(
        "/api/search/image", files={"image": ("film", stream.getvalue())}, data={"options": json.dumps(options)}
    )
    picture = Image.open(io.BytesIO(stream.getvalue())).convert("RGB")
    assert without_time(answer.json()) == as_json(
        archive.search(image=picture, k=9, filters=Filters(splits=("train",)), limit=20)
    )
    assert {hit["item"]["split"] for hit in answer.json()["hits"]} == {"train"}


def test_filters_leave_what_the_collection_says(client: TestClient, rows: list[dict]) -> None:
    first = rows[0]["labels"][0]
    day = sorted(row["date"] for row in rows if "date" in row)[10]
    for filters, keeps in (
        ({"labels": [first]}, lambda row: first in row["labels"]),
        ({"any_labels": [first, "normal"]}, lambda row: {first, "normal"} & set(row["labels"])),
        ({"since": day}, lambda row: row.get("date", "") >= day),
        ({"until": day}, lambda row: row.get("date", "9") <= day),
        ({"licences": ["CC-BY-4.0"]}, lambda row: row["licence"] == "CC-BY-4.0"),
        ({"splits": ["test", "val"]}, lambda row: row["split"] != "train"),
        ({"has_image": False}, lambda row: "image" not in row),
        ({"has_text": True, "has_image": True}, lambda row: {"image", "text"} <= row.keys()),
    ):
        answer = client.post("/api/search", json={"text": "x", "radius": 16, "limit": 100, "filters": filters}).json()
        assert {hit["item"]["id"] for hit in answer["hits"]} == {row["id"] for row in rows if keeps(row)}, filters


def test_pages_are_parts_of_one_ranking(client: TestClient) -> None:
    body = {"text": "nodule", "k": 20}
    whole = client.post("/api/search", json=body).json()["hits"]
    parts = [client.post("/api/search", json={**body, "offset": at, "limit": 7}).json()["hits"] for at in (0, 7, 14)]
    assert [len(part) for part in parts] == [7, 7, 6]
    assert [hit for part in parts for hit in part] == whole
    assert client.post("/api/search", json={**body, "offset": 20}).json()["hits"] == []


def test_info_and_facets_count_the_collection(client: TestClient, rows: list[dict]) -> None:
    info = client.get("/api/info").json()
    assert (info["items"], info["num_bits"], info["code_bytes"]) == (24, 16, 2)
    assert info["codes_bytes"] == 48
    assert info["notice"] == "Research use, not diagnosis."
    facets = client.get("/api/facets").json()
    for key, values in (
        ("labels", [label for row in rows for label in row["labels"]]),
        ("licences", [row["licence"] for row in rows]),
        ("splits", [row["split"] for row in rows]),
    ):
        assert {entry["name"]: entry["items"] for entry in facets[key]} == {name: values.count(name) for name in values}
    dates = [row["date"] for row in rows if "date" in row]
    assert (facets["earliest"], facets["latest"]) == (min(dates), max(dates))
    assert facets["with_image"] == sum("image" in row for row in rows)
    assert facets["with_text"] == sum("text" in row for row in rows)


def test_items_and_pictures_by_id(client: TestClient, rows: list[dict]) -> None:
    odd = next(row for row in rows if row["id"] == ODD_ID)
    quoted = "study%203%2Ffilm%20%C3%A4.1%3F"
    answer = client.get(f"/api/items/{quoted}").json()
    assert (answer["id"], answer["text"], sorted(answer["labels"])) == (ODD_ID, odd["text"], odd["labels"])
    picture = client.get(f"/api/pictures/{quoted}")
    assert picture.headers["content-type"] == "image/jpeg"
    assert 100 < max(Image.open(io.BytesIO(picture.content)).size) <= 256
    blind = next(row["id"] for row in rows if "image" not in row)
    assert client.get(f"/api/pictures/{blind}").status_code == 404
    assert client.post("/api/search", json={"id": blind, "modality": "image"}).status_code == 422
    assert client.post("/api/search", json={"id": blind}).json()["query_modality"] == "text"


# --- refusals

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
    "label that is no list": {"text": "x", "filters": {"labels": SECRET}},
    "no date": {"text": "x", "filters": {"since": SECRET}},
    "impossible date": {"text": "x", "filters": {"since": "2011-02-29"}},
    "dates exchanged": {"text": "x", "filters": {"since": "2012-01-01", "until": "2011-01-01"}},
    "group beyond 64 bits": {"text": "x", "filters": {"groups": [2**63]}},
    "modality without id": {"text": "x", "modality": "image"},
    "too many": {"text": "x", "filters": {"splits": ["train"] * 101}},
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_searches_are_told_in_one_line(client: TestClient, name: str) -> None:
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
def test_bad_json_is_told_in_one_line(client: TestClient, body: bytes, status: int) -> None:
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
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
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


# --- who may ask


@pytest.fixture(scope="module")
def guarded(phantom_archive: Path) -> TestClient:
    return client_of(create_app(ServedArchive(str(phantom_archive)), TOKEN))


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
    host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with pytest.raises(SystemExit) as stop:
        command(["serve", "archive", "--host", host, "--port", "0"])
    assert stop.value.code == 2
    assert "--token_file" in capsys.readouterr().err


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with serve._listening("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_taken_port_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(SystemExit) as stop:
            command(["serve", "archive", "--port", str(taken.getsockname()[1])])
        assert stop.value.code == 2
    assert "--port" in capsys.readouterr().err


# --- the archive comes, changes and goes


def test_a_missing_archive_is_told_and_picked_up(
    phantom_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_module, "LOOK_AGAIN_SECONDS", 0.0)
    place = tmp_path / "archive"
    client = client_of(create_app(ServedArchive(str(place))))
    for answer in (client.get("/api/info"), client.post("/api/search", json={"text": "x"})):
        assert answer.status_code == 503
        assert str(place) in answer.json()["detail"]
        assert "mcmfh-archive build" in answer.json()["detail"]
    assert client.get("/").status_code == 200
    shutil.copytree(phantom_archive, place)
    assert client.get("/api/info").json()["items"] == 24

    assert ItemTable.open(place).delete([ODD_ID]) == 1
    assert client.get("/api/info").json()["items"] == 23
    assert client.post("/api/search", json={"id": ODD_ID}).status_code == 404

    shutil.rmtree(place)
    assert client.get("/api/info").status_code == 503
    shutil.copytree(phantom_archive, place)
    assert client.post("/api/search", json={"id": ODD_ID}).status_code == 200


def test_items_can_be_searched_without_the_encoder(phantom_archive: Path, tmp_path: Path) -> None:
    place = shutil.copytree(phantom_archive, tmp_path / "archive")
    described = json.loads((place / "archive.json").read_text())
    described["encoder_spec"]["init_args"]["image_model"] = "no_such_model"
    (place / "archive.json").write_text(json.dumps(described))
    client = client_of(create_app(ServedArchive(str(place))))
    assert client.post("/api/search", json={"id": ODD_ID}).status_code == 200
    answer = client.post("/api/search", json={"text": SECRET})
    assert answer.status_code == 503
    assert SECRET not in answer.text


# --- what is kept to itself


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

    def fail(*_: object, text: str, **__: object) -> None:
        raise RuntimeError(f"cannot hash {text}")

    monkeypatch.setattr(Archive, "search", fail)
    answer = client.post("/api/search", json={"text": SECRET})
    assert (answer.status_code, answer.json()) == (500, {"detail": "the server failed; its log says where"})
    # Of the server's own; the client of this test logs what it asks for.
    logged = [record for record in caplog.records if not record.name.startswith("http")]
    assert any("RuntimeError" in record.getMessage() for record in logged)
    told = "".join(str(record.__dict__) for record in logged) + "".join(capfd.readouterr())
    assert SECRET.split()[0] not in told
    assert SECRET.split()[1] not in told


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
