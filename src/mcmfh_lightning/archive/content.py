"""Texts and pictures of items, from the pair shards they come from."""

import io
from functools import cache
from pathlib import Path

from PIL import Image

from mcmfh_lightning.archive.schema import THUMBNAIL_PIXELS
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import Pair, PairShardReader, decode_image
from mcmfh_lightning.shards.folder import is_url

_QUALITY = 85
"""Of a JPEG: with the eye hardly told from the original at this size."""


class ContentReader:
    """A local folder of pair shards, read by item; only the shards that are asked for are looked into.

    Args:
        folder: The folder, as items name it.

    Raises:
        DataError: If it holds no pairs, or shards are missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._reader = cache(self._open)

    @classmethod
    def at_hand(cls, folder: str | None) -> "ContentReader | None":
        """Open a folder if it is there: an archive may have been copied without its collection.

        A URL is not followed. What an archive says must not make a search ask another machine.
        """
        if folder is None or is_url(folder) or not Path(folder).is_dir():
            return None
        return cls(folder)

    def pair(self, item: str, shard: str) -> Pair:
        """Read an item.

        Args:
            item: Its id.
            shard: File name of its shard.

        Raises:
            DataError: If it is not there, or damaged.
        """
        reader = self._reader(shard.partition("-")[0])
        position = reader.find(shard, item)
        if position is None:
            raise DataError(f"{self._folder / shard} has no pair {item}: the collection was written anew, add it again")
        return reader[position]

    def text(self, item: str, shard: str) -> str | None:
        """Text of an item, None if it has none.

        Raises:
            DataError: As `pair`.
        """
        return self.pair(item, shard).text

    def picture(self, item: str, shard: str) -> bytes | None:
        """Picture of an item as `thumbnail` makes it, None if it has none.

        Raises:
            DataError: As `pair`, or if it cannot be decoded.
        """
        image = self.pair(item, shard).image
        return None if image is None else thumbnail(image)

    def _open(self, split: str) -> PairShardReader:
        return PairShardReader(self._folder, split)


def thumbnail(image: bytes) -> bytes:
    """Make a JPEG of at most `THUMBNAIL_PIXELS` a side of a picture's file.

    Raises:
        DataError: If it cannot be decoded, or is of suspicious size.
    """
    picture = decode_image(image)
    picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=_QUALITY)
    return stream.getvalue()
