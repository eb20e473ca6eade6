"""Pictures that a program is given: files, pictures in memory, arrays."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images.decode import flatten_picture, read_picture
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.images.unusable import FIXES, PictureError

GivenPicture = str | Path | Image.Image | NDArray[np.uint8] | NDArray[np.uint16]
"""JPEG, PNG or DICOM file, picture of Pillow, or array: (H, W) of 8 or 16 bits, or (H, W, 3) or (H, W, 4) of 8 bits."""


def given_picture(picture: GivenPicture, value_range: ValueRange | None, name: str) -> Image.Image:
    """Read a picture as RGB, as a shard would hold it.

    Args:
        picture: The picture.
        value_range: Values of deep pictures that become black and white.
        name: Name of a picture without a file, for messages.

    Raises:
        DataError: If the file is missing, is not such a picture, is damaged or of suspicious size, or an array is of
            another shape or type.
    """
    if isinstance(picture, np.ndarray):
        picture = _of_array(picture, name)
    try:
        if isinstance(picture, Image.Image):
            return flatten_picture(picture, value_range)
        return read_picture(Path(picture), value_range)[0].rgb()
    except PictureError as error:
        shown = name if isinstance(picture, Image.Image) else str(picture)
        raise DataError(f"{shown}: {error}; {FIXES[error.reason]}") from error


def _of_array(pixels: NDArray[np.uint8] | NDArray[np.uint16], name: str) -> Image.Image:
    gray = pixels.ndim == 2 and pixels.dtype in (np.uint8, np.uint16)
    color = pixels.ndim == 3 and pixels.shape[2] in (3, 4) and pixels.dtype == np.uint8
    if not pixels.size or not (gray or color):
        raise DataError(
            f"{name}: an array of shape {pixels.shape} and type {pixels.dtype}; pass (H, W) of uint8 or uint16, or "
            "(H, W, 3) of uint8"
        )
    return Image.fromarray(np.ascontiguousarray(pixels))
