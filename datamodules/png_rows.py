"""PNG files whose compressed data end before their last row: Pillow leaves the rest of the picture black, in silence.

Inflating a file a second time would double the work, so that it is done only where a picture looks like that: its
memory is filled with one value before it is decoded, and a picture with that value in its whole last row is suspect.
"""

import zlib

from PIL import Image, ImageFile

from mcmfh_lightning.datamodules.unusable import UNDECODABLE, PictureError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_FILLING = 165
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By kind of color (PNG specification, table 11.1)."""
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps between columns and rows, of the seven parts of an interlaced picture."""
_PIECE = 1 << 20  # bytes; so that a file that inflates to any size takes no memory


def load_all_rows(image: ImageFile.ImageFile, data: bytes) -> None:
    """Decode a picture that Pillow has opened, and refuse a PNG that lacks rows.

    Args:
        image: Not decoded yet.
        data: Its file.

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
