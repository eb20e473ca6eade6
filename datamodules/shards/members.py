"""What a member of a tar may be, and how its bytes are decoded: an explicit table, and nothing is ever unpickled."""

import io
import json
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcmfh_lightning.errors import DataError


def decode_image(data: bytes) -> Image.Image:
    """Decode a JPEG or PNG in full and turn it into RGB.

    Raises:
        DataError: If the bytes are truncated, are no picture, or are one of suspicious size.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            if image.mode.startswith("I"):
                # 16-bit greys: Pillow's own conversion clips everything above 255 to white.
                greys = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
                return Image.fromarray(greys).convert("RGB")
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"the picture cannot be decoded ({error})") from error


def decode_text(data: bytes) -> str:
    """Decode UTF-8.

    Raises:
        DataError: If the bytes are not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"the text is not UTF-8 ({error})") from error


def decode_json(data: bytes) -> object:
    """Decode JSON.

    Raises:
        DataError: If the bytes are not JSON.
    """
    try:
        content: object = json.loads(data)
    except ValueError as error:
        raise DataError(f"the member is not JSON ({error})") from error
    return content


def decode_npy(data: bytes) -> NDArray[np.generic]:
    """Decode one array in NumPy's own format, pickled objects refused.

    Raises:
        DataError: If the bytes are not such an array.
    """
    try:
        array: NDArray[np.generic] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"the array cannot be read ({error})") from error
    return array


DECODERS: Mapping[str, Callable[[bytes], object]] = {
    "jpg": decode_image,
    "png": decode_image,
    "txt": decode_text,
    "json": decode_json,
    "npy": decode_npy,
}
"""Decoder by last extension; a member with another extension is refused."""


def encode_npy(array: NDArray[np.generic]) -> bytes:
    """Encode one array in NumPy's own format."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def encode_json(content: object) -> bytes:
    """Encode JSON so that equal contents give equal bytes."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, allow_nan=False).encode()
