"""What an archive is made with: ``archive.json`` and ``hasher.ckpt``."""

import io
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import uuid4

import torch
import yaml

from mcmfh_lightning import encoders
from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.encoders import Encoder
from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError
from mcmfh_lightning.hashers.base import CHECKPOINT_KEY, Hasher
from mcmfh_lightning.hashers.stored import load_hasher, read_checkpoint, slim_checkpoint, weights_sha256
from mcmfh_lightning.images.png import ValueRange, check_value_range

INFO_FILE = "archive.json"
HASHER_FILE = "hasher.ckpt"
FORMAT_VERSION = 2
READ_VERSIONS = (1, FORMAT_VERSION)
"""In version 1 the table lacks the names of groups; nothing else differs."""
_MODULE = encoders.__name__
_CONFIGS, _DEFAULT_ENCODER = "mcmfh_lightning.lightning_configs", "model/encoder_offline.yaml"
_MOST_SHOWN = 100
_TYPES = {
    "uid": str,
    "num_bits": int,
    "hasher": str,
    "weights_sha256": str,
    "encoder": dict,
    "encoder_spec": dict,
    "label_vocabulary": list,
    "store_content": bool,
    "keep_relaxed": bool,
    "created_by": str,
}
"""Of the entries of ``archive.json``, which comes from elsewhere."""


class Identity(NamedTuple):
    """What decides the codes of an item."""

    num_bits: int
    hasher: str
    weights_sha256: str
    """Of all weights and the architecture; the same for a checkpoint of a fit and what `slim_checkpoint` makes of
    it."""
    encoder: Mapping[str, Any]
    """Identity of the encoder of the features that the hasher was trained on."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Of a checkpoint.

        Raises:
            CheckpointError: If it is no checkpoint of this package, or of a method whose codes cannot be kept.
        """
        stored = read_checkpoint(path)
        entry = stored[CHECKPOINT_KEY]
        architecture, encoder = entry["architecture"], entry["encoder"]
        name = str(architecture["hasher"])
        if name.startswith("EndToEnd("):
            raise CheckpointError(f"{path} was trained with its encoder ({name}): fit a hasher on features instead")
        if not entry["num_bits"]:
            raise CheckpointError(
                f"{path} holds {name}, which ranks by cosine and has no codes: fit one that hashes, such as MCMFH"
            )
        if encoder is None:
            raise CheckpointError(f"{path} does not say which encoder its features are of: fit it on feature shards")
        return cls(int(entry["num_bits"]), name, weights_sha256(architecture, stored["state_dict"]), encoder)

    def check_same(self, other: Self, here: str, there: str) -> None:
        """Refuse another hasher or encoder.

        Args:
            other: What is compared.
            here: What this is of, for the message.
            there: What the other is of.

        Raises:
            CheckpointError: If their codes cannot be compared; the message names both.
        """
        for name, ours, theirs in zip(self._fields, self, other, strict=True):
            if ours != theirs:
                if name == "encoder":
                    ours, theirs = named(self.encoder, other.encoder), named(other.encoder, self.encoder)
                raise CheckpointError(
                    f"{here} has {name} {_short(ours)}, {there} {_short(theirs)}: use the checkpoint that the archive "
                    "was built with, or build another archive"
                )


@dataclass(frozen=True)
class ArchiveInfo:
    """Content of ``archive.json``; the file is written last, so it is the mark of an archive.

    Attributes:
        uid: Drawn when the archive was made: another one in its place has another.
        num_bits: Bits of a code.
        hasher: Name of the method.
        weights_sha256: See `Identity`.
        encoder: See `Identity`.
        encoder_spec: How to build the encoder for queries: ``class_path`` and ``init_args``.
        label_vocabulary: Labels that items may have; grows when data with others are added.
        store_content: Whether texts and pictures are in the table.
        keep_relaxed: Whether codes before the sign are.
        created_by: The release that made it.
        value_range: Values that became black and white in the items' pictures of more than 8 bits; queries are read
            alike. None if each was scaled by its own depth.
    """

    uid: str
    num_bits: int
    hasher: str
    weights_sha256: str
    encoder: Mapping[str, Any]
    encoder_spec: Mapping[str, Any]
    label_vocabulary: tuple[str, ...]
    store_content: bool
    keep_relaxed: bool
    created_by: str
    value_range: ValueRange | None = None

    @classmethod
    def new(
        cls,
        identity: Identity,
        encoder_spec: Mapping[str, Any],
        label_vocabulary: Iterable[str],
        *,
        store_content: bool,
        keep_relaxed: bool,
        value_range: ValueRange | None = None,
    ) -> Self:
        """Of an archive that is being made."""
        return cls(
            uid=uuid4().hex,
            num_bits=identity.num_bits,
            hasher=identity.hasher,
            weights_sha256=identity.weights_sha256,
            encoder=identity.encoder,
            encoder_spec=encoder_spec,
            label_vocabulary=tuple(label_vocabulary),
            store_content=store_content,
            keep_relaxed=keep_relaxed,
            created_by=f"mcmfh-lightning {version('mcmfh-lightning')}",
            value_range=value_range,
        )

    @classmethod
    def load(cls, location: str | Path | Location) -> Self:
        """Read it.

        Raises:
            DataError: If there is no archive, or it is of another format version or damaged.
        """
        found = cls.find(location)
        if found is None:
            raise DataError(
                f"{Location.of(location)} holds no archive (no {INFO_FILE}): make one with `mcmfh-archive build`, or "
                "correct the path"
            )
        return found

    @classmethod
    def find(cls, location: str | Path | Location) -> Self | None:
        """Read it; None if there is no archive.

        Raises:
            DataError: As `load`.
        """
        place = Location.of(location)
        content = place.read(INFO_FILE)
        if content is None:
            return None
        where = f"{place}/{INFO_FILE}"
        try:
            entries = json.loads(content)
            found = entries.pop("format_version")
        except (ValueError, RecursionError, KeyError, AttributeError) as error:
            raise DataError(f"{where} is damaged ({error!r}): copy the archive again") from error
        if found not in READ_VERSIONS:
            readable = " and ".join(map(str, READ_VERSIONS))
            raise DataError(
                f"{where}: format_version {found!r}, this release reads {readable}: install the release that wrote it, "
                "or build the archive again"
            )
        try:
            known = {
                "label_vocabulary": tuple(entries["label_vocabulary"]),
                "value_range": check_value_range(entries.get("value_range")),
            }
            info = cls(**{**entries, **known})
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise DataError(f"{where}: an entry is missing or unknown ({error}): copy the archive again") from error
        wrong = [name for name, kind in _TYPES.items() if type(entries[name]) is not kind]
        if wrong or info.num_bits < 1 or not all(isinstance(label, str) for label in info.label_vocabulary):
            told = ", ".join(wrong) or "num_bits or label_vocabulary"
            raise DataError(f"{where}: {told} cannot be what is written there: copy the archive again")
        return info

    def write(self, location: str | Path | Location) -> None:
        """Write it, atomically."""
        entries = {"format_version": FORMAT_VERSION} | asdict(self)
        if self.value_range is None:  # most archives, which earlier releases read too
            del entries["value_range"]
        content = json.dumps(entries, indent=1, ensure_ascii=False)
        Location.of(location).write(INFO_FILE, content.encode() + b"\n")

    @property
    def identity(self) -> Identity:
        """What decides the codes."""
        return Identity(self.num_bits, self.hasher, self.weights_sha256, self.encoder)

    def with_labels(self, labels: Iterable[str]) -> Self:
        """The same with labels that it did not have yet behind the others."""
        return replace(self, label_vocabulary=tuple(dict.fromkeys([*self.label_vocabulary, *labels])))


def write_hasher(location: Location, checkpoint: Path) -> None:
    """Keep of a checkpoint what codes of queries are made with."""
    content = io.BytesIO()
    torch.save(slim_checkpoint(checkpoint), content)
    location.write(HASHER_FILE, content.getvalue())


def load_archive_hasher(location: Location, info: ArchiveInfo) -> Hasher:
    """Build the hasher of an archive, on the CPU, in evaluation mode.

    Raises:
        DataError: If its file is missing.
        CheckpointError: If it is damaged or not that of ``archive.json``.
    """
    content = location.read(HASHER_FILE)
    if content is None:
        raise DataError(f"{location}/{HASHER_FILE} is missing: copy the archive again")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / HASHER_FILE
        path.write_bytes(content)
        try:
            info.identity.check_same(Identity.of(path), f"{location}/{INFO_FILE}", HASHER_FILE)
            return load_hasher(path).hasher
        except CheckpointError as error:
            told = str(error).replace(str(path), f"{location}/{HASHER_FILE}")
            raise CheckpointError(told) from error
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            # Of another release, whose hasher has other parts or options, or made up.
            raise CheckpointError(
                f"{location}/{HASHER_FILE} does not fit this release ({type(error).__name__}): install the one that "
                f"made the archive ({info.created_by}), or copy the archive again"
            ) from error


def build_archive_encoder(info: ArchiveInfo) -> Encoder:
    """Build the encoder of an archive: for queries, and for pairs that are added.

    Raises:
        ConfigError: If it cannot be built here.
        CheckpointError: If what is built is another one.
    """
    return build_encoder(info.encoder_spec, info.encoder)


def build_encoder(spec: Mapping[str, Any], identity: Mapping[str, Any]) -> Encoder:
    """Build an encoder of this package and of no other: a file from elsewhere must not run code.

    Args:
        spec: ``class_path`` and ``init_args``, as in ``lightning_configs/model/encoder_offline.yaml``.
        identity: What it must be.

    Raises:
        ConfigError: If it names another class, or the class cannot be built with these arguments.
        CheckpointError: If what is built is another encoder.
    """
    path = spec.get("class_path")
    module, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    found = getattr(encoders, name) if module == _MODULE and name in encoders.__all__ else None
    if not isinstance(found, type) or not issubclass(found, Encoder) or found is Encoder:
        raise ConfigError(f"encoder {path!r} is none of {_MODULE}: name one of its classes in --encoder FILE")
    arguments = spec.get("init_args") or {}
    try:
        encoder = found(**arguments)
    except (TypeError, ValueError, AttributeError) as error:  # the last where an argument is of another type
        raise ConfigError(f"the encoder {name} cannot be built ({error}): correct --encoder FILE") from error
    # Identities are plain JSON; tuples and the like would differ from what was read.
    built = json.loads(json.dumps(encoder.identity))
    if built != identity:
        raise CheckpointError(
            f"the archive's codes are of the encoder {named(identity, built)}, its encoder file builds "
            f"{named(built, identity)}: build the archive with --encoder FILE of that encoder"
        )
    return encoder


def read_encoder_spec(path: Path | None) -> dict[str, Any]:
    """Read how to build an encoder; without a file, the two towers of the package index.

    Raises:
        ConfigError: If the file is missing or is no such description.
    """
    source = files(_CONFIGS).joinpath(_DEFAULT_ENCODER) if path is None else path
    try:
        content = yaml.safe_load(source.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; --encoder wants one like model/encoder_offline.yaml") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if (
        not isinstance(content, dict)
        or not content.keys() <= {"class_path", "init_args"}
        or "class_path" not in content
    ):
        raise ConfigError(
            f"{path}: class_path and init_args of an encoder are expected; see model/encoder_offline.yaml"
        )
    return content


def named(encoder: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """An encoder's name; with it what else differs, if two have one name."""
    name = repr(encoder.get("name"))
    if encoder.get("name") != other.get("name"):
        return name
    odd = [key for key in encoder.keys() | other.keys() if encoder.get(key) != other.get(key)]
    return f"{name} with " + ", ".join(f"{key} {_short(encoder.get(key))}" for key in sorted(odd))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
