"""Finding image files and proving that they decode, before anything depends on them."""

import io
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mcmfh_lightning.datamodules import dicom
from mcmfh_lightning.datamodules.dicom import TOO_LARGE, DicomError, dicom_to_png, is_dicom
from mcmfh_lightning.datamodules.shards.members import MAX_BYTES, MAX_PICTURE_SIDE
from mcmfh_lightning.datamodules.shards.pair import ImageFormat
from mcmfh_lightning.errors import DataError

_FORMATS: dict[str, ImageFormat] = {"JPEG": "jpg", "PNG": "png"}
_SUFFIXES = (".png", ".jpg", ".jpeg")
# Pillow reads deeper images as "I" and "F", whose conversion to RGB clips instead of scaling.
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
UNDECODABLE = "undecodable image"
TOO_DEEP = "image deeper than 8 bits"
MENDS: Mapping[str, str] = {
    UNDECODABLE: "copy it again, or convert it to JPEG or PNG",
    TOO_DEEP: "convert it to 8 bits, or give the DICOM file that it was made from",
    TOO_LARGE: "scale it down",
    dicom.NO_PYDICOM: "pip install 'mcmfh-lightning[dicom]'",
    dicom.UNREADABLE: "copy it again, or export it without compression",
    dicom.NO_PIXELS: "export the image, not the report, the plan or the waveform",
    dicom.COMPRESSED: "export it without compression, or install a decoder of pydicom's for it",
    dicom.MULTI_FRAME: "export the frame that the text is about",
    dicom.DEEP_COLOUR: "export it with 8 bits a colour",
}
"""What to do about an unusable image, by reason."""


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
    """An image file that can be used, and the format in which it is stored: ``png`` for DICOM."""

    format: ImageFormat


@dataclass(frozen=True)
class Unusable:
    """An image file that cannot be used, and why."""

    reason: str


def image_bytes(path: Path) -> bytes:
    """What a shard stores of an image file: JPEG and PNG as they are, of DICOM nothing but the picture, as 8-bit PNG.

    Raises:
        DataError: if the file cannot be read, or is a DICOM file without a usable picture.
    """
    try:
        return dicom_to_png(path) if is_dicom(path) else path.read_bytes()
    except (OSError, DicomError) as error:
        raise DataError(f"{path}: {error}; leave it out, or give it as JPEG or PNG") from error


def check_image(path: Path) -> Decodable | Unusable:
    """Decode the whole file; its first bytes decide the format, not its name.

    Guards against decompression bombs with Pillow's own limit (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    try:
        if path.stat().st_size > MAX_BYTES["png"]:
            return Unusable(TOO_LARGE)
        if is_dicom(path):
            dicom_to_png(path)
            return Decodable("png")
        with Image.open(io.BytesIO(path.read_bytes()), formats=tuple(_FORMATS)) as image:
            if max(image.size) > MAX_PICTURE_SIDE:
                return Unusable(TOO_LARGE)
            image.load()
            image_format, mode = image.format, image.mode
    except DicomError as error:
        return Unusable(str(error))
    except (OSError, EOFError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        return Unusable(UNDECODABLE)
    if mode not in _EIGHT_BIT_MODES:
        return Unusable(TOO_DEEP)
    return Decodable(_FORMATS[image_format or ""])


def check_images(paths: Iterable[Path]) -> Iterator[Decodable | Unusable]:
    """``check_image`` on every core, results in the order of ``paths``. Threads: Pillow decodes outside the GIL."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(check_image, paths)
