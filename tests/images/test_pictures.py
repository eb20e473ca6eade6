"""What a shard holds of a JPEG or PNG, against NumPy on the arrays that the files were made of."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.datasets.collection import Unusable, check_image, image_bytes
from mcmfh_lightning.images.decode import (
    BLANK,
    FIRST_OF_SEVERAL,
    ON_BLACK,
    ON_WHITE,
    TURNED,
    decode_picture,
    flatten_picture,
)
from mcmfh_lightning.images.unusable import NO_DEPTH, NOT_READ, TRANSPARENT, PictureError
from mcmfh_lightning.shards import decode_image

from .png_files import png_bytes, write_png

RNG = np.random.default_rng(0)
SHAPES = {"gray": (9, 7), "gray and alpha": (9, 7, 2), "RGB": (9, 7, 3), "RGBA": (9, 7, 4)}
FILM = RNG.integers(0, 256, (9, 7), dtype=np.uint8)


def stored(path: Path, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """The picture in a shard, which is also what a query sees."""
    data = image_bytes(path, value_range)
    picture = Image.open(io.BytesIO(data))
    query = np.asarray(decode_picture(path.read_bytes(), value_range).rgb())
    np.testing.assert_array_equal(np.asarray(decode_image(data)), query)
    return np.asarray(picture)


def on(background: float, color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Color on a background, all of them from 0 to 1."""
    alpha = alpha if color.ndim == 2 else alpha[..., None]
    return np.rint(255 * (color * alpha + background * (1 - alpha)))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", SHAPES)
def test_sixteen_bits_are_scaled_by_the_least_depth_that_holds_them(tmp_path, bits, kind):
    values = RNG.integers(0, 2**bits, SHAPES[kind])
    values[0, 0] = 2**bits - 1
    values[0, 1] = 2 ** (bits - 1)  # more than the next smaller depth holds, also without the first pixel
    path = write_png(tmp_path / "a.png", values)
    part = values / (2**bits - 1)
    if "alpha" in kind or kind == "RGBA":
        color = part[..., 0] if kind == "gray and alpha" else part[..., :3]
        expected = on(1, color, part[..., -1])
        np.testing.assert_allclose(stored(path), expected, atol=1.51)  # color and alpha are rounded before, too
    else:
        np.testing.assert_array_equal(stored(path), np.rint(part * 255))
    checked = check_image(path)
    assert (checked.bits, checked.unchanged) == (bits, False)
    assert f"scaled from {bits} bits, by its greatest value" in checked.assumed


@pytest.mark.parametrize("kind", ["gray", "RGB"])
def test_the_depth_that_a_file_states_comes_first(tmp_path, kind):
    values = RNG.integers(0, 900, SHAPES[kind])
    stated = [(b"sBIT", bytes([12] * (values.ndim == 2 or 3)))]
    path = write_png(tmp_path / "a.png", values, chunks=stated)
    np.testing.assert_array_equal(stored(path), np.rint(values / 4095 * 255))
    assert check_image(path).assumed == ("scaled from 12 bits, as the file says",)


def test_values_that_the_standard_way_fill_sixteen_bits_are_not_cut_at_the_stated_depth(tmp_path):
    values = RNG.integers(0, 4096, (9, 7)) * 16
    path = write_png(tmp_path / "a.png", values, chunks=[(b"sBIT", b"\x0c")])
    np.testing.assert_array_equal(stored(path), np.rint(values / 65535 * 255))


@pytest.mark.parametrize("kind", ["gray", "RGB"])
def test_a_value_range_takes_the_place_of_depth(tmp_path, kind):
    values = RNG.integers(0, 4096, SHAPES[kind])
    path = write_png(tmp_path / "a.png", values, chunks=[(b"sBIT", bytes([16] * (1 if kind == "gray" else 3)))])
    expected = np.rint(np.clip((values - 100) / 3000, 0, 1) * 255)
    np.testing.assert_allclose(stored(path, (100, 3100)), expected, atol=1)
    eight = tmp_path / "b.png"
    Image.fromarray(FILM).save(eight)
    assert image_bytes(eight, (100, 3100)) == eight.read_bytes()


@pytest.mark.parametrize("kind", ["gray", "RGB"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_value(tmp_path, kind, depth):
    values = RNG.integers(0, 2**depth, SHAPES[kind])
    values[3, :4] = values[0, 0]
    key = np.atleast_1d(values[0, 0]).astype(">u2").tobytes()
    path = write_png(tmp_path / "a.png", values, depth, [(b"tRNS", key)])
    expected = np.rint(values / (2**depth - 1) * 255)
    expected[(values == values[0, 0]).reshape(9, 7, -1).all(2)] = 255
    np.testing.assert_array_equal(stored(path), expected)
    assert ON_WHITE in check_image(path).assumed


@pytest.mark.parametrize("depth", [2, 4])
def test_a_transparent_value_of_few_bits(tmp_path, depth):
    values = RNG.integers(0, 2**depth, (8, 8))
    path = write_png(tmp_path / "a.png", values, depth, [(b"tRNS", b"\0\x02")])
    expected = np.where(values == 2, 255, values * 255 // (2**depth - 1))
    np.testing.assert_array_equal(stored(path), expected)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "palette", "palette and tRNS of one entry"])
def test_transparency_of_eight_bits_is_laid_on_white(tmp_path, mode):
    path = tmp_path / "a.png"
    if mode.startswith("palette"):
        colors = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
        opacities = RNG.integers(0, 256, 256, dtype=np.uint8)
        image = Image.fromarray(FILM, "P")
        image.putpalette(colors.tobytes())
        if mode == "palette":
            image.save(path, transparency=opacities.tobytes())
        else:
            opacities = np.where(np.arange(256) == FILM[0, 0], 0, 255)
            image.save(path, transparency=int(FILM[0, 0]))
        color, alpha = colors[FILM], opacities[FILM]
    else:
        pixels = RNG.integers(0, 256, (9, 7, len(mode)), dtype=np.uint8)
        Image.fromarray(pixels, mode).save(path)
        color, alpha = (pixels[..., 0] if mode == "LA" else pixels[..., :3]), pixels[..., -1]
    np.testing.assert_array_equal(stored(path), on(1, color / 255, alpha / 255))
    assert check_image(path).assumed == (ON_WHITE,)


@pytest.mark.parametrize(
    ("color", "background", "words"), [(0, 1, ON_WHITE), (255, 0, ON_BLACK), (250, 0, ON_BLACK), (90, 1, ON_WHITE)]
)
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_picture_that_is_in_the_alpha_channel_alone_shows(tmp_path, color, background, words, channels, depth):
    pixels = np.full((9, 7, channels), color * 257 if depth == 16 else color)
    pixels[..., -1] = FILM if depth == 8 else FILM.astype(int) * 257
    pixels[0, 0, -1] = 2**depth - 1
    path = write_png(tmp_path / "a.png", pixels, depth)
    flat = np.full((9, 7) if channels == 2 else (9, 7, 3), color / 255)
    shown = stored(path)
    np.testing.assert_array_equal(shown, on(background, flat, pixels[..., -1] / (2**depth - 1)))
    assert shown.std() > 20
    assert words in check_image(path).assumed


def test_what_is_transparent_everywhere_is_refused(tmp_path):
    path = write_png(tmp_path / "a.png", np.dstack([FILM, 0 * FILM]), 8)
    assert check_image(path) == Unusable(TRANSPARENT)


@pytest.mark.parametrize("channels", [2, 4])
def test_a_file_that_is_opaque_is_stored_as_it_is(tmp_path, channels):
    pixels = RNG.integers(0, 256, (9, 7, channels))
    pixels[..., -1] = 255
    path = write_png(tmp_path / "a.png", pixels, 8)
    assert image_bytes(path) == path.read_bytes()
    shown = np.asarray(decode_image(path.read_bytes()))
    np.testing.assert_array_equal(shown, np.broadcast_to(pixels[..., : channels - 1], (9, 7, 3)))


UPRIGHT = {
    1: lambda film: film,
    2: lambda film: film[:, ::-1],
    3: lambda film: film[::-1, ::-1],
    4: lambda film: film[::-1],
    5: lambda film: film.swapaxes(0, 1),
    6: lambda film: np.rot90(film, -1),
    7: lambda film: np.rot90(film, 2).swapaxes(0, 1),
    8: lambda film: np.rot90(film),
}
"""By EXIF orientation: how its file must be shown (Exif 2.32, table 6)."""


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", "PNG of 8 bits", "PNG of 16 bits"])
def test_exif_orientation(tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a"
    if kind == "PNG of 16 bits":
        film = RNG.integers(0, 65536, (9, 7))
        path.write_bytes(png_bytes(film, chunks=[(b"eXIf", exif.tobytes()[6:])]))
        expected = np.rint(film / 65535 * 255)
    else:
        Image.fromarray(FILM).save(path, kind[:4].strip(), exif=exif)
        expected = np.asarray(Image.open(path))
        assert (image_bytes(path) == path.read_bytes()) is (orientation == 1)
    np.testing.assert_array_equal(stored(path), UPRIGHT[orientation](expected))
    assert (TURNED in check_image(path).assumed) is (orientation > 1)


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_there_is_not_changes_nothing(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(FILM).save(tmp_path / "a.jpg", exif=exif)
    assert image_bytes(tmp_path / "a.jpg") == (tmp_path / "a.jpg").read_bytes()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_files_that_need_nothing_are_stored_as_they_are(tmp_path, mode):
    color = np.zeros((16, 16, 3), np.uint8)
    color[:, :8] = (250, 40, 10)
    path = tmp_path / "a"
    Image.fromarray(color).convert(mode).save(path, "PNG" if mode in ("1", "P") else "JPEG", quality=100, subsampling=0)
    assert image_bytes(path) == path.read_bytes()
    checked = check_image(path)
    assert (checked.unchanged, checked.bits, checked.assumed) == (True, 8, ())
    if mode in ("RGB", "YCbCr", "CMYK"):
        np.testing.assert_allclose(np.asarray(decode_image(path.read_bytes())), color, atol=12)


def test_inks_of_a_cmyk_file_that_adobe_inverts(tmp_path):
    """Full black ink is black; Photoshop and Pillow write such files inverted, and mark them so."""
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 3] = 255
    inks[8:, :, 0] = 200
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg", quality=100)
    assert b"Adobe" in (tmp_path / "a.jpg").read_bytes()
    expected = np.zeros((16, 16, 3))
    expected[8:] = (55, 255, 255)
    np.testing.assert_allclose(np.asarray(decode_picture((tmp_path / "a.jpg").read_bytes()).rgb()), expected, atol=4)


def test_a_jpeg_with_a_second_picture_is_read_as_its_first(tmp_path):
    first, second = Image.fromarray(FILM), Image.fromarray(255 - FILM)
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    first.save(tmp_path / "b.jpg", "JPEG")
    checked = check_image(tmp_path / "a.jpg")
    assert (checked.format, checked.assumed) == ("jpg", (FIRST_OF_SEVERAL,))
    np.testing.assert_array_equal(stored(tmp_path / "a.jpg"), np.asarray(Image.open(tmp_path / "b.jpg")))


def test_a_stored_picture_holds_nothing_but_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "Erika Mustermann"
    Image.fromarray(FILM).save(tmp_path / "a.png", exif=exif, icc_profile=b"Mustermann" * 20)
    assert b"Mustermann" in (tmp_path / "a.png").read_bytes()
    picture = Image.open(io.BytesIO(image_bytes(tmp_path / "a.png")))
    picture.load()
    assert not picture.info


def test_a_blank_picture_is_reported(tmp_path):
    assert BLANK in check_image(write_png(tmp_path / "a.png", np.full((9, 7), 4000))).assumed


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", SHAPES)
def test_deep_files_that_are_cut_short(tmp_path, keep, kind):
    content = png_bytes(RNG.integers(0, 65536, (64, 64, *SHAPES[kind][2:])))
    (tmp_path / "a.png").write_bytes(content[: int(keep * len(content))])
    assert isinstance(check_image(tmp_path / "a.png"), Unusable)


@pytest.mark.filterwarnings("ignore:(Tag data larger than file|Corrupt EXIF data):UserWarning")  # they are
def test_damaged_files_never_escape_as_another_error(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(np.kron(FILM, np.ones((4, 4), np.uint8))).save(stream, "JPEG", exif=exif)
    chunks = [(b"sBIT", b"\x0c\x0c\x0c\x0c"), (b"eXIf", exif.tobytes()[6:])]
    for content in (stream.getvalue(), png_bytes(RNG.integers(0, 4096, (12, 12, 4)), chunks=chunks)):
        for _ in range(150):
            damaged = np.frombuffer(content, np.uint8).copy()
            damaged[RNG.integers(8, len(content), 4)] = RNG.integers(0, 256, 4)
            with suppress(PictureError):
                decode_picture(damaged.tobytes())


@pytest.mark.parametrize("error", [MemoryError(), OverflowError("too big"), RecursionError(), KeyError(3)])
def test_whatever_a_library_raises_becomes_one_line(tmp_path, monkeypatch, error):
    Image.fromarray(FILM).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", lambda *_, **__: (_ for _ in ()).throw(error))
    checked = check_image(tmp_path / "a.png")
    assert isinstance(checked, Unusable)
    assert checked.detail


def test_a_file_that_cannot_be_read(tmp_path):
    assert check_image(tmp_path / "nowhere.png") == Unusable(NOT_READ)
    assert check_image(tmp_path) == Unusable(NOT_READ)


def test_pictures_in_memory_are_read_as_their_files():
    deep = RNG.integers(0, 4096, (9, 7)).astype(np.uint16)
    deep[0, 0] = 4095
    shown = np.asarray(flatten_picture(Image.fromarray(deep)))
    np.testing.assert_array_equal(shown[..., 1], np.rint(deep / 4095 * 255))
    scaled = np.asarray(flatten_picture(Image.fromarray(deep.astype(np.int32) - 50), (-50, 4045)))
    np.testing.assert_array_equal(scaled, shown)
    with pytest.raises(PictureError, match=NO_DEPTH):
        flatten_picture(Image.fromarray(FILM.astype(np.float32)))
    clear = np.dstack([FILM] * 3 + [255 - FILM // 2])
    expected = on(1, clear[..., :3] / 255, clear[..., 3] / 255)
    np.testing.assert_array_equal(np.asarray(flatten_picture(Image.fromarray(clear))), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("opened", ["by path", "from memory"])
def test_a_deep_picture_that_pillow_opened_is_that_of_its_file(tmp_path, channels, opened):
    """Pillow cuts 12-bit colors to 4 when it loads them."""
    values = RNG.integers(0, 4096, (9, 7, channels))
    chunks = [(b"sBIT", bytes([14] * channels))]
    path = write_png(tmp_path / "a.png", values, chunks=chunks)
    image = Image.open(path if opened == "by path" else io.BytesIO(path.read_bytes()))
    expected = np.asarray(decode_picture(path.read_bytes()).rgb())
    np.testing.assert_array_equal(np.asarray(flatten_picture(image)), expected)
    image.load()
    if channels == 1:
        np.testing.assert_array_equal(np.asarray(flatten_picture(image)), expected)
    else:
        with pytest.raises(PictureError, match="give its path"):
            flatten_picture(image)


def test_a_picture_of_eight_bits_that_pillow_has_loaded(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.dstack([FILM] * 3)).save(path)
    for source in (path, io.BytesIO(path.read_bytes())):
        image = Image.open(source)
        image.load()
        np.testing.assert_array_equal(np.asarray(flatten_picture(image))[..., 0], FILM)
    image = Image.open(path)
    image.load()
    path.unlink()
    with pytest.raises(PictureError, match="give its path"):
        flatten_picture(image)
