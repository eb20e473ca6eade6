"""Codes of queries, made as those of the items were.

Where encoder and hasher run.
"""

from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mcmfh_lightning.archive.code_index import torch_on_one_thread
from mcmfh_lightning.archive.identity import ArchiveInfo, build_archive_encoder, load_archive_hasher
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.errors import ConfigError, DataError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.images.decode import flatten_picture, read_picture
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.images.unusable import FIXES, PictureError
from mcmfh_lightning.metrics.functional import pack_signs
from mcmfh_lightning.shards.members import check_text


def check_device(name: str) -> None:
    """Refuse a device that torch does not know, or does not have here.

    Args:
        name: As torch names it: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        ConfigError: If nothing can be computed there.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # the latter if torch was built without it
        told = str(error).strip().partition("\n")[0]
        raise ConfigError(f"--device {name} cannot be used here ({told}): leave it out for cpu") from error


class QueryCode(NamedTuple):
    """A query as an archive's items are stored."""

    packed: NDArray[np.uint8]
    """(bytes,)."""
    relaxed: NDArray[np.float16] | None
    """(num_bits,) the same before the sign; None if it was not kept."""


def load_query_hasher(location: Location, info: ArchiveInfo, device: str) -> "QueryHasher":
    """Build the encoder and the hasher of an archive, and try them once.

    Raises:
        DataError: If a file of theirs is missing.
        CheckpointError: If they are not those that the items were hashed with; the message names both.
        ConfigError: If the archive names an encoder that is not of this package, or that cannot be built here, or there
            is no such device.
    """
    check_device(device)
    hasher = load_archive_hasher(location, info)
    loaded = QueryHasher(build_archive_encoder(info), hasher, device)
    # The first pass of a network takes longer than the others.
    loaded.text("normal")
    loaded.image(Image.new("RGB", (64, 64)))
    return loaded


class QueryHasher:
    """Encoder and hasher of an archive; may be used from several threads.

    Each code is that of the protocol ``unimodal``: an image's from the image alone, a text's from the text alone.
    Embeddings are rounded to half precision as those of the items were (feature shards hold such).

    Args:
        encoder: Of the features that the hasher was trained on.
        hasher: That of the archive.
        device: Where both run.
    """

    def __init__(self, encoder: Encoder, hasher: Hasher, device: str) -> None:
        self._encoder = encoder.eval().to(device)
        self._hasher = hasher.eval().to(device)
        self._device = torch.device(device)
        # A tokeniser of transformers must not be used by two threads at once.
        self._lock = Lock()

    def text(self, text: str) -> QueryCode:
        """Hash a text.

        Raises:
            DataError: If it is empty, too long for a report, or holds half a character.
        """
        if not text.strip():
            raise DataError("the query's text is empty: write what is to be found")
        check_text(text)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"the query's text holds half a character ({error}): write it anew") from error
        with self._lock, torch_on_one_thread(), torch.inference_mode():
            tokens = {name: column.to(self._device) for name, column in self._encoder.tokenize([text]).items()}
            return _code(self._hasher.encode(None, self._encoder.encode_text(tokens).half().float()).text)

    def image(self, picture: Image.Image) -> QueryCode:
        """Hash a picture of any size, as `query_picture` makes it."""
        with self._lock, torch_on_one_thread(), torch.inference_mode():
            pixels = self._encoder.preprocess(picture)[None].to(self._device)
            return _code(self._hasher.encode(self._encoder.encode_image(pixels).half().float(), None).image)


def query_picture(image: Image.Image | Path, value_range: ValueRange | None) -> Image.Image:
    """Make of a query's picture what a shard would hold of it, as RGB.

    Args:
        image: A picture in memory, or a JPEG, PNG or DICOM file.
        value_range: That of the archive.

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


def _code(relaxed: Tensor | Any) -> QueryCode:  # noqa: ANN401  # None where the hasher breaks its promise
    """Of a batch of one."""
    return QueryCode(pack_signs(relaxed.float())[0].cpu().numpy(), relaxed[0].to(torch.float16).cpu().numpy())
