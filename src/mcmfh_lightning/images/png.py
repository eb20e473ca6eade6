"""Conversion of pixel values of any depth to 8 bits: one rule for PNG and DICOM, collections and queries.

Values from 0 to the greatest that their depth can hold are scaled linearly to 0 to 255. The depth is what the file
says (sBIT of a PNG, BitsStored of DICOM), else the smallest of `DEPTHS` that holds the greatest value of the picture.
A range that the user gives takes the place of both.

Two gaps of Pillow are closed here for PNG files:

- It cuts color of 16 bits a channel to 8. Such values are read here, and the depth that the file states.
- It leaves the rest of a picture black, without an error, where the compressed data end before the last row. Inflating
  every file a second time would double the work, so that it is done only for suspects: the memory of a picture is
  filled with one value before it is decoded, and a picture with that value in its whole last row is suspect.
"""

import io
import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin

from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.images.unusable import UNDECODABLE, PictureError

ValueRange = tuple[float, float]
"""The values that become black and white."""

DEPTHS = (8, 10, 12, 14, 16)
"""Bits of detectors and their files; a picture of more bits is taken by its own length."""

BY_RANGE = "scaled by --value-range"


class Scale(NamedTuple):
    """Scale by which values become 8 bits.

    Attributes:
        low: The value that becomes 0.
        high: The value that becomes 255.
        bits: The depth that was taken; None where something else decided.
        assumed: The decision, as a summary counts it.
    """

    low: float
    high: float
    bits: int | None
    assumed: str


def check_value_range(value_range: ValueRange | None) -> ValueRange | None:
    """Check a range that a user or a file gives.

    Returns:
        The same as a pair of floats, or None.

    Raises:
        ConfigError: If it is not two finite numbers, the lower one first.
    """
    if value_range is None:
        return None
    low, high = (float(value) for value in value_range)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ConfigError(f"--value-range {low:g} {high:g}: give two finite numbers, the lower one first")
    return low, high


def choose_scale(greatest: int, stated: int | None, value_range: ValueRange | None) -> Scale:
    """Choose how the values of a picture become 8 bits.

    Args:
        greatest: Its greatest value; the least is 0 or more.
        stated: Bits that its file says it has, or None.
        value_range: The user's range, or None.
    """
    if value_range is not None:
        return Scale(*value_range, None, BY_RANGE)
    if stated is not None:
        return Scale(0, 2**stated - 1, stated, f"scaled from {stated} bits, as the file says")
    bits = next((bits for bits in DEPTHS if greatest < 2**bits), greatest.bit_length())
    return Scale(0, 2**bits - 1, bits, f"scaled from {bits} bits, by its greatest value")


def to_eight_bits(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.uint8]:
    """Scale values linearly, so that ``low`` becomes 0 and ``high`` 255; values beyond are cut to these.

    Args:
        values: Numbers, of any shape.
        low: Value that becomes 0, less than ``high``.
        high: Value that becomes 255.
    """
    shifted = values.astype(np.float64) - low
    return np.rint(np.clip(shifted * (255 / (high - low)), 0, 255)).astype(np.uint8)


def sixteen_to_eight_bits(values: NDArray[np.uint16], scale: Scale) -> NDArray[np.uint8]:
    """Scale as `to_eight_bits` does, by a table of all values, with a byte a pixel instead of eight."""
    return to_eight_bits(np.arange(2**16), scale.low, scale.high)[values]


SIGNATURE = b"\x89PNG\r\n\x1a\n"

_FILLING = 165
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By kind of color (PNG specification, table 11.1)."""
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps between columns and rows, of the seven parts of an interlaced picture."""
_HEADER = 33  # bytes: signature and first chunk
_CUT_MODES = ("RGB", "RGBA")
"""Modes in which Pillow opens a PNG of 16 bits in other colors than gray."""
_PIECE = 1 << 20  # bytes; so that a file that inflates to any size takes no memory


def load_all_rows(image: ImageFile.ImageFile, data: bytes) -> None:
    """Decode a picture that Pillow has opened, and refuse a PNG that lacks rows.

    Args:
        image: Picture that is not decoded yet.
        data: Content of its file.

    Raises:
        PictureError: If compressed data end before the last row.
    """
    if image.format != "PNG":
        image.load()
        return
    bands = len(image.getbands())
    filling = _FILLING if bands == 1 else (_FILLING,) * bands
    image.im = Image.new(image.mode, image.size, filling).im
    image.load()
    last = image.crop((0, image.height - 1, image.width, image.height))
    extrema = last.getextrema() if bands > 1 else (last.getextrema(),)
    unwritten = all(ends == (_FILLING, _FILLING) for ends in extrema) or image.mode == "1"
    if (unwritten or image.info.get("interlace")) and not _is_whole(data):
        raise PictureError(UNDECODABLE, "its compressed data end before the last row of the picture")


def chunks(data: bytes) -> list[tuple[bytes, memoryview]]:
    """List the chunks of a PNG: kinds and contents, of which the last may be cut short; none of another format."""
    found, at, view = [], len(SIGNATURE), memoryview(data)
    while at + 8 <= len(data) and data.startswith(SIGNATURE):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], view[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _is_whole(data: bytes) -> bool:
    """Compare the length that the pixels have when inflated with the length that the header announces."""
    parts = chunks(data)
    header = bytes(parts[0][1])
    width, height = (int.from_bytes(header[at : at + 4], "big") for at in (0, 4))
    bits = header[8] * _CHANNELS[header[9]]
    passes = _PASSES if header[12] else ((0, 0, 1, 1),)
    missing = 0
    for column, row, column_step, row_step in passes:
        columns, rows = -(-(width - column) // column_step), -(-(height - row) // row_step)
        if columns > 0 and rows > 0:
            missing += rows * (1 + -(-columns * bits // 8))  # each row begins with the number of its filter
    inflater = zlib.decompressobj()
    for kind, content in parts:
        rest: bytes | memoryview = content if kind == b"IDAT" else b""
        while rest and missing > 0 and not inflater.eof:
            missing -= len(inflater.decompress(rest, _PIECE))
            rest = inflater.unconsumed_tail
    return missing <= 0


def file_of(image: PngImagePlugin.PngImageFile) -> bytes:
    """Read the file from which Pillow opened a picture.

    Raises:
        PictureError: If Pillow has cut its depth, or the file is gone and nothing else says whether it has.
    """
    data = b""
    stream = getattr(image, "_fp", None)  # also of a loaded picture, where the caller has opened the file
    try:
        if stream is not None and not stream.closed:
            place = stream.tell()
            stream.seek(0)
            data = stream.read()
            stream.seek(place)
        else:
            data = Path(os.fsdecode(image.filename)).read_bytes()
    except (OSError, ValueError):  # it was removed or closed
        pass
    header = chunks(data[:_HEADER])
    if not image.tile and image.mode in _CUT_MODES and not (header and header[0][1][8] <= 8):
        raise PictureError(UNDECODABLE, "Pillow has loaded it, and cuts colors of 16 bits to 8: give its path instead")
    return data


# Pillow has no mode for color of 16 bits and drops the lower byte of each value. These raw modes take its bytes apart
# instead: one pass for the upper, one for the lower bytes, or four "colors" a pixel that are the bytes of two values.
_LOWER = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
_GRAY_ALPHA = "LA;16B"
DEEP_COLOR = frozenset({*_LOWER, _GRAY_ALPHA})
"""Pillow's raw modes of such files; those of gray alone it reads in full."""


def read_deep_color(data: bytes, raw_mode: str) -> NDArray[np.uint16]:
    """Read a PNG of 16-bit color, or gray with opacity: (rows, columns, channels)."""
    if raw_mode == _GRAY_ALPHA:
        return np.ascontiguousarray(_read_as(data, "RGBA")).view(">u2").astype(np.uint16)
    upper, lower = _read_as(data, raw_mode), _read_as(data, _LOWER[raw_mode])
    return upper.astype(np.uint16) << np.uint16(8) | lower


def _read_as(data: bytes, raw_mode: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
        load_all_rows(image, data)
        return np.asarray(image)


def stated_bits(data: bytes) -> tuple[int, ...]:
    """Read the chunk sBIT of a PNG: significant bits of each channel; none if there is no such chunk."""
    return next((tuple(content) for kind, content in chunks(data) if kind == b"sBIT"), ())


def believed_bits(stated: tuple[int, ...], values: NDArray[np.uint16]) -> int | None:
    """Return the depth that the values of a 16-bit PNG fill, by its sBIT.

    The standard wants values of fewer bits to be scaled to all 16, yet many programs write them as they are: then they
    fit into the bits that sBIT names.
    """
    bits = max(stated, default=0)
    if not 1 <= bits <= 16:
        return None
    return bits if values.max() < 2**bits else 16
