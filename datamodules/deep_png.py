"""PNG files of 16 bits a channel: the values that Pillow cuts to 8, and the depth that the file states."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcmfh_lightning.datamodules.png_rows import chunks, load_all_rows

# Pillow has no mode for colour of 16 bits and drops the lower byte of each value. These raw modes take its bytes apart
# instead: one pass for the upper, one for the lower bytes, or four "colours" a pixel that are the bytes of two values.
_LOWER = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
_GREY_ALPHA = "LA;16B"
DEEP_COLOUR = frozenset({*_LOWER, _GREY_ALPHA})
"""Pillow's raw modes of such files; those of grey alone it reads in full."""


def read_deep_colour(data: bytes, raw_mode: str) -> NDArray[np.uint16]:
    """Read a PNG of 16-bit colour, or grey with opacity: (rows, columns, channels)."""
    if raw_mode == _GREY_ALPHA:
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
