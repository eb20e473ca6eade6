"""Decoder of picture files from elsewhere: what converters store of a file, and what a query sees of the same file.

This is the only decoder of such files. Encoders read JPEG and PNG of 8 bits; a file that is one of these, has no
transparency and is the right way up is stored unchanged. For all others the shards hold a PNG of the decoded picture:

- more than 8 bits: scaled as `mcmfh_lightning.images.png` says;
- transparency: laid on white, as most viewers do; on black if on white it hardly shows;
- EXIF orientation: turned and mirrored as it says;
- DICOM: see `mcmfh_lightning.images.dicom`.

A camera's JPEG with further pictures in it (MPO) and an animated PNG give their first picture. Color profiles (ICC) are
not applied.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from mcmfh_lightning.images import png
from mcmfh_lightning.images import unusable as reasons
from mcmfh_lightning.images.dicom import decode_dicom, dicom_size, is_dicom
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.images.unusable import PictureError, picture_errors
from mcmfh_lightning.shards.members import MAX_BYTES, MAX_PICTURE_SIDE
from mcmfh_lightning.shards.pair import ImageFormat

_FORMATS: Mapping[str | None, ImageFormat] = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png"}
_MAGIC = (b"\xff\xd8\xff", png.SIGNATURE)
_GRAY_MODES = ("1", "L", "LA", "La")
_OPAQUE = 255
_FAINT = 32
"""Gray levels; a picture that spans fewer on white is laid on black if that shows more."""

ON_WHITE = "transparent picture laid on white"
ON_BLACK = "transparent picture laid on black: on white it hardly shows"
TURNED = "turned or mirrored as its EXIF orientation says"
FIRST_OF_SEVERAL = "first picture of a file that holds several (MPO, animated PNG)"
BLANK = "blank: every pixel has one value"

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation."""

_KEY_SCALES = {"L;2": 85, "L;4": 17}
"""Pillow scales grays of few bits to 8, but not the gray that tRNS names as transparent."""


@dataclass(frozen=True)
class Picture:
    """Decoded picture.

    Attributes:
        image: Picture of 8 bits, the right way up, without transparency; of whatever color space.
        format: Format in which a shard stores it.
        unchanged: Whether a shard stores the bytes of the file.
        bits: Depth from which it was scaled, or 8; None where a window or a range decided.
        assumed: Decisions that the file leaves open; summaries count them.
    """

    image: Image.Image
    format: ImageFormat
    unchanged: bool
    bits: int | None
    assumed: tuple[str, ...] = ()

    def rgb(self) -> Image.Image:
        """Return the picture that encoders get from a shard."""
        rgb = self.image.convert("RGB")
        rgb.info = {}  # EXIF, and a gray or color that meant "transparent": both have been applied
        return rgb

    def stored(self, data: bytes) -> bytes:
        """Return what a shard stores of ``data``, the file that it was decoded from."""
        if self.unchanged:
            return data
        stream = io.BytesIO()
        self.image.save(stream, format="PNG")
        return stream.getvalue()


def picture_size(data: bytes) -> tuple[int, int]:
    """Read width and height from the header of a file.

    Raises:
        PictureError: If it is not a picture, or one of suspicious size.
    """
    with _errors():
        if is_dicom(data):
            return dicom_size(data)
        with _open(data) as image:
            return image.size


def decode_picture(data: bytes, value_range: ValueRange | None = None) -> Picture:
    """Decode a JPEG, PNG or DICOM file; its content decides which, not its name.

    Pillow's limit on the number of pixels (``PIL.Image.MAX_IMAGE_PIXELS``) is kept for all of them.

    Args:
        data: The whole file.
        value_range: Values that become black and white, of pictures with more than 8 bits and without a window.

    Raises:
        PictureError: If no picture can be made of it, whatever a library raised.
    """
    with _errors():
        if is_dicom(data):
            assumed: list[str] = []
            pixels, bits = decode_dicom(data, value_range, assumed)
            return _made(pixels, None, None, bits, assumed)
        with _open(data) as image:
            return _decode(image, data, value_range)


def read_picture(path: Path, value_range: ValueRange | None = None) -> tuple[Picture, bytes]:
    """Read a file and decode it.

    Args:
        path: JPEG, PNG or DICOM.
        value_range: See `decode_picture`.

    Returns:
        The picture, and the file's content.

    Raises:
        PictureError: If the file cannot be read, or `decode_picture` raises it.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES["png"] else b""
    except OSError as error:
        raise PictureError(reasons.NOT_READ, error.strerror or type(error).__name__) from error
    if size > MAX_BYTES["png"]:
        raise PictureError(reasons.TOO_LARGE, f"{size:,} bytes")
    return decode_picture(data, value_range), data


def flatten_picture(image: Image.Image, value_range: ValueRange | None = None) -> Image.Image:
    """Turn a picture in memory into 8-bit RGB, as `decode_picture` does with its file.

    Pillow drops the lower byte of 16-bit color when it loads a PNG. A picture that was opened and is not loaded yet is
    read from its file; one that has lost its depth is refused. A copy or a conversion of such a picture shows no trace
    of the loss: give the path of a file of 16 bits.

    Args:
        image: Picture of any mode; of an open file, only the position is changed.
        value_range: See `decode_picture`.

    Raises:
        PictureError: If no picture can be made of it, or Pillow has cut its depth.
    """
    with _errors():
        data = png.file_of(image) if isinstance(image, PngImagePlugin.PngImageFile) else b""
        return _decode(image, data, value_range).rgb()


@contextmanager
def _errors() -> Iterator[None]:
    """Turn whatever Pillow and NumPy raise on a damaged file into `PictureError`."""
    with picture_errors(reasons.UNDECODABLE):
        try:
            yield
        except Image.DecompressionBombError as error:
            raise PictureError.of(reasons.TOO_LARGE, error) from error


def _open(data: bytes) -> ImageFile.ImageFile:
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
    except UnidentifiedImageError as error:  # its message holds an address in memory
        reason = reasons.UNDECODABLE if data.startswith(_MAGIC) else reasons.NOT_A_PICTURE
        raise PictureError(reason, "" if data else "the file is empty") from error
    if not all(1 <= side <= MAX_PICTURE_SIDE for side in image.size):
        raise PictureError(reasons.TOO_LARGE, f"{image.width} x {image.height} pixels")
    return image


def _decode(image: Image.Image, data: bytes, value_range: ValueRange | None) -> Picture:
    """Decode an opened file, or flatten a picture in memory, whose ``data`` is empty if it has no file."""
    raw_mode = image.tile[0].args if isinstance(image, ImageFile.ImageFile) and image.tile else None
    assumed = [FIRST_OF_SEVERAL] if image.format in _FORMATS and getattr(image, "n_frames", 1) > 1 else []
    if isinstance(image, ImageFile.ImageFile) and image.tile and raw_mode not in png.DEEP_COLOR:
        png.load_all_rows(image, data)
    if image.mode[0] in "IF" or raw_mode in png.DEEP_COLOR:
        pixels, alpha, bits = _deep(image, raw_mode, data, value_range, assumed)
        return _made(pixels, alpha, _turn(image), bits, assumed)
    turn = _turn(image)
    if image.has_transparency_data:
        pixels, alpha = _split(image, raw_mode)
        if alpha.min() < _OPAQUE:
            return _made(pixels, alpha, turn, 8, assumed)
    if turn is not None:
        upright = image.convert("L" if image.mode in _GRAY_MODES else "RGB")
        return _made(np.asarray(upright), None, turn, 8, assumed)
    return Picture(image, _FORMATS.get(image.format, "png"), unchanged=True, bits=8, assumed=tuple(assumed))


def _made(
    pixels: NDArray[np.uint8],
    alpha: NDArray[np.uint8] | None,
    turn: Image.Transpose | None,
    bits: int | None,
    assumed: list[str],
) -> Picture:
    """Flatten and turn pixels, (rows, columns) or (rows, columns, 3), that a shard will store as PNG."""
    if alpha is not None and alpha.min() < _OPAQUE:
        pixels = _flatten(pixels, alpha, assumed)
    if pixels.min() == pixels.max():
        assumed.append(BLANK)
    # From an array, so that nothing of the file's metadata comes along.
    image = Image.fromarray(pixels)
    if turn is not None:
        image = image.transpose(turn)
        assumed.append(TURNED)
    return Picture(image, "png", unchanged=False, bits=bits, assumed=tuple(assumed))


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Read from EXIF how a picture must be turned; damaged EXIF is ignored, as by viewers."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow's reader raises whatever the damage leads to
        return None


def _flatten(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8], assumed: list[str]) -> NDArray[np.uint8]:
    """Lay a transparent picture on white, or on black if on white it hardly shows."""
    if not alpha.any():
        raise PictureError(reasons.TRANSPARENT)
    on_white = _laid_on(255, pixels, alpha)
    if np.ptp(on_white) < _FAINT and np.ptp(on_black := _laid_on(0, pixels, alpha)) > np.ptp(on_white):
        assumed.append(ON_BLACK)
        return on_black
    assumed.append(ON_WHITE)
    return on_white


def _laid_on(background: int, pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    opacity = alpha.astype(np.uint16).reshape(*alpha.shape, *[1] * (pixels.ndim - 2))
    # At most 255 * 255 + 127, which 16 bits hold; the half makes the division round to the nearest.
    mixed = pixels * opacity + background * (_OPAQUE - opacity) + np.uint16(127)  # (rows, columns[, 3])
    return (mixed // _OPAQUE).astype(np.uint8)


def _split(image: Image.Image, raw_mode: object) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Take an 8-bit picture apart into gray or color, and opacity."""
    key = image.info.get("transparency")
    if raw_mode in _KEY_SCALES and isinstance(key, int):
        image = image.copy()
        image.info["transparency"] = key * _KEY_SCALES[str(raw_mode)]
    rgba = np.asarray(image.convert("RGBA"))
    return rgba[..., 0] if image.mode in _GRAY_MODES else rgba[..., :3], rgba[..., 3]


def _deep(
    image: Image.Image, raw_mode: object, data: bytes, value_range: ValueRange | None, assumed: list[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, int | None]:
    """Read a picture of more than 8 bits and scale it to 8.

    Returns:
        Gray or color, opacity or None, and the depth that it was scaled from.
    """
    if image.mode[0] in "IF":
        values = np.asarray(image)
        if values.dtype.itemsize > 2 and value_range is not None:  # 32 bits, which PNG does not have
            assumed.append(png.BY_RANGE)
            return png.to_eight_bits(values, *value_range), None, None
        if image.mode == "F" or values.min() < 0 or values.max() >= 2**16:
            raise PictureError(reasons.NO_DEPTH)
        values = values.astype(np.uint16)
    else:
        values = png.read_deep_color(data, str(raw_mode))
    channels = values.shape[2] if values.ndim == 3 else 1
    stated = png.stated_bits(data)
    alpha = None
    if channels in (2, 4):
        opacity, values = values[..., -1], values[..., 0] if channels == 2 else values[..., :3]
        scale = png.choose_scale(int(opacity.max()), png.believed_bits(stated[-1:], opacity), None)
        alpha = png.sixteen_to_eight_bits(opacity, scale)
        stated = stated[:-1]
    elif (key := image.info.get("transparency")) is not None:
        matches = values == np.asarray(key)
        alpha = np.where(matches.all(2) if values.ndim == 3 else matches, np.uint8(0), np.uint8(_OPAQUE))
    scale = png.choose_scale(int(values.max()), png.believed_bits(stated, values), value_range)
    assumed.append(scale.assumed)
    return png.sixteen_to_eight_bits(values, scale), alpha, scale.bits
