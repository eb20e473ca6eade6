"""DICOM files whose attributes contradict their pixels: refused with what is wrong, never shown sheared or darkened."""

import io

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from mcmfh_lightning.images.decode import Picture, decode_picture
from mcmfh_lightning.images.dicom import EXTRA_BITS
from mcmfh_lightning.images.dicom_values import DEFAULTS, INVERSE, NO_WINDOW
from mcmfh_lightning.images.unusable import COMPRESSED, MULTI_FRAME, NO_PIXELS, UNREADABLE, PictureError

from .dicom_files import dicom

RNG = np.random.default_rng(0)
FILM = RNG.integers(0, 4096, (64, 64)).astype(np.uint16)
FILM[0, 0] = 4095
COLOR = RNG.integers(0, 256, (9, 11, 3), dtype=np.uint8)
SMOOTH = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)  # survives lossy compression


def content(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def decoded(dataset: Dataset) -> Picture:
    return decode_picture(content(dataset))


def refusal(data: Dataset | bytes) -> PictureError:
    with pytest.raises(PictureError) as caught:
        decode_picture(data if isinstance(data, bytes) else content(data))
    return caught.value


def with_pixels(dataset: Dataset, pixels: bytes, **attributes: object) -> Dataset:
    """Change a data set behind the back of `dicom`; a value of None removes an attribute."""
    dataset.PixelData = pixels
    for name, value in attributes.items():
        if value is None:
            del dataset[name]
        else:
            setattr(dataset, name, value)
    return dataset


FILM_BYTES, COLOR_BYTES = FILM.tobytes(), COLOR.tobytes()
TWELVE = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
EIGHT = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


@pytest.mark.parametrize(
    "attributes",
    [{"Columns": 60}, {"Rows": 63}, {"Rows": 32}, {"Columns": 65}, EIGHT, {"NumberOfFrames": 0, "Rows": 16}],
    ids=str,
)
def test_pixels_of_another_length_than_the_attributes_say(attributes):
    error = refusal(with_pixels(dicom(FILM, BitsStored=12), FILM_BYTES, **attributes))
    assert error.reason == UNREADABLE
    assert "PixelData is 8,192 bytes; Rows" in error.detail


@pytest.mark.parametrize(
    "attributes",
    [
        {"Columns": 10},
        {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"},
        {"SamplesPerPixel": None, "PhotometricInterpretation": None, "PlanarConfiguration": None},
        {"SamplesPerPixel": None, "PhotometricInterpretation": None, "BitsAllocated": None},
    ],
    ids=str,
)
def test_colors_of_another_length_than_the_attributes_say(attributes):
    assert "PixelData is 29" in refusal(with_pixels(dicom(COLOR), COLOR_BYTES + b"\0", **attributes)).detail


@pytest.mark.parametrize("columns", [3, 11])
@pytest.mark.parametrize("frames", [2, 3, 4])
@pytest.mark.parametrize("missing", [None, "BitsAllocated"])
def test_frames_that_nothing_announces(frames, columns, missing):
    """Three columns: two or more frames of these were once taken for one color picture."""
    frame = RNG.integers(0, 256, (10, columns), dtype=np.uint8)
    dataset = with_pixels(dicom(frame), frame.tobytes() * frames, **({missing: None} if missing else {}))
    assert f"PixelData is {frames * 10 * columns} bytes" in refusal(dataset).detail


def test_one_byte_of_padding_and_subsampled_colors_are_not_a_contradiction():
    odd = RNG.integers(0, 256, (9, 11), dtype=np.uint8)
    shown = decoded(with_pixels(dicom(odd), odd.tobytes() + b"\0"))
    np.testing.assert_array_equal(np.asarray(shown.image), odd)
    flat = np.tile(np.array([90, 90, 128, 128], np.uint8), (8, 5, 1))
    shown = decoded(with_pixels(dicom(COLOR[:8, :10]), flat.tobytes(), PhotometricInterpretation="YBR_FULL_422"))
    np.testing.assert_array_equal(np.asarray(shown.image), np.full((8, 10, 3), 90))


def test_color_without_its_number_of_samples():
    shown = decoded(with_pixels(dicom(COLOR), COLOR_BYTES + b"\0", SamplesPerPixel=None))
    np.testing.assert_array_equal(np.asarray(shown.image), COLOR)
    assert DEFAULTS in shown.assumed


def _compressed(kind: str, picture: np.ndarray, frames: int = 1, **attributes: object) -> Dataset:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind)
    dataset = dicom(picture, **attributes)
    dataset.PixelData = encapsulate([stream.getvalue()] * frames)
    dataset.file_meta.TransferSyntaxUID = {"JPEG": JPEGBaseline8Bit, "JPEG2000": JPEG2000Lossless}[kind]
    return dataset


def _run_lengths(picture: np.ndarray = SMOOTH) -> Dataset:
    dataset = dicom(picture)
    dataset.compress(RLELossless)
    return dataset


@pytest.mark.parametrize("make", [_run_lengths, lambda: _compressed("JPEG", SMOOTH)], ids=["RLE", "JPEG"])
@pytest.mark.parametrize("preamble", [b"", bytes(128) + b"DICM"], ids=["without", "with"])
def test_compressed_pixels_without_a_transfer_syntax(make, preamble):
    """Once decoded as raw bytes: noise."""
    whole = content(make())
    error = refusal(preamble + whole[whole.index(b"\x08\x00\x16\x00") :])
    assert error.reason == COMPRESSED
    assert "no transfer syntax" in error.detail


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_compressed_frames_that_nothing_announces(kind):
    np.testing.assert_allclose(np.asarray(decoded(_compressed(kind, SMOOTH)).image), SMOOTH, atol=3)
    assert refusal(_compressed(kind, SMOOTH, frames=2)).reason == MULTI_FRAME


def test_frames_of_run_lengths_that_nothing_announces():
    dataset = dicom(np.stack([SMOOTH, SMOOTH]), NumberOfFrames=2)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = 64
    del dataset.PlanarConfiguration
    dataset.compress(RLELossless)
    del dataset.NumberOfFrames
    assert refusal(dataset).reason == MULTI_FRAME


@pytest.mark.parametrize("picture", [SMOOTH, FILM, np.zeros((64, 64), np.uint8), np.dstack([SMOOTH] * 3)])
@pytest.mark.parametrize("attributes", [{"Columns": 60}, {"Rows": 60}, {"Columns": 62, "Rows": 65}], ids=str)
def test_run_lengths_of_more_pixels_than_the_attributes_say(picture, attributes):
    dataset = _run_lengths(picture)
    decoded(dataset)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    assert "PixelData unpacks to 4,096 bytes; Rows" in refusal(dataset).detail


@pytest.mark.parametrize("shape", [(9, 11), (1, 1), (3, 5)])
def test_run_lengths_of_an_odd_number_of_pixels(shape):
    picture = RNG.integers(0, 3, shape, dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(decoded(_run_lengths(picture)).image), picture)


def test_a_compressed_color_picture_that_is_said_to_be_gray():
    dataset = _compressed("JPEG", np.dstack([SMOOTH] * 3))
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    assert "SamplesPerPixel is 1, its frame has 3" in refusal(dataset).detail


@pytest.mark.parametrize(
    "kind", ["HSV", "YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT", "MONOCHROME2", "PALETTE COLOR", "CMYK"]
)
def test_kinds_of_color_that_are_not_rgb(kind):
    error = refusal(dicom(COLOR, PhotometricInterpretation=kind))
    assert f"PhotometricInterpretation {kind} with SamplesPerPixel 3 is not supported: export it as RGB" in error.detail


@pytest.mark.parametrize("kind", ["MONOCHROME3", "RGB", "YBR_FULL"])
def test_kinds_of_gray_that_there_are_not(kind):
    assert "SamplesPerPixel 1 is not supported" in refusal(dicom(FILM, PhotometricInterpretation=kind)).detail


def test_a_kind_in_lower_case():
    usual, lower = (decoded(dicom(FILM, PhotometricInterpretation=kind)) for kind in ("MONOCHROME1", "monochrome1 "))
    assert usual.image.tobytes() == lower.image.tobytes()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("stored", [8, 10, 11])
def test_values_that_need_more_bits_than_are_stored(stored, compressed):
    """Once shown modulo 1,024, or cut at white."""
    dataset = _compressed("JPEG2000", FILM) if compressed else dicom(FILM)
    dataset.BitsStored, dataset.HighBit = stored, stored - 1
    assert f"BitsStored is {stored}, its values use 12 bits" in refusal(dataset).detail


def test_signed_values_that_need_more_bits_than_are_stored():
    dataset = dicom(FILM.astype(np.int16) - 1000, BitsStored=10)
    assert "BitsStored is 10" in refusal(dataset).detail


def test_an_overlay_right_above_the_values_is_ignored_if_the_file_names_it():
    overlay = (RNG.random(FILM.shape) < 0.3).astype(np.uint16) << 12
    dataset = dicom(FILM | overlay, BitsStored=12)
    assert "no overlay is named" in refusal(dataset).detail
    dataset.add_new(0x60020102, "US", 12)
    shown = decoded(dataset)
    np.testing.assert_array_equal(np.asarray(shown.image), np.rint(FILM / 4095 * 255))
    assert EXTRA_BITS in shown.assumed


def test_the_highest_bit_stands_in_for_bits_stored():
    dataset = dicom(FILM // 2, BitsStored=12)
    del dataset.BitsStored
    np.testing.assert_array_equal(np.asarray(decoded(dataset).image), np.rint(FILM // 2 / 4095 * 255))


def test_the_first_window_that_can_be_is_taken():
    shown = decoded(dicom(FILM, BitsStored=12, WindowCenter=[0, 1000, 5], WindowWidth=[0, 2000, 9]))
    expected = np.clip(((FILM - 999.5) / 1999 + 0.5) * 255, 0, 255)
    np.testing.assert_allclose(np.asarray(shown.image), expected, atol=0.51)
    assert NO_WINDOW in shown.assumed


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_an_inverse_presentation_inverts_once(kind):
    shown = decoded(dicom(FILM, BitsStored=12, PhotometricInterpretation=kind, PresentationLUTShape="INVERSE"))
    np.testing.assert_array_equal(np.asarray(shown.image), 255 - np.rint(FILM / 4095 * 255))
    assert (INVERSE in shown.assumed) is (kind == "MONOCHROME2")


@pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept", "PixelPaddingValue", "Rows"])
def test_several_values_where_there_must_be_one(name):
    detail = refusal(dicom(FILM, BitsStored=12, **{name: [64, 2]})).detail
    assert detail.startswith(f"{name} is [")
    assert detail.endswith("], and must be one number")


def test_pixel_data_that_are_empty():
    assert refusal(with_pixels(dicom(FILM), b"")).reason == NO_PIXELS
    assert refusal(with_pixels(dicom(FILM), None)).reason == NO_PIXELS


@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize(
    ("depth", "word", "factor"),
    [(8, 1, 1), (8, 2, 1), (8, 2, 257), (16, 2, 1), (16, 2, 256), (16, 2, 257)],
)
def test_palettes_of_eight_bits_in_whatever_cells(depth, word, factor, first):
    """Once all black where entries of 8 bits stand in the lower halves of words."""
    colors = RNG.integers(0, 256, (200, 3))
    colors[7] = 255
    places = RNG.integers(0, 256, (9, 12), dtype=np.uint8)
    dataset = dicom(places, PhotometricInterpretation="PALETTE COLOR")
    for name, entries in zip(("Red", "Green", "Blue"), colors.T, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [200, first, depth])
        setattr(dataset, f"{name}PaletteColorLookupTableData", (entries * factor).astype(f"<u{word}").tobytes())
    expected = colors[np.clip(places.astype(int) - first, 0, 199)]
    np.testing.assert_array_equal(np.asarray(decoded(dataset).image), expected)
    dataset.RedPaletteColorLookupTableData = bytes(150)
    assert "RedPaletteColorLookupTableData is 150 bytes" in refusal(dataset).detail
