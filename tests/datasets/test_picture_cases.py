"""The cases of pictures that came out wrong, through the command; drawings, and the outcome that each must have."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.images import dicom
from mcmfh_lightning.images import dicom_values as dicom_presentation
from mcmfh_lightning.images.decode import FIRST_OF_SEVERAL, ON_WHITE
from mcmfh_lightning.images.unusable import NO_PIXELS, TRANSPARENT, UNDECODABLE
from mcmfh_lightning.shards import DatasetInfo

from ..images.dicom_files import write_dicom
from ..images.png_files import png_bytes, write_png
from .manifests import pairs, run, tars, write_csv
from .test_openi import report
from .test_roco import write_part

CASES = {
    "image_mpo": FIRST_OF_SEVERAL,
    "image_alpha_only": ON_WHITE,
    "image_la": ON_WHITE,
    "image_rgb16_12bit": "scaled from 12 bits, by its greatest value",
    "image_g16": "scaled from 16 bits, by its greatest value",
    "dicom_padding": dicom.PADDED,
    "dicom_slope0": dicom_presentation.NO_SLOPE,
    "dicom_nopreamble": dicom.NO_PREAMBLE,
    "dicom_nometa": dicom.NO_SYNTAX,
}


def converted(folder: Path, manifest: Path, images: Path, *options: str) -> DatasetInfo:
    assert run(folder, manifest, "--images", str(images), *options) == 0
    return DatasetInfo.load(folder / "out")


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.asarray(Image.open(io.BytesIO(pair.image))) for name, pair in pairs(folder / "out").items()}


@pytest.mark.parametrize("case", CASES)
def test_the_case_is_converted_and_counted(case, tmp_path, shared_data):
    folder = shared_data.parent / "cases" / case
    if not folder.is_dir():
        pytest.skip(f"{folder} is not at hand")
    info = converted(tmp_path, folder / "pairs.csv", folder / "films")
    assert info.settings["summary"]["kept"][CASES[case]] == 1
    [shown] = pixels(tmp_path).values()
    assert shown.std() > 50
    with (folder / "pairs.csv").open() as file:
        [row] = csv.DictReader(file)
    if case in ("image_rgb16_12bit", "image_g16", "image_mpo"):
        greatest = {"image_rgb16_12bit": 3499 / 4095, "image_g16": 56283 / 65535, "image_mpo": 230 / 255}[case]
        assert shown.max() == round(255 * greatest)
    if case.startswith("image_mpo"):
        assert pairs(tmp_path / "out")["x1"].image == (folder / "films" / row["image"]).read_bytes()


@pytest.fixture
def films(tmp_path):
    """A PNG of 12 and one of 16 bits, one of 8, one to turn, one transparent, one DICOM file without a window."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = rng.integers(0, 4096, (9, 7))
    write_png(folder / "twelve.png", deep)
    write_png(folder / "sixteen.png", deep * 16)
    Image.fromarray(deep.astype(np.uint8)).save(folder / "eight.png")
    Image.fromarray(deep.astype(np.uint8)).save(folder / "turned.jpg", exif=exif)
    write_png(folder / "clear.png", np.dstack([deep % 256, deep % 256]), 8)
    write_dicom(folder / "film.dcm", deep.astype(np.uint16), BitsStored=12)
    return {path.stem: path for path in sorted(folder.iterdir())}


def manifest(folder: Path, names) -> Path:
    rows = [
        {"id": path.stem, "image": path.name, "text": "Clear.", "labels": ["normal"], "group": path.stem}
        for path in names
    ]
    return write_csv(folder / "table.csv", rows)


def test_what_was_assumed_and_depths_that_differ_are_reported(tmp_path, films, capsys):
    assert run(tmp_path, manifest(tmp_path, films.values())) == 0
    info, said = DatasetInfo.load(tmp_path / "out"), capsys.readouterr()
    summary = info.settings["summary"]
    assert summary["kept"] == {
        "scaled from 12 bits, as the file says": 1,
        "scaled from 12 bits, by its greatest value": 1,
        "scaled from 16 bits, by its greatest value": 1,
        "transparent picture laid on white": 1,
        "turned or mirrored as its EXIF orientation says": 1,
    }
    assert summary["image_bits"] == {"8": 3, "12": 2, "16": 1}
    assert "warning: images of several depths (8 bits: 3, 12 bits: 2, 16 bits: 1)" in " ".join(said.err.split())
    assert "scaled from 16 bits, by its greatest value 1" in " ".join(said.out.split())
    stored = pairs(tmp_path / "out")
    assert stored["eight"].image == films["eight"].read_bytes()
    assert {name: pair.image_format for name, pair in stored.items()} == dict.fromkeys(films, "png")


def test_a_value_range_is_kept_in_the_settings(tmp_path, films, capsys):
    table = manifest(tmp_path, [films["twelve"], films["sixteen"], films["film"]])
    assert run(tmp_path, table, "--value-range", "0", "4095") == 0
    info = DatasetInfo.load(tmp_path / "out")
    assert info.settings["value_range"] == [0, 4095]
    assert info.settings["summary"]["kept"] == {"scaled by --value-range": 3}
    assert "several depths" not in capsys.readouterr().err
    shown = pixels(tmp_path)
    np.testing.assert_array_equal(shown["twelve"], shown["film"])
    assert run(tmp_path, table) == 2
    assert "value_range = [0.0, 4095.0], not None" in capsys.readouterr().err
    assert run(tmp_path, table, "--value-range", "5", "5", out="other") == 2
    assert "--value-range 5 5: give two finite numbers" in capsys.readouterr().err


def test_a_collection_of_eight_bits_says_nothing_new(tmp_path, films):
    assert run(tmp_path, manifest(tmp_path, [films["eight"]])) == 0
    settings = DatasetInfo.load(tmp_path / "out").settings
    assert "value_range" not in settings
    assert "image_bits" not in settings["summary"]
    assert settings["summary"]["kept"] == {}


def test_two_conversions_give_the_same_bytes(tmp_path, films):
    table = manifest(tmp_path, films.values())
    assert run(tmp_path, table) == run(tmp_path, table, out="again") == 0
    assert tars(tmp_path / "out") == tars(tmp_path / "again")


BROKEN = {
    "cut short": (png_bytes(np.arange(64 * 64 * 3).reshape(64, 64, 3))[:3000], UNDECODABLE),
    "headerless DICOM cut short": (b"\x08\x00\x16\x00\x1a\x00\x00\x00" + bytes(90), NO_PIXELS),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_and_can_be_skipped(tmp_path, films, capsys, kind):
    content, reason = BROKEN[kind]
    (tmp_path / "images" / "broken.png").write_bytes(content)
    table = manifest(tmp_path, [films["eight"], tmp_path / "images" / "broken.png"])
    assert run(tmp_path, table) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"row 3, column 'image': {reason}" in error
    assert "broken.png" in error
    assert run(tmp_path, table, "--skip-bad-rows") == 0
    assert list(pairs(tmp_path / "out")) == ["eight"]


@pytest.mark.parametrize("error", [MemoryError("no room"), KeyError("MPO"), OverflowError(), RecursionError()])
def test_no_exception_of_a_library_ends_a_conversion(tmp_path, films, capsys, monkeypatch, error):
    load = Image.Image.load

    def failing(self, *args):
        if self.size == (7, 9) and self.mode == "RGB":
            raise error
        return load(self, *args)

    path = tmp_path / "images" / "odd.png"
    Image.new("RGB", (7, 9)).save(path)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", failing)
    table = manifest(tmp_path, [films["eight"], path])
    assert run(tmp_path, table) == 2
    assert "row 3, column 'image': undecodable image (odd.png: " in capsys.readouterr().err
    assert run(tmp_path, table, "--skip-bad-rows") == 0


def test_the_converters_of_collections_take_a_value_range_and_account_for_what_is_broken(tmp_path):
    films, data = tmp_path / "films", tmp_path / "roco"
    films.mkdir()
    write_part(data / "data" / "train" / "radiology", range(12))
    deep = np.random.default_rng(0).integers(0, 4096, (9, 7))
    reports = tmp_path / "reports"
    reports.mkdir()
    for number in range(4):
        name = f"CXR{number}_IM-1"
        (reports / f"{number}.xml").write_bytes(report(number, name))
        write_png(films / f"{name}.png", deep)
    (films / "CXR3_IM-1.png").write_bytes(png_bytes(np.dstack([deep, deep * 0])))
    images = data / "data" / "train" / "radiology" / "images"
    write_png(images / "ROCO_00003.jpg", deep)
    (images / "ROCO_00004.jpg").write_bytes((images / "ROCO_00003.jpg").read_bytes()[:60])
    ranged = ["--value-range", "0", "8190", "--min-label-count", "1"]
    command(["openi", "--reports", str(reports), "--images", str(films), "--out", str(tmp_path / "a"), *ranged])
    command(["roco", "--root", str(data), "--out", str(tmp_path / "b"), *ranged])
    for name, item, skipped in (("a", "CXR0_IM-1", TRANSPARENT), ("b", "ROCO_00003", UNDECODABLE)):
        info = DatasetInfo.load(tmp_path / name)
        assert info.settings["value_range"] == [0, 8190]
        assert info.skipped[skipped] == 1
        [shown] = [pair.image for key, pair in pairs(tmp_path / name).items() if key == item]
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(shown))), np.rint(deep / 8190 * 255))
