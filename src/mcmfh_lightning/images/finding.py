"""Finding image files and proving that they decode, before anything depends on them."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images.decode import read_picture
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.images.unusable import FIXES, PictureError
from mcmfh_lightning.shards.pair import ImageFormat

_SUFFIXES = (".png", ".jpg", ".jpeg")


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
    """An image file that can be used, and how a shard stores it.

    Attributes:
        format: Format in which it is stored.
        unchanged: Whether the file is stored as it is.
        bits: Depth that it was scaled from; None where a window or a range decided.
        assumed: What was decided without the file saying so in full.
    """

    format: ImageFormat
    unchanged: bool = True
    bits: int | None = 8
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unusable:
    """An image file that cannot be used, why, and what exactly is wrong with it."""

    reason: str
    detail: str = field(default="", compare=False)


def image_bytes(path: Path, value_range: ValueRange | None = None) -> bytes:
    """Return what a shard stores of an image file: the file itself, or a PNG of the picture.

    Args:
        path: JPEG, PNG or DICOM.
        value_range: See `mcmfh_lightning.images.decode.decode_picture`.

    Raises:
        DataError: If no picture can be made of it.
    """
    try:
        picture, data = read_picture(path, value_range)
    except PictureError as error:
        raise DataError(f"{path}: {error}; {FIXES[error.reason]}") from error
    return picture.stored(data)


def check_image(path: Path, value_range: ValueRange | None = None) -> Decodable | Unusable:
    """Decode the whole file; its first bytes decide the format, not its name."""
    try:
        picture, _ = read_picture(path, value_range)
    except PictureError as error:
        return Unusable(error.reason, error.detail)
    return Decodable(picture.format, picture.unchanged, picture.bits, picture.assumed)


def check_images(paths: Iterable[Path], value_range: ValueRange | None = None) -> Iterator[Decodable | Unusable]:
    """Run `check_image` on every core, results in the order of ``paths``. Threads: Pillow decodes outside the GIL."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(partial(check_image, value_range=value_range), paths)
