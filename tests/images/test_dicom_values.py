"""What the values of a DICOM file mean, where no window says it: depth, padding, sign, attributes that contradict."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from mcmfh_lightning.datasets.collection import Decodable, Unusable, check_image, image_bytes
from mcmfh_lightning.images import dicom as notes
from mcmfh_lightning.images import dicom_values as dicom_attributes
from mcmfh_lightning.images.decode import decode_picture
from mcmfh_lightning.images.dicom_values import NO_SLOPE, NO_WINDOW, STRETCHED
from mcmfh_lightning.images.unusable import UNREADABLE

from .dicom_files import dicom, write_dicom

RNG = np.random.default_rng(0)


def shown(path: Path, value_range: tuple[float, float] | None = None) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image_bytes(path, value_range))))


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip((values.astype(float) - low) / (high - low) * 255, 0, 255))


def film(bits: int, shape: tuple[int, ...] = (8, 9)) -> np.ndarray:
    """Make values of a number of bits, the greatest among them, of 16 allocated bits."""
    values = RNG.integers(0, 2**bits, shape).astype(np.uint16)
    values[0, 0] = 2**bits - 1
    return values


@pytest.mark.parametrize("kind", ["MONOCHROME2", "MONOCHROME1", "RGB"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_depth_is_what_bits_stored_says(tmp_path, bits, kind):
    values = film(bits, (8, 9, 3) if kind == "RGB" else (8, 9)) // 2 + 1
    values[0, 1] = 2 ** (bits - 1) + 1
    path = write_dicom(tmp_path / "a", values, BitsStored=bits, PhotometricInterpretation=kind)
    expected = scaled(values, 0, 2**bits - 1)
    np.testing.assert_array_equal(shown(path), 255 - expected if kind == "MONOCHROME1" else expected)
    assert check_image(path).bits == bits


@pytest.mark.parametrize("kind", ["MONOCHROME2", "RGB"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_sixteen_bits_are_often_said_without_meaning_it(tmp_path, bits, kind):
    values = film(bits, (8, 9, 3) if kind == "RGB" else (8, 9))
    path = write_dicom(tmp_path / "a", values, PhotometricInterpretation=kind)
    np.testing.assert_array_equal(shown(path), scaled(values, 0, 2**bits - 1))
    assert check_image(path).assumed == (f"scaled from {bits} bits, by its greatest value",)


def test_the_same_values_look_the_same_as_png(tmp_path):
    values = film(12)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(shown(tmp_path / "a.png"), shown(write_dicom(tmp_path / "a.dcm", values)))


def test_a_falling_rescaling_inverts(tmp_path):
    values = film(12)
    path = write_dicom(tmp_path / "a", values, BitsStored=12, RescaleSlope=-2, RescaleIntercept=500)
    np.testing.assert_array_equal(shown(path), scaled(4095 - values.astype(int), 0, 4095))


def test_a_value_range_is_of_rescaled_values_and_yields_to_a_window(tmp_path):
    values = film(12)
    ct = {"BitsStored": 12, "RescaleSlope": 1, "RescaleIntercept": -1024}
    path = write_dicom(tmp_path / "a", values, **ct)
    np.testing.assert_array_equal(shown(path, (-160, 240)), scaled(values.astype(int) - 1024, -160, 240))
    windowed = write_dicom(tmp_path / "b", values, **ct, WindowCenter=40, WindowWidth=400)
    assert image_bytes(windowed, (0, 10)) == image_bytes(windowed)
    eight = write_dicom(tmp_path / "c", (values % 256).astype(np.uint8))
    assert image_bytes(eight, (0, 10)) == image_bytes(eight)


@pytest.mark.parametrize("kind", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("low", [-2000, 5])
def test_signed_values_are_stretched(tmp_path, kind, low):
    values = RNG.integers(low, 3000, (8, 9)).astype(np.int16)
    path = write_dicom(tmp_path / "a", values, PhotometricInterpretation=kind)
    expected = scaled(values, values.min(), values.max())
    np.testing.assert_array_equal(shown(path), 255 - expected if kind == "MONOCHROME1" else expected)
    assert STRETCHED in check_image(path).assumed


@pytest.mark.parametrize("cells", [0x0000, 0xF000])
def test_signed_values_of_twelve_bits_with_and_without_sign_extension(tmp_path, cells):
    values = RNG.integers(-2048, 2048, (8, 9))
    stored = np.where(values < 0, values & 0x0FFF | cells, values).astype(np.uint16).view(np.int16)
    path = write_dicom(tmp_path / "a", stored, BitsStored=12)
    np.testing.assert_array_equal(shown(path), scaled(values, values.min(), values.max()))


PADDINGS = {
    "signed": (np.int16, {"PixelPaddingValue": -30000}, [-30000]),
    "signed, of another sign": (np.int16, {"PixelPaddingValue": 35536}, [-30000]),
    "signed, a range": (np.int16, {"PixelPaddingValue": -3000, "PixelPaddingRangeLimit": -2000}, [-3000, -2500, -2000]),
    "signed, a range downwards": (np.int16, {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -3000}, [-2700]),
    "unsigned, high": (np.uint16, {"PixelPaddingValue": 65535}, [65535]),
    "unsigned, low": (np.uint16, {"PixelPaddingValue": 0}, [0]),
    "beyond the stored bits": (np.uint16, {"PixelPaddingValue": 63536, "BitsStored": 12}, [63536]),
    "within the stored bits": (np.uint16, {"PixelPaddingValue": 4095, "BitsStored": 12}, [4095]),
}


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("kind", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("case", PADDINGS)
def test_padding_takes_no_part_and_is_black(tmp_path, case, kind, syntax):
    dtype, attributes, padding = PADDINGS[case]
    values = RNG.integers(500, 3000, (8, 9)).astype(dtype)
    outside = RNG.random((8, 9)) < 0.3
    picture = values[~outside]
    values[outside] = RNG.choice(padding, int(outside.sum()))
    dataset = dicom(values, syntax, PhotometricInterpretation=kind, **{"PixelPaddingValue": 0} | attributes)
    dataset["PixelPaddingValue"].VR = "SS" if attributes["PixelPaddingValue"] < 0 else "US"
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    expected = scaled(values, picture.min(), picture.max())
    expected = 255 - expected if kind == "MONOCHROME1" else expected
    expected[outside] = 0
    np.testing.assert_array_equal(shown(tmp_path / "a"), expected)
    assert {notes.PADDED, STRETCHED} <= set(check_image(tmp_path / "a").assumed)


def test_padding_is_black_also_in_a_window(tmp_path):
    values = film(12) // 2 + 100
    values[:, 0] = 0
    window = {"BitsStored": 12, "WindowCenter": 1000, "WindowWidth": 1001, "PhotometricInterpretation": "MONOCHROME1"}
    path = write_dicom(tmp_path / "a", values, PixelPaddingValue=0, **window)
    picture = shown(path)
    assert not picture[:, 0].any()
    expected = 255 - np.clip(((values - 999.5) / 1000 + 0.5) * 255, 0, 255)
    np.testing.assert_allclose(picture[:, 1:], expected[:, 1:], atol=0.51)


def test_padding_that_covers_everything_is_ignored(tmp_path):
    values = film(12)
    path = write_dicom(tmp_path / "a", values, BitsStored=12, PixelPaddingValue=0, PixelPaddingRangeLimit=4095)
    np.testing.assert_array_equal(shown(path), scaled(values, 0, 4095))
    assert notes.ALL_PADDING in check_image(path).assumed


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("signed", [False, True])
def test_a_high_bit_above_the_stored_bits(tmp_path, signed, syntax):
    values = RNG.integers(-2048, 2048, (8, 9)) if signed else RNG.integers(0, 4096, (8, 9))
    cells = (values << 4 & 0xFFFF).astype(np.uint16).view(np.int16 if signed else np.uint16)
    dataset = dicom(cells, BitsStored=12, HighBit=15)
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    low, high = (values.min(), values.max()) if signed else (0, 4095)
    np.testing.assert_array_equal(shown(tmp_path / "a"), scaled(values, low, high))


def test_an_overlay_in_the_upper_bits_does_not_belong_to_a_value(tmp_path):
    values = film(12)
    overlay = (RNG.random((8, 9)) < 0.3).astype(np.uint16) << 14
    path = write_dicom(tmp_path / "a", values | overlay, BitsStored=12)
    np.testing.assert_array_equal(shown(path), scaled(values, 0, 4095))
    assert notes.EXTRA_BITS in check_image(path).assumed


def test_an_overlay_in_the_lower_bits_neither(tmp_path):
    values = RNG.integers(0, 128, (8, 9))
    path = write_dicom(tmp_path / "a", (values << 1 | 1).astype(np.uint8), BitsStored=7, HighBit=7)
    np.testing.assert_array_equal(shown(path), scaled(values, 0, 127))


@pytest.mark.parametrize("slope", ["0", "0.0", "nan"])
def test_a_slope_of_zero_is_ignored(tmp_path, slope):
    values = film(12)
    path = write_dicom(
        tmp_path / "a",
        values,
        BitsStored=12,
        RescaleSlope=slope,
        RescaleIntercept=7,
        WindowCenter=2048,
        WindowWidth=4096,
    )
    expected = np.clip(((values - 2047.5) / 4095 + 0.5) * 255, 0, 255)
    np.testing.assert_allclose(shown(path), expected, atol=0.51)
    assert NO_SLOPE in check_image(path).assumed


@pytest.mark.parametrize("missing", ["RescaleSlope", "RescaleIntercept"])
def test_half_of_a_rescaling(tmp_path, missing):
    values = film(12)
    given = {"RescaleSlope": 2, "RescaleIntercept": -1000}
    given.pop(missing)
    path = write_dicom(tmp_path / "a", values, BitsStored=12, WindowCenter=1000, WindowWidth=2001, **given)
    measured = values * 2.0 if missing == "RescaleIntercept" else values - 1000.0
    expected = np.clip(((measured - 999.5) / 2000 + 0.5) * 255, 0, 255)
    np.testing.assert_allclose(shown(path), expected, atol=0.51)


@pytest.mark.parametrize(
    ("center", "width", "function"),
    [
        ("100", "0", "LINEAR"),
        ("100", "0.5", ""),
        ("100", "-7", "LINEAR_EXACT"),
        ("100", "0", "SIGMOID"),
        ("nan", "50", "LINEAR"),
        ("100", "inf", "LINEAR"),
        ("100", "50", "CUBIC"),
    ],
)
def test_a_window_that_cannot_be_is_ignored(tmp_path, center, width, function):
    values = film(12)
    window = {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": function}
    path = write_dicom(tmp_path / "a", values, BitsStored=12, **window)
    np.testing.assert_array_equal(shown(path), scaled(values, 0, 4095))
    assert NO_WINDOW in check_image(path).assumed


def test_half_a_window_and_an_empty_one_are_none(tmp_path):
    values = film(12)
    for window in ({"WindowCenter": 100}, {"WindowWidth": 100}, {"WindowCenter": None, "WindowWidth": None}):
        path = write_dicom(tmp_path / "a", values, BitsStored=12, **window)
        np.testing.assert_array_equal(shown(path), scaled(values, 0, 4095))


@pytest.mark.parametrize("width", [1, 1.5])
def test_the_narrowest_window(tmp_path, width):
    values = film(12)
    path = write_dicom(tmp_path / "a", values, BitsStored=12, WindowCenter=2000, WindowWidth=width)
    np.testing.assert_array_equal(shown(path), np.where(values > 1999.5, 255, 0))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("kind", ["no preamble", "only the mark", "no file meta", "no preamble, no file meta"])
def test_files_without_a_header(tmp_path, syntax, kind):
    values = film(12)
    dicom(values, syntax, BitsStored=12).save_as(tmp_path / "a", enforce_file_format=True)
    content = (tmp_path / "a").read_bytes()
    bare = content[144 + int.from_bytes(content[140:144], "little") :]  # behind group 2, whose length comes first
    content = {
        "no preamble": content[132:],
        "only the mark": content[128:],
        "no file meta": bytes(128) + b"DICM" + bare,
        "no preamble, no file meta": bare,
    }[kind]
    (tmp_path / "b").write_bytes(content)
    np.testing.assert_array_equal(shown(tmp_path / "b"), scaled(values, 0, 4095))
    checked = check_image(tmp_path / "b")
    assert (notes.NO_SYNTAX in checked.assumed) is ("meta" in kind)
    assert (notes.NO_PREAMBLE in checked.assumed) is (kind != "no file meta")


@pytest.mark.parametrize(
    "missing",
    ["BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation", "SamplesPerPixel", "BitsAllocated"],
)
def test_attributes_that_are_missing(tmp_path, missing):
    values = film(16)
    dataset = dicom(values)
    del dataset[missing]
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    np.testing.assert_array_equal(shown(tmp_path / "a"), scaled(values, 0, 65535))
    assert dicom_attributes.DEFAULTS in check_image(tmp_path / "a").assumed


@pytest.mark.parametrize(
    ("attributes", "detail"),
    [
        ({"BitsStored": 20}, "contradict"),
        ({"BitsStored": 12, "HighBit": 3}, "contradict"),
        ({"HighBit": 31, "BitsStored": 12}, "contradict"),
        ({"Rows": 0}, "Rows or Columns"),
        ({"Rows": None}, "Rows or Columns"),
        ({"Rows": 800}, "PixelData is 144 bytes; Rows 800"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, ""),
        ({"RescaleSlope": [1, 2], "RescaleIntercept": 0}, ""),
    ],
)
def test_attributes_that_cannot_be_are_named(tmp_path, attributes, detail):
    path = write_dicom(tmp_path / "a", film(12), **attributes)
    checked = check_image(path)
    assert checked == Unusable(UNREADABLE)
    assert detail in checked.detail
    assert checked.detail
    assert "\n" not in checked.detail


def test_a_frame_of_another_size_than_its_header_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    stream = io.BytesIO()
    Image.new("L", (64, 80)).save(stream, "JPEG2000")
    dataset = dicom(np.zeros((8, 9), np.uint8))
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    monkeypatch.setattr("pydicom.pixels.utils.pixel_array", None)
    assert "9 x 8 pixels, its frame 64 x 80" in check_image(tmp_path / "a").detail


def test_a_picture_of_one_bit_and_one_of_thirty_two(tmp_path):
    bits = RNG.integers(0, 2, (8, 16))
    dataset = dicom(bits.astype(np.uint8), BitsAllocated=1, BitsStored=1, HighBit=0)
    dataset.PixelData = np.packbits(bits.ravel().astype(np.uint8), bitorder="little").tobytes()
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    np.testing.assert_array_equal(shown(tmp_path / "a"), bits * 255)
    values = RNG.integers(2**29, 2**30, (8, 9)).astype(np.uint32)
    path = write_dicom(tmp_path / "b", values)
    np.testing.assert_array_equal(shown(path), scaled(values, 0, 2**30 - 1))


def test_damaged_headerless_files_never_escape_as_another_error():
    stream = io.BytesIO()
    dicom(film(12), BitsStored=12, PixelPaddingValue=3, RescaleSlope=2, RescaleIntercept=0).save_as(
        stream, enforce_file_format=True
    )
    content = stream.getvalue()[132:]
    for _ in range(100):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[RNG.integers(8, len(content), 5)] = RNG.integers(0, 256, 5)
        try:
            decode_picture(damaged.tobytes())
        except Exception as error:
            assert type(error).__name__ == "PictureError", repr(error)  # noqa: PT017  # any error but this one is a finding


def test_of_decoded_files_the_format_is_png(tmp_path):
    assert check_image(write_dicom(tmp_path / "a", film(12), BitsStored=12)) == Decodable(
        "png", False, 12, ("scaled from 12 bits, as the file says",)
    )
