"""Texts and pictures of queries, read and checked without the encoder: what is wrong with one is said at once."""

from pathlib import Path

from PIL import Image

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images.decode import flatten_picture, read_picture
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.images.unusable import FIXES, PictureError
from mcmfh_lightning.shards.members import check_text


def check_query_text(text: str) -> None:
    """Refuse a text that cannot be searched by.

    Raises:
        DataError: If it is empty, too long for a report, or holds half a character.
    """
    if not text.strip():
        raise DataError("the query's text is empty: write what is to be found")
    check_text(text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the query's text holds half a character ({error}): write it again") from error


def query_picture(image: Image.Image | Path, value_range: ValueRange | None) -> Image.Image:
    """Read a query's picture as RGB, as a shard would hold it.

    Args:
        image: A picture in memory, or a JPEG, PNG or DICOM file.
        value_range: Values of deep pictures that become black and white, as in the archive.

    Raises:
        DataError: If the file is missing, is not such a picture, is damaged or of suspicious size.
    """
    try:
        if isinstance(image, Image.Image):
            return flatten_picture(image, value_range)
        return read_picture(image, value_range)[0].rgb()
    except PictureError as error:
        name = "the query's picture" if isinstance(image, Image.Image) else str(image)
        raise DataError(f"{name}: {error}; {FIXES[error.reason]}") from error
