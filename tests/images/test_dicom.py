"""Pictures of DICOM files, against the formulas of the standard written out here."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from mcmfh_lightning.datasets.collection import Decodable, Unusable, check_image, image_bytes
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images import unusable as reasons
from mcmfh_lightning.images.decode import BLANK
from mcmfh_lightning.images.dicom import is_dicom
from mcmfh_lightning.images.unusable import FIXES

from .dicom_files import PERSONAL, dicom, write_dicom

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
SMOOTH = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)  # survives lossy compression


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image_bytes(path))))


def linear(x: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3, C.11.2.1.2.1, to 0..255."""
    return np.clip(((x - (center - 0.5)) / (width - 1) + 0.5) * 255, 0, 255)


def test_a_window_is_applied_behind_the_rescaling(tmp_path):
    path = write_dicom(
        tmp_path / "a", RAMP, BitsStored=12, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400
    )
    np.testing.assert_allclose(read(path), linear(RAMP * 2.0 - 1024, 40, 400), atol=0.51)


def test_a_falling_rescaling_does_not_turn_the_window_round(tmp_path):
    path = write_dicom(
        tmp_path / "a", RAMP, BitsStored=12, RescaleSlope=-1, RescaleIntercept=4095, WindowCenter=2048, WindowWidth=1000
    )
    np.testing.assert_allclose(read(path), linear(4095.0 - RAMP, 2048, 1000), atol=0.51)


def test_the_first_of_several_windows_is_taken(tmp_path):
    path = write_dicom(tmp_path / "a", RAMP, BitsStored=12, WindowCenter=[100, 3000], WindowWidth=[50, 80])
    np.testing.assert_allclose(read(path), linear(RAMP, 100, 50), atol=0.51)


def test_a_sigmoid_window(tmp_path):
    path = write_dicom(
        tmp_path / "a", RAMP, BitsStored=12, WindowCenter=2000, WindowWidth=800, VOILUTFunction="SIGMOID"
    )
    np.testing.assert_allclose(read(path), 255 / (1 + np.exp(-4 * (RAMP - 2000.0) / 800)), atol=0.51)


def test_a_window_wider_than_the_picture_does_not_stretch_it(tmp_path):
    path = write_dicom(tmp_path / "a", RAMP // 8 + 1000, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    shown = read(path)
    np.testing.assert_allclose(shown, linear(RAMP // 8 + 1000, 2048, 4096), atol=0.51)
    assert shown.min() > 50
    assert shown.max() < 110


def test_signed_values(tmp_path):
    values = RAMP.astype(np.int16) - 2000
    path = write_dicom(tmp_path / "a", values, WindowCenter=-600, WindowWidth=1500)
    np.testing.assert_allclose(read(path), linear(values, -600, 1500), atol=0.51)


def test_monochrome1_is_inverted(tmp_path):
    window = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 3000}
    usual = read(write_dicom(tmp_path / "a", RAMP, **window))
    inverted = read(write_dicom(tmp_path / "b", RAMP, PhotometricInterpretation="MONOCHROME1", **window))
    np.testing.assert_array_equal(inverted, 255 - usual)


def test_without_a_window_eight_bits_are_taken_as_they_are(tmp_path):
    np.testing.assert_array_equal(read(write_dicom(tmp_path / "a", SMOOTH)), SMOOTH)


def test_a_picture_of_one_value(tmp_path):
    path = write_dicom(tmp_path / "a", np.full((4, 4), 300, np.int16))
    assert not read(path).any()
    assert BLANK in check_image(path).assumed


@pytest.mark.parametrize("depth", [8, 12])
def test_a_table_comes_before_a_window(tmp_path, depth):
    """4,096 entries of 8 bits: an index of 8 bits would wrap around."""
    table = ((1 + np.cos(np.arange(4000) / 500)) / 2 * (2**depth - 1)).astype(int)
    sequence = Dataset()
    sequence.LUTDescriptor = [4000, 50, depth]
    sequence.LUTData = table.tolist()
    for entry in ("LUTDescriptor", "LUTData"):
        sequence[entry].VR = "US"
    path = write_dicom(tmp_path / "a", RAMP, BitsStored=12, VOILUTSequence=[sequence], WindowCenter=5, WindowWidth=10)
    looked_up = table[np.clip(RAMP.astype(int) - 50, 0, 3999)]
    low, high = table.min(), table.max()
    np.testing.assert_allclose(read(path), (looked_up - low) / (high - low) * 255, atol=0.51)


def test_a_modality_table(tmp_path):
    sequence = Dataset()
    sequence.LUTDescriptor = [4096, 0, 16]
    sequence.LUTData = (np.arange(4096) ** 2 // 300).tolist()
    for entry in ("LUTDescriptor", "LUTData"):
        sequence[entry].VR = "US"
    path = write_dicom(tmp_path / "a", RAMP, BitsStored=12, ModalityLUTSequence=[sequence])
    values = RAMP.astype(int) ** 2 // 300
    np.testing.assert_allclose(read(path), values / values.max() * 255, atol=0.51)


def test_color(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read(write_dicom(tmp_path / "a", picture)), picture)


def test_another_color_space(tmp_path):
    """ITU-R BT.601 as JPEG has it: Pillow's conversion is the oracle."""
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path = write_dicom(tmp_path / "a", picture, PhotometricInterpretation="YBR_FULL")
    expected = np.asarray(Image.fromarray(picture, "YCbCr").convert("RGB"))
    np.testing.assert_allclose(read(path).astype(int), expected, atol=1)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_palette(tmp_path, depth):
    palette = np.random.default_rng(0).integers(0, 2**depth, (256, 3))
    attributes = {"PhotometricInterpretation": "PALETTE COLOR"}
    for color, entries in zip(("Red", "Green", "Blue"), palette.T, strict=True):
        attributes[f"{color}PaletteColorLookupTableDescriptor"] = [256, 0, depth]
        attributes[f"{color}PaletteColorLookupTableData"] = entries.astype(f"<u{depth // 8}").tobytes()
    shown = read(write_dicom(tmp_path / "a", SMOOTH, **attributes))
    np.testing.assert_array_equal(shown, palette[SMOOTH] >> (depth - 8))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_plain_transfer_syntaxes(tmp_path, syntax):
    dataset = dicom(RAMP, syntax, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = RAMP.astype(">u2").tobytes()
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    np.testing.assert_allclose(read(tmp_path / "a"), linear(RAMP, 2048, 4096), atol=0.51)


def _jpeg(kind: str) -> Callable[[Dataset], None]:
    def compress(dataset: Dataset) -> None:
        stream = io.BytesIO()
        Image.fromarray(SMOOTH).save(stream, kind)
        dataset.PixelData = encapsulate([stream.getvalue()])
        dataset.file_meta.TransferSyntaxUID = {"JPEG": JPEGBaseline8Bit, "JPEG2000": JPEG2000}[kind]

    return compress


@pytest.mark.parametrize(
    "compress", [lambda dataset: dataset.compress(RLELossless), _jpeg("JPEG"), _jpeg("JPEG2000")],
    ids=["RLE", "JPEG", "JPEG 2000"],
)  # fmt: skip
def test_compressed_pictures(tmp_path, compress):
    dataset = dicom(SMOOTH)
    compress(dataset)
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    np.testing.assert_allclose(read(tmp_path / "a"), SMOOTH, atol=3)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, "1.2.3.4.5"])
def test_a_compression_that_nobody_here_knows(tmp_path, syntax):
    dataset = dicom(SMOOTH)
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xf7"])
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(tmp_path / "a", enforce_file_format=True, implicit_vr=False, little_endian=True)
    assert check_image(tmp_path / "a") == Unusable(reasons.COMPRESSED)


def test_a_deflated_file_is_refused_before_it_is_inflated(tmp_path):
    path = tmp_path / "a"
    dicom(SMOOTH).save_as(path, enforce_file_format=True)
    dataset = dicom(SMOOTH)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes()[:400] + b"inflate this" * 9)  # would be reported as undecodable
    assert check_image(path) == Unusable(reasons.COMPRESSED)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    dataset = dicom(SMOOTH)
    dataset.compress(RLELossless)
    dataset.Rows = dataset.Columns = 65_000  # 4 GB; one frame of 64 x 64 follows
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    assert check_image(tmp_path / "a") == Unusable(reasons.TOO_LARGE)


def test_several_frames_are_refused(tmp_path):
    write_dicom(tmp_path / "a", np.zeros((8, 8), np.uint8), NumberOfFrames=2)
    assert check_image(tmp_path / "a") == Unusable(reasons.MULTI_FRAME)


def test_a_report_has_no_picture(tmp_path):
    dataset = dicom(SMOOTH)
    del dataset.PixelData
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    assert check_image(tmp_path / "a") == Unusable(reasons.NO_PIXELS)


@pytest.mark.parametrize("keep", [133, 200, 0.5, 0.9])
def test_truncated_files(tmp_path, keep):
    path = write_dicom(tmp_path / "a", RAMP, BitsStored=12)
    content = path.read_bytes()
    path.write_bytes(content[: keep if keep > 1 else int(keep * len(content))])
    assert check_image(path) in (Unusable(reasons.UNREADABLE), Unusable(reasons.NO_PIXELS))
    with pytest.raises(DataError, match=r"a: .*DICOM.*; (copy it again|export the image)"):
        image_bytes(path)


def test_damaged_files_never_escape_as_another_error(tmp_path):
    content = write_dicom(tmp_path / "a", SMOOTH, WindowCenter=100, WindowWidth=50).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[rng.integers(132, 1200, 5)] = rng.integers(0, 256, 5)
        (tmp_path / "b").write_bytes(damaged.tobytes())
        assert isinstance(check_image(tmp_path / "b"), Decodable | Unusable)


def test_nothing_but_pixels_is_in_the_picture(tmp_path):
    path = write_dicom(tmp_path / "a", SMOOTH)
    assert b"Mustermann" in path.read_bytes()
    png = image_bytes(path)
    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
        assert picture.info == {}
    kinds, at = [], 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        kinds.append(png[at + 4 : at + 8])
        at += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    assert at == len(png)
    assert not any(value.encode() in png for value in PERSONAL.values())


def test_attributes_of_the_patient_are_not_even_read(tmp_path, monkeypatch):
    """What a decoder never sees it cannot pass on."""
    from pydicom.pixels import utils

    seen = []
    decode = utils.pixel_array
    monkeypatch.setattr(utils, "pixel_array", lambda dataset: seen.append(dataset) or decode(dataset))
    image_bytes(write_dicom(tmp_path / "a", SMOOTH))
    assert not [name for name in PERSONAL if name in seen[0]]
    assert 0x00091001 not in seen[0]


def test_the_content_decides_not_the_name(tmp_path):
    Image.fromarray(SMOOTH).save(tmp_path / "picture.dcm", "PNG")
    assert not is_dicom((tmp_path / "picture.dcm").read_bytes())
    assert check_image(tmp_path / "picture.dcm") == Decodable("png")
    assert image_bytes(tmp_path / "picture.dcm") == (tmp_path / "picture.dcm").read_bytes()
    assert check_image(write_dicom(tmp_path / "dicom.png", SMOOTH)) == Decodable("png", unchanged=False)


def test_without_pydicom_the_fix_is_named(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "a", SMOOTH)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert check_image(path) == Unusable(reasons.NO_PYDICOM)
    assert "mcmfh-lightning[dicom]" in FIXES[reasons.NO_PYDICOM]


def test_every_reason_has_its_fix():
    named = {value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
    assert named == FIXES.keys()
