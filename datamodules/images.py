"""Finding image files and proving that they decode, before anything depends on them."""

import io
import os
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mcmfh_lightning.datamodules.shards.pair import ImageFormat
from mcmfh_lightning.errors import DataError

_FORMATS: dict[str, ImageFormat] = {"JPEG": "jpg", "PNG": "png"}
_SUFFIXES = (".png", ".jpg", ".jpeg")
# Pillow reads deeper images as "I" and "F", whose conversion to RGB clips instead of scaling.
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
UNDECODABLE = "undecodable image"
TOO_DEEP = "image deeper than 8 bits"


def index_images(folder: Path) -> dict[str, Path]:
    """Map the stem of each ``.png``, ``.jpg`` or ``.jpeg`` directly in ``folder`` to its path.

    Raises:
        DataError: if the folder is missing or two files have one stem (``a.png`` beside ``a.jpg``).
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _SUFFIXES:
            if path.stem in found:
                raise DataError(f"{folder}: both {found[path.stem].name} and {path.name}; keep one file per image id")
            found[path.stem] = path
    return found


@dataclass(frozen=True)
class Decodable:
    """An image file that can be used, and its true format."""

    format: ImageFormat


@dataclass(frozen=True)
class Unusable:
    """An image file that cannot be used, and why."""

    reason: str


def check_image(path: Path) -> Decodable | Unusable:
    """Decode the whole file; its first bytes decide the format, not its name.

    Guards against decompression bombs with Pillow's own limit (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=tuple(_FORMATS)) as image:
            image.load()
            image_format, mode = image.format, image.mode
    except (OSError, EOFError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        return Unusable(UNDECODABLE)
    if mode not in _EIGHT_BIT_MODES:
        return Unusable(TOO_DEEP)
    return Decodable(_FORMATS[image_format or ""])


def check_images(paths: Iterable[Path]) -> Iterator[Decodable | Unusable]:
    """``check_image`` on every core, results in the order of ``paths``. Threads: Pillow decodes outside the GIL."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(check_image, paths)
