"""Description of an archive (``archive.json``), and the identity of a hasher and its encoder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from mcmfh_lightning.archive.location import Location
from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError
from mcmfh_lightning.images.png import ValueRange, check_value_range

INFO_FILE = "archive.json"
FORMAT_VERSION = 2
READ_VERSIONS = (1, FORMAT_VERSION)  # in version 1 the table lacks the names of groups; nothing else differs
_MOST_SHOWN = 100


@dataclass(frozen=True)
class Identity:
    """Everything that decides the codes of an item; `mcmfh_lightning.archive.model.identity_of` reads a checkpoint's.

    Attributes:
        num_bits: Bits of a code.
        hasher: Name of the method.
        weights_sha256: Hash of all weights and the architecture; the same for a checkpoint of a fit and its slim copy.
        encoder: Identity of the encoder of the features that the hasher was trained on.
    """

    num_bits: Annotated[int, Field(ge=1)]
    hasher: str
    weights_sha256: str
    encoder: Mapping[str, Any]

    def check_same(self, other: "Identity", here: str, there: str) -> None:
        """Refuse another hasher or encoder.

        Args:
            other: The identity to compare with.
            here: Owner of this identity, for the message.
            there: Owner of the other.

        Raises:
            CheckpointError: If their codes cannot be compared; the message names both.
        """
        for name in (entry.name for entry in fields(Identity)):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                if name == "encoder":
                    ours, theirs = encoder_name(self.encoder, other.encoder), encoder_name(other.encoder, self.encoder)
                raise CheckpointError(
                    f"{here} has {name} {_short(ours)}, {there} {_short(theirs)}: use the checkpoint that the archive "
                    "was built with, or build another archive"
                )


@dataclass(frozen=True)
class ArchiveInfo(Identity):
    """Content of ``archive.json``; the file is written last, so it marks a whole archive.

    Attributes:
        encoder_spec: How to build the encoder for queries: ``class_path`` and ``init_args``.
        label_vocabulary: Labels that items may have; grows when data with others are added.
        store_content: Whether texts and pictures are in the table.
        keep_relaxed: Whether codes before the sign are.
        value_range: Values that became black and white in the items' pictures of more than 8 bits; queries are read
            in the same way. None if each was scaled by its own depth.
        uid: Drawn when the archive was made, so that another one in its place has another.
        created_by: The release that made it.
    """

    encoder_spec: Mapping[str, Any]
    label_vocabulary: tuple[str, ...]
    store_content: bool
    keep_relaxed: bool
    value_range: ValueRange | None
    uid: str
    created_by: str

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # the file comes from elsewhere

    @classmethod
    def load(cls, location: str | Path | Location) -> Self:
        """Read the description of an archive.

        Raises:
            DataError: If there is no archive, or it is of another format version or damaged.
        """
        found = cls.find(location)
        if found is None:
            raise DataError(
                f"{Location.of(location)} holds no archive ({INFO_FILE} is missing): make one with "
                "`mcmfh-archive build`, or correct the path"
            )
        return found

    @classmethod
    def find(cls, location: str | Path | Location) -> Self | None:
        """Read the description of an archive; None if there is no archive.

        Raises:
            DataError: If it is of another format version or damaged.
        """
        place = Location.of(location)
        content = place.read(INFO_FILE)
        if content is None:
            return None
        where = f"{place}/{INFO_FILE}"
        try:
            entries = json.loads(content)
            found = entries.pop("format_version")
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where} is damaged ({error!r}): copy the archive again") from error
        if found not in READ_VERSIONS:
            readable = " and ".join(map(str, READ_VERSIONS))
            raise DataError(
                f"{where}: format_version {found!r}, this release reads {readable}: install the release that wrote it, "
                "or build the archive again"
            )
        try:
            info = TypeAdapter(cls).validate_json(json.dumps({"value_range": None} | entries))
            check_value_range(info.value_range)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise DataError(f"{where}: an entry is missing or unknown ({wrong}): copy the archive again") from error
        except ConfigError as error:
            raise DataError(f"{where}: value_range is not possible ({error}): copy the archive again") from error
        return info

    def write(self, location: str | Path | Location) -> None:
        """Write the description, atomically."""
        entries = {"format_version": FORMAT_VERSION} | asdict(self)
        if self.value_range is None:  # most archives, which earlier releases read too
            del entries["value_range"]
        content = json.dumps(entries, indent=1, ensure_ascii=False)
        Location.of(location).write(INFO_FILE, content.encode() + b"\n")


def encoder_name(encoder: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Name an encoder, with its other differences if two have one name."""
    name = repr(encoder.get("name"))
    if encoder.get("name") != other.get("name"):
        return name
    odd = [key for key in encoder.keys() | other.keys() if encoder.get(key) != other.get(key)]
    return f"{name} with " + ", ".join(f"{key} {_short(encoder.get(key))}" for key in sorted(odd))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
