"""Hasher and encoder of an archive, and the codes of queries; searches import torch through this module alone."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

import torch
from PIL import Image
from torch import Tensor

from mcmfh_lightning.archive.devices import check_device
from mcmfh_lightning.archive.info import INFO_FILE, TRAINED_FROM, ArchiveInfo, Identity, Location
from mcmfh_lightning.archive.results import COMPARED, Against, Modality
from mcmfh_lightning.archive.schema import PictureCodes, QueryCode, QueryCodes
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.encoders.spec import build_encoder
from mcmfh_lightning.errors import CheckpointError, DataError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY
from mcmfh_lightning.hashers.stored import build_hasher, read_checkpoint, slim_checkpoint, split_encoder, use_trained
from mcmfh_lightning.images.given import given_picture
from mcmfh_lightning.images.png import ValueRange
from mcmfh_lightning.metrics.functional import pack_signs
from mcmfh_lightning.portable.token_count import TokenCount
from mcmfh_lightning.searches import find_search
from mcmfh_lightning.shards.members import check_given_text
from mcmfh_lightning.trainer.checkpoint_io import weights_sha256

HASHER_FILE = "hasher.ckpt"


def identity_of(path: Path) -> Identity:
    """Read the identity of a checkpoint.

    Raises:
        CheckpointError: If it is not a checkpoint of this package, or of a method whose codes cannot be kept.
    """
    return _identity(read_checkpoint(path), path)


def _identity(stored: Mapping[str, Any], path: Path) -> Identity:
    entry = stored[CHECKPOINT_KEY]
    architecture, encoder = entry["architecture"], entry["encoder"]
    name = str(architecture["hasher"])
    if not entry["num_bits"]:
        raise CheckpointError(
            f"{path} holds {name}, which ranks by cosine and has no codes: fit one that hashes, such as MCMFH"
        )
    if encoder is None:
        raise CheckpointError(f"{path} does not say which encoder its features are of: fit it on feature shards")
    if trained := split_encoder(stored)[1]:
        named = {"name": f"{encoder.get('name')} (trained end to end)", TRAINED_FROM: encoder}
        encoder = named | {"trained_sha256": weights_sha256({}, trained)}
    return Identity(
        int(entry["num_bits"]),
        name,
        weights_sha256(architecture, stored["state_dict"]),
        encoder,
        query_codes=has_query_codes(architecture),
    )


def has_query_codes(architecture: Mapping[str, Any]) -> bool:
    """Check whether a hasher of this architecture gives queries other codes than items, by what they search."""
    return bool(architecture.get("query_heads", False))


class TrainedModel(NamedTuple):
    """Hasher of a checkpoint, with its encoder.

    Attributes:
        stored: What an archive keeps of the checkpoint. Of an encoder that was trained with the hasher these are the
            weights that changed, so that a checkpoint and the folder that was shared of it are the same.
        identity: Their identity.
        encoder: The encoder, with the weights that were trained; None if it was left out.
    """

    stored: dict[str, Any]
    identity: Identity
    encoder: Encoder | None


def read_model(path: Path, encoder_spec: Mapping[str, Any] | None) -> TrainedModel:
    """Read a checkpoint and build its encoder.

    Args:
        path: A checkpoint, or the folder of a shared hasher.
        encoder_spec: How to build the encoder; see `mcmfh_lightning.encoders.spec.build_encoder`. None leaves it out.

    Raises:
        CheckpointError: See `identity_of`; or if another encoder is built.
        ConfigError: If the encoder cannot be built.
    """
    stored = slim_checkpoint(path)
    identity = _identity(stored, path)
    if encoder_spec is None:
        return TrainedModel(stored, identity, None)
    encoder = build_encoder(encoder_spec, identity.encoder_before)
    stored = use_trained(encoder, stored, path)
    return TrainedModel(stored, _identity(stored, path), encoder)


def check_checkpoint(path: Path, location: Location, info: ArchiveInfo) -> None:
    """Refuse a checkpoint of another hasher or encoder than those of an archive.

    Raises:
        CheckpointError: If it is another one, or not a checkpoint; the message names both.
    """
    identity = identity_of(path)
    if TRAINED_FROM in identity.encoder and identity.encoder_before == info.encoder_before:
        identity = read_model(path, info.encoder_spec).identity
    identity.check_same(info, str(path), str(location))


def load_archive_hasher(location: Location, info: ArchiveInfo) -> Hasher:
    """Build the hasher of an archive, on the CPU, in evaluation mode.

    Raises:
        DataError: If its file is missing.
        CheckpointError: If it is damaged or not that of ``archive.json``.
    """
    with _own_checkpoint(location, info) as (stored, path):
        return build_hasher(split_encoder(stored)[0], path).hasher


def load_archive_encoder(location: Location, info: ArchiveInfo) -> Encoder:
    """Build the encoder of an archive, with the weights that were trained with its hasher, if any were.

    Raises:
        DataError: See `load_archive_hasher`.
        CheckpointError: See `load_archive_hasher`; or if another encoder is built.
        ConfigError: If the archive names an encoder that is not of this package, or that cannot be built here.
    """
    encoder = build_encoder(info.encoder_spec, info.encoder_before)
    if TRAINED_FROM in info.encoder:
        with _own_checkpoint(location, info) as (stored, path):
            use_trained(encoder, stored, path)
    return encoder


@contextmanager
def _own_checkpoint(location: Location, info: ArchiveInfo) -> Iterator[tuple[dict[str, Any], Path]]:
    """Read the checkpoint of an archive; errors in it, and in what is made of it meanwhile, name its place."""
    content = location.read(HASHER_FILE)
    where = f"{location}/{HASHER_FILE}"
    if content is None:
        raise DataError(f"{where} is missing: copy the archive again")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / HASHER_FILE
        path.write_bytes(content)
        try:
            stored = read_checkpoint(path)
            info.check_same(_identity(stored, path), f"{location}/{INFO_FILE}", HASHER_FILE)
            yield stored, path
        except CheckpointError as error:
            raise CheckpointError(str(error).replace(str(path), where)) from error
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            # Of another release, whose hasher has other parts or options, or made up.
            raise CheckpointError(
                f"{where} does not fit this release ({type(error).__name__}): install the one that made the archive "
                f"({info.created_by}), or copy the archive again"
            ) from error


def load_query_hasher(location: Location, info: ArchiveInfo, device: str) -> "QueryHasher":
    """Build the encoder and the hasher of an archive, and try them once.

    Raises:
        DataError: If a file of theirs is missing.
        CheckpointError: If they are not those that the items were hashed with; the message names both.
        ConfigError: If the archive names an encoder that is not of this package, or that cannot be built here, or torch
            does not have the device.
    """
    check_device(device)
    hasher = load_archive_hasher(location, info)
    loaded = QueryHasher(_shared_encoder(location, info, device), hasher, device, info.value_range)
    # The first pass of a network takes longer than the others.
    loaded.text("normal", "case")
    loaded.image(Image.new("RGB", (64, 64)), "case")
    return loaded


_sharing = Lock()
_encoders: WeakValueDictionary[str, Encoder] = WeakValueDictionary()
_locks: WeakKeyDictionary[Encoder, tuple[Lock, Lock]] = WeakKeyDictionary()


def _shared_encoder(location: Location, info: ArchiveInfo, device: str) -> Encoder:
    """Build the encoder of an archive, or return that of another one in this process: its weights take 110 MB."""
    key = json.dumps([info.encoder_spec, info.encoder, device], sort_keys=True)
    with _sharing:
        encoder = _encoders.get(key)
        if encoder is None:
            encoder = load_archive_encoder(location, info).eval().to(device)
            _encoders[key] = encoder
        return encoder


class QueryHasher:
    """Encoder and hasher of an archive; may be used from several threads.

    Each code is that of a query of the search, computed from one modality alone: `Hasher.encode_query`. Where the
    hasher makes it depend on what is searched, a search of cases has three: for items that have both, and for those
    that have one modality. Embeddings are rounded to half precision as those of the items were (feature shards hold
    such).

    Args:
        encoder: Encoder of the features that the hasher was trained on.
        hasher: Hasher of the archive.
        device: Where both run.
        value_range: Values of deep pictures that become black and white, as in the archive.
    """

    def __init__(self, encoder: Encoder, hasher: Hasher, device: str, value_range: ValueRange | None = None) -> None:
        self._encoder = encoder.eval().to(device)
        self._hasher = hasher.eval().to(device)
        self._device = torch.device(device)
        self._value_range = value_range
        self._by_search = has_query_codes(hasher.architecture)
        # A tokenizer of transformers must not be used by two threads at once, whichever archive they search. Texts do
        # not wait for a picture.
        with _sharing:
            self._texts, self._pictures = _locks.setdefault(encoder, (Lock(), Lock()))

    def text(self, text: str, against: Against) -> QueryCodes:
        """Hash a text.

        Args:
            text: The text.
            against: Code of the items that it is compared with.

        Raises:
            DataError: If it is empty, too long for a report, or holds half a character.
        """
        check_given_text(text, "the query's text")
        with self._texts, _torch_on_one_thread(), torch.inference_mode():
            tokens = {name: column.to(self._device) for name, column in self._encoder.tokenize([text]).items()}
            return self._codes("text", self._encoder.encode_text(tokens), against)

    def count_tokens(self, text: str) -> TokenCount | None:
        """Count the tokens of a text, and those that the encoder reads; see `Encoder.count_tokens`."""
        with self._texts:
            return self._encoder.count_tokens(text)

    def image(self, image: Image.Image | Path, against: Against) -> PictureCodes:
        """Hash a picture, read as a shard would hold it.

        Args:
            image: A picture in memory, or a JPEG, PNG or DICOM file.
            against: Code of the items that it is compared with.

        Raises:
            DataError: If the file is missing, is not such a picture, is damaged or of suspicious size.
        """
        picture = given_picture(image, self._value_range, "the query's picture")
        with self._pictures, _torch_on_one_thread(), torch.inference_mode():
            pixels = self._encoder.preprocess(picture)[None].to(self._device)
            embedding = self._encoder.encode_image(pixels)
            own = self._hasher.encode(embedding.half().float(), None).image
            assert own is not None  # noqa: S101  # of the modality that was given
            return PictureCodes(self._codes("image", embedding, against), _code(own))

    def _codes(self, modality: Modality, embedding: Tensor, against: Against) -> QueryCodes:
        """Hash the (1, dim) embedding of a query for each search that it is part of."""
        embedding = embedding.half().float()
        sides = COMPARED[against] if self._by_search else COMPARED[against][:1]
        return {side: _code(self._hasher.encode_query(find_search(modality, side), embedding)) for side in sides}


def _code(relaxed: Tensor) -> QueryCode:
    """Take the code out of a batch of one."""
    return QueryCode(pack_signs(relaxed.float())[0].cpu().numpy(), relaxed[0].to(torch.float16).cpu().numpy())


_counting = Lock()
_inside = {"callers": 0, "threads": 0}


@contextmanager
def _torch_on_one_thread() -> Iterator[None]:
    """Let torch use one thread: others that use the cores slow down two threads much more, 180 ms for a text, not 14.

    OpenMP keeps the setting for each thread, and torch one for new threads. While one caller is inside, a second would
    read 1 and restore that: all restore what the first has found.
    """
    with _counting:
        if not _inside["callers"]:
            _inside["threads"] = torch.get_num_threads()
        _inside["callers"] += 1
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _counting:
            _inside["callers"] -= 1
            torch.set_num_threads(_inside["threads"])
