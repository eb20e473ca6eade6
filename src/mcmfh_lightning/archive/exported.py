"""Codes of an archive's queries by an exported model, without torch; see `mcmfh_lightning.portable`."""

import logging
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mcmfh_lightning.archive.info import INFO_FILE, ArchiveInfo, Identity, Location
from mcmfh_lightning.archive.results import COMPARED, Against, Modality
from mcmfh_lightning.archive.schema import PictureCodes, QueryCode, QueryCodes
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.images.given import given_picture
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.portable import PortableHasher
from mcmfh_lightning.portable.description import MODEL_FILE
from mcmfh_lightning.portable.hasher import Codes
from mcmfh_lightning.portable.token_count import TokenCount
from mcmfh_lightning.searches import find_search
from mcmfh_lightning.shards.members import check_given_text

_log = logging.getLogger(__name__)


def load_exported(folder: Path, location: Location, info: ArchiveInfo) -> "ExportedQueryHasher":
    """Load an exported model for the queries of an archive, and try it once.

    A model whose text tower is int8 is taken, with a line that says so: see docs/guides/export.md.

    Args:
        folder: Folder that `mcmfh export` wrote.
        location: The archive.
        info: Its description.

    Raises:
        DataError: If the folder is damaged, or not an exported model.
        CheckpointError: If it is not the hasher and encoder that the items were hashed with; the message names both.
        ConfigError: If it has no encoder.
    """
    hasher = _shared_hasher(folder)
    described = hasher.description
    own = Identity(
        described.num_bits,
        described.hasher,
        described.weights_sha256,
        described.encoder,
        query_codes=described.query_codes,
    )
    info.check_same(own, f"{location}/{INFO_FILE}", str(folder / MODEL_FILE))
    if described.int8:
        _log.warning(
            "%s: its text tower is int8, and the items of %s were encoded in float32: a few bits of a text's code "
            "differ; for the hits that torch finds, export the hasher without --int8",
            folder,
            location,
        )
    if not described.has_encoder:
        raise ConfigError(f"{folder} was exported without its encoder: export it again without --from-features")
    loaded = ExportedQueryHasher(hasher, info.value_range)
    loaded.text("normal", "case")
    loaded.image(Image.new("RGB", (64, 64)), "case")
    return loaded


_sharing = Lock()
_hashers: WeakValueDictionary[bytes, PortableHasher] = WeakValueDictionary()


def _shared_hasher(folder: Path) -> PortableHasher:
    """Load a model, or return that of another archive in this process: its weights take 110 MB."""
    try:
        key = (folder / MODEL_FILE).read_bytes()  # it has the hash of every other file
    except OSError:
        return PortableHasher(folder)  # which says what is wrong
    with _sharing:
        hasher = _hashers.get(key)
        if hasher is None:
            hasher = _hashers[key] = PortableHasher(folder)
        return hasher


class ExportedQueryHasher:
    """Exported encoder and hasher of an archive; may be used from several threads.

    It gives the codes of `mcmfh_lightning.archive.model.QueryHasher`.

    Args:
        hasher: The exported model.
        value_range: Values of deep pictures that become black and white, as in the archive.
    """

    def __init__(self, hasher: PortableHasher, value_range: ValueRange | None = None) -> None:
        self._hasher = hasher
        self._value_range = value_range

    def text(self, text: str, against: Against) -> QueryCodes:
        """Hash a text.

        Args:
            text: The text.
            against: Code of the items that it is compared with.

        Raises:
            DataError: If it is empty, too long for a report, or holds half a character.
        """
        check_given_text(text, "the query's text")
        return self._codes("text", self._hasher.hash_text(text), against)

    def count_tokens(self, text: str) -> TokenCount:
        """Count the tokens of a text, and those that the encoder reads."""
        return self._hasher.count_tokens(text)

    def image(self, image: Image.Image | Path, against: Against) -> PictureCodes:
        """Hash a picture, read as a shard would hold it.

        Args:
            image: A picture in memory, or a JPEG, PNG or DICOM file.
            against: Code of the items that it is compared with.

        Raises:
            DataError: If the file is missing, is not such a picture, is damaged or of suspicious size.
        """
        codes = self._hasher.hash_image(given_picture(image, self._value_range, "the query's picture"))
        return PictureCodes(self._codes("image", codes, against), _code(codes["code"]))

    def _codes(self, modality: Modality, codes: Codes, against: Against) -> QueryCodes:
        """Choose the codes of the searches that a query is part of."""
        if not self._hasher.description.query_codes:
            return {COMPARED[against][0]: _code(codes["code"])}
        return {side: _code(codes[find_search(modality, side)]) for side in COMPARED[against]}


def _code(relaxed: NDArray[np.float32]) -> QueryCode:
    return QueryCode(np.packbits(relaxed >= 0), relaxed.astype(np.float16))
