"""The HTTP service over a real archive: what it answers, and how it follows the archive."""

import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from mcmfh_lightning.archive.filters import Filters
from mcmfh_lightning.archive.results import SearchResult
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.server import routes as served_module
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.routes import ServedArchive
from mcmfh_lightning.archive.store import ItemTable

from .service import ODD_ID, SECRET, client_of


def without_time(answer: dict) -> dict:
    return {key: value for key, value in answer.items() if key != "timing"}


def as_json(result: SearchResult) -> dict:
    from dataclasses import asdict

    return without_time(json.loads(json.dumps(asdict(result))))


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


def test_a_missing_archive_is_reported_and_picked_up(
    phantom_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_module, "LOOK_AGAIN_SECONDS", 0.0)
    place = tmp_path / "archive"
    client = client_of(create_app({"": ServedArchive(str(place))}))
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
    client = client_of(create_app({"": ServedArchive(str(place))}))
    assert client.post("/api/search", json={"id": ODD_ID}).status_code == 200
    answer = client.post("/api/search", json={"text": SECRET})
    assert answer.status_code == 503
    assert SECRET not in answer.text
