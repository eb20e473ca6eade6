"""PNG files whose compressed data are complete and hold fewer rows than the header says."""

import io
import struct
import zlib
from itertools import product

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.images import png as png_rows
from mcmfh_lightning.images.decode import FIRST_OF_SEVERAL, decode_picture, flatten_picture
from mcmfh_lightning.images.unusable import PictureError

from ..images.png_files import png_bytes

RNG = np.random.default_rng(0)
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
KINDS = {1: 0, 2: 4, 3: 2, 4: 6}


def png(height: int, width: int, channels: int, depth: int, raw: bytes, *, interlaced: bool = False) -> bytes:
    """A PNG with these bytes, deflated in two chunks, whatever its header says."""
    header = struct.pack(">IIBBBBB", width, height, depth, KINDS[channels], 0, 0, interlaced)
    packed = zlib.compress(raw)
    parts = [(b"IHDR", header), (b"IDAT", packed[:20]), (b"IDAT", packed[20:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def rows_of(pixels: np.ndarray, depth: int) -> bytes:
    """Rows without a filter."""
    if depth == 1:
        lines = np.packbits(pixels[..., 0].astype(np.uint8), axis=1)
    else:
        lines = pixels.astype(f">u{depth // 8}").reshape(len(pixels), -1)
    return b"".join(b"\0" + line.tobytes() for line in lines)


def noise(channels: int, depth: int, shape: tuple[int, int] = (21, 17)) -> np.ndarray:
    return RNG.integers(0, 2**depth, (*shape, channels))


@pytest.mark.parametrize(("depth", "channels"), [(1, 1), *product([8, 16], [1, 2, 3, 4])])
@pytest.mark.parametrize("missing", [1, 10])
def test_missing_rows_are_refused(channels, depth, missing):
    pixels = noise(channels, depth)
    whole, short = (png(21, 17, channels, depth, rows_of(pixels[:rows], depth)) for rows in (21, 21 - missing))
    decode_picture(whole)
    flatten_picture(Image.open(io.BytesIO(whole)))
    with pytest.raises(PictureError, match="compressed data end before the last row"):
        decode_picture(short)
    with pytest.raises(PictureError, match="compressed data end before the last row"):
        flatten_picture(Image.open(io.BytesIO(short)))


@pytest.mark.parametrize("shape", [(21, 17), (8, 8), (1, 1), (2, 3), (5, 1)])
@pytest.mark.parametrize("depth", [8, 16])
def test_interlaced_pictures(shape, depth):
    pixels = noise(1, depth, shape)
    raw = b"".join(rows_of(part, depth) for x, y, right, down in PASSES if (part := pixels[y::down, x::right]).size)
    shown = decode_picture(png(*shape, 1, depth, raw, interlaced=True))
    if depth == 8:
        np.testing.assert_array_equal(np.asarray(shown.image), pixels[..., 0])
    if shape == (21, 17):
        with pytest.raises(PictureError, match="before the last row"):
            decode_picture(png(*shape, 1, depth, raw[: -1 - 17 * depth // 8], interlaced=True))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_last_row_that_looks_unwritten_is_inflated_and_accepted(channels, depth, monkeypatch):
    inflated, whole = [], png_rows._is_whole
    monkeypatch.setattr(png_rows, "_is_whole", lambda data: inflated.append(whole(data)) or inflated[-1])
    pixels = noise(channels, depth)
    for last in (0, 165 if depth == 8 or channels == 1 else 165 * 257):
        pixels[-1] = last
        decode_picture(png_bytes(pixels, depth))
    assert inflated == [True] or (depth == 16 and channels > 1 and all(inflated))


def test_palettes_are_not_disturbed():
    places = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
    colors = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(places, "P")
    image.putpalette(colors.tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG")
    np.testing.assert_array_equal(np.asarray(decode_picture(stream.getvalue()).rgb()), colors[places])


def test_an_animated_picture_is_counted():
    frames = [Image.fromarray(noise(1, 8)[..., 0].astype(np.uint8)) for _ in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, "PNG", save_all=True, append_images=frames[1:])
    shown = decode_picture(stream.getvalue())
    assert shown.assumed == (FIRST_OF_SEVERAL,)
    assert shown.unchanged
    np.testing.assert_array_equal(np.asarray(shown.image), np.asarray(frames[0]))
