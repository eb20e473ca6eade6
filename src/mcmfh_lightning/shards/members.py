"""Decoders and encoders of the members of a tar, one a kind of member; nothing is ever unpickled."""

import io
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.literals import read_literal

MAX_TEXT_CHARACTERS = 100_000
"""Longest text that is stored: a longer one is a file taken for another."""

MAX_PICTURE_SIDE = 65_535
"""Pixels: the most that JPEG allows. The area is limited by Pillow (``PIL.Image.MAX_IMAGE_PIXELS``)."""

MAX_BYTES: Mapping[str, int] = {"jpg": 2**30, "png": 2**30, "txt": 4 * MAX_TEXT_CHARACTERS, "json": 2**24, "npy": 2**30}
"""Largest member by last extension: larger ones, and those of other extensions, are refused before they are read."""

NPY_HEADER_BYTES = 512
"""More than NumPy writes before the numbers of an array of few dimensions."""


def decode_image(data: bytes) -> Image.Image:
    """Decode all of a JPEG or PNG and turn it into RGB.

    Raises:
        DataError: If the bytes are truncated, are not a picture, or are one of suspicious size.
    """
    with _decoding(), _open_image(data) as image:
        if image.mode.startswith("I"):
            # 16-bit grays: Pillow's own conversion clips everything above 255 to white.
            grays = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
            return Image.fromarray(grays).convert("RGB")
        return image.convert("RGB")


def check_image_header(data: bytes) -> None:
    """Check the header of a JPEG or PNG, without decoding it.

    Raises:
        DataError: If the bytes are not a picture, or one of suspicious size.
    """
    with _decoding():
        _open_image(data).close()


def _open_image(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
    if not all(1 <= side <= MAX_PICTURE_SIDE for side in image.size):
        raise ValueError(f"{image.size} pixels: sides of 1 to {MAX_PICTURE_SIDE} are read")
    return image


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Pillow's readers raise nearly anything on damaged files, and what they raise changes between versions.
        raise DataError(f"the picture cannot be decoded ({error})") from error


def decode_text(data: bytes) -> str:
    """Decode UTF-8.

    Raises:
        DataError: If the bytes are not UTF-8, or too many.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"the text is not UTF-8 ({error})") from error
    check_text(text)
    return text


def check_text(text: str) -> None:
    """Check the length of a text.

    Raises:
        DataError: If it is too long.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise DataError(f"the text has {len(text)} characters, more than {MAX_TEXT_CHARACTERS}: shorten it")


def check_given_text(text: str, name: str) -> None:
    """Refuse a text that cannot be encoded; the message does not repeat it.

    Args:
        text: The text.
        name: Name of the text, for the message.

    Raises:
        DataError: If it is empty, too long for a report, or holds half a character.
    """
    if not text.strip():
        raise DataError(f"{name} is empty: write what is to be found")
    check_text(text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{name} holds half a character ({error}): write it again") from error


def decode_json(data: bytes) -> object:
    """Decode JSON.

    Raises:
        DataError: If the bytes are not JSON, or too many.
    """
    if len(data) > MAX_BYTES["json"]:
        raise DataError(f"the member has {len(data)} bytes, more than {MAX_BYTES['json']}")
    try:
        content: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the member is not JSON ({error})") from error
    return content


def read_npy_header(head: bytes, size: int) -> tuple[tuple[int, ...], np.dtype[np.generic], int]:
    """Read the header of an array in NumPy's own format, before anything is allocated for it.

    Args:
        head: The first `NPY_HEADER_BYTES` of the member, or all if it has fewer.
        size: Size of the whole member.

    Returns:
        Shape, type, and the offset of the first number.

    Raises:
        DataError: If it is not a plain array in C order, or its numbers do not fill the member to the last byte.
    """
    try:
        version, (shape, fortran_order, dtype), begin = read_literal(lambda: _parse_npy_header(io.BytesIO(head)))
    except Exception as error:
        # The header is an expression in Python's syntax: damaged ones raise SyntaxError, TypeError, RecursionError ...
        raise DataError(f"the array cannot be read ({error})") from error
    if version != (1, 0):
        raise DataError(f"the array cannot be read (version {version} of NumPy's format)")
    if dtype.hasobject:
        raise DataError(f"the array cannot be read (type {dtype}: objects would have to be unpickled)")
    if fortran_order:
        raise DataError("the array cannot be read (not in C order)")
    # Python's integers: NumPy's own product of an absurd shape runs over.
    if min(shape, default=0) < 0 or begin + math.prod(shape) * dtype.itemsize != size:
        raise DataError(f"the array cannot be read (shape {shape} does not fill the {size} bytes of the member)")
    return shape, dtype, begin


def _parse_npy_header(stream: io.BytesIO) -> tuple[tuple[int, int], tuple[Any, bool, Any], int]:
    version = np.lib.format.read_magic(stream)
    return version, np.lib.format.read_array_header_1_0(stream), stream.tell()


def decode_npy(data: bytes) -> NDArray[np.generic]:
    """Decode one array in NumPy's own format.

    Raises:
        DataError: If the bytes are not such an array, or hold pickled objects.
    """
    shape, dtype, begin = read_npy_header(data[:NPY_HEADER_BYTES], len(data))
    return np.frombuffer(data, dtype, offset=begin).reshape(shape).copy()


def encode_npy(array: NDArray[np.generic]) -> bytes:
    """Encode one array in NumPy's own format."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def encode_json(content: object) -> bytes:
    """Encode JSON so that equal contents give equal bytes."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, allow_nan=False).encode()
