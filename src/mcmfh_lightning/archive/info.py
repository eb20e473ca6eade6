"""Place of an archive, its description (``archive.json``), and the identity of a hasher and its encoder."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Self

import pyarrow as pa
from filelock import FileLock
from pyarrow import fs
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from mcmfh_lightning.errors import CheckpointError, ConfigError, DataError
from mcmfh_lightning.files import atomic_write
from mcmfh_lightning.images.png import ValueRange, check_value_range
from mcmfh_lightning.shards.folder import is_url, without_password
from mcmfh_lightning.shards.info import encoder_name, shortened

INFO_FILE = "archive.json"
READ_VERSIONS = (1, 2, 3)
TRAINED_FROM = "trained_from"
"""Entry of the identity of an encoder that was trained with its hasher: the identity that it had before."""
_PLAIN, _WITH_QUERY_CODES = 2, 3  # only the latter has the codes of queries; a table of version 1 lacks group names


class Location:
    """Files of an archive.

    An object store is reached with the environment variables that its tools share: ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, and ``AWS_ENDPOINT_URL`` for one that is not Amazon's. PyArrow, which
    LanceDB needs anyway, has the client for plain files.

    Args:
        address: A path, or ``s3://bucket/prefix``.

    Attributes:
        address: The address as it was given.
        uri: Address as LanceDB takes it.
        path: The local folder, None on an object store. Of a link, the folder that it named when this object was made:
            whoever reads or writes stays there when the link is switched.

    Raises:
        DataError: If the address is a URL of another kind.
    """

    def __init__(self, address: str | Path) -> None:
        self.address = address
        self.path: Path | None = None
        if not isinstance(address, str) or not is_url(address):
            self.path = Path(address)
            if self.path.is_symlink():
                self.path = self.path.resolve()
            self.uri = str(self.path.absolute())
            return
        self.uri = address.rstrip("/")
        if not self.uri.startswith("s3://"):
            raise DataError(
                f"{without_password(address)}: an archive is in a local folder or at s3://bucket/prefix; copy it"
            )

    @classmethod
    def of(cls, address: "str | Path | Self") -> Self:
        """Return ``address`` if it is a location already."""
        return address if isinstance(address, cls) else cls(address)  # type: ignore[arg-type]  # what is left of it

    def __str__(self) -> str:
        return without_password(self.uri) if self.path is None else str(Path(self.address))

    @property
    def has_lock(self) -> bool:
        """Tell whether `writing` keeps other processes from writing."""
        return self.path is not None

    @property
    def storage_options(self) -> dict[str, str]:
        """Options of LanceDB that it does not find in the environment."""
        endpoint = _endpoint()
        if self.path is not None or endpoint is None:
            return {}
        return {"endpoint": endpoint, "allow_http": str(endpoint.startswith("http://")).lower()}

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if there is none.

        Raises:
            DataError: If the store cannot be reached.
        """
        if self.path is not None:
            file = self.path / name
            return file.read_bytes() if file.is_file() else None
        with self._reached(name) as (store, key):
            if store.get_file_info(key).type != fs.FileType.File:
                return None
            with store.open_input_stream(key) as stream:
                content: bytes = stream.read()
            return content

    def write(self, name: str, content: bytes) -> None:
        """Write a small file; a reader sees all of it or nothing.

        Raises:
            DataError: If the store cannot be reached.
        """
        if self.path is not None:
            self.path.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.path / name) as stream:
                stream.write(content)
            return
        with self._reached(name) as (store, key), store.open_output_stream(key) as stream:
            stream.write(content)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let the processes of a machine write one after the other; the second waits.

        An object store has no such lock: there the commits of LanceDB decide (`ItemTable`). The lock of a process that
        was killed is free.
        """
        if self.path is None:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "items.lock"):
            yield

    @contextmanager
    def _reached(self, name: str) -> Iterator[tuple[Any, str]]:
        """Give the client and the key of a file."""
        endpoint = _endpoint()
        options = {} if endpoint is None else {"endpoint_override": endpoint}
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        try:
            yield fs.S3FileSystem(region=region, **options), f"{self.uri.removeprefix('s3://')}/{name}"
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{self}/{name} cannot be reached ({' '.join(str(error).split())}): check the address, the credentials "
                "and AWS_ENDPOINT_URL"
            ) from error


@dataclass(frozen=True)
class Identity:
    """Everything that decides the codes of an item; `mcmfh_lightning.archive.model.identity_of` reads a checkpoint's.

    Attributes:
        num_bits: Bits of a code.
        hasher: Name of the method.
        weights_sha256: Hash of all weights and the architecture; the same for a checkpoint of a fit and its slim copy.
        encoder: Identity of the encoder of the features that the hasher was trained on. One that was trained with the
            hasher has a name, a hash of its weights and the entry `TRAINED_FROM`: no other encoder has this identity.
        query_codes: Whether the code of a query depends on what it searches, so that it is not that of an item.
    """

    num_bits: Annotated[int, Field(ge=1)]
    hasher: str
    weights_sha256: str
    encoder: Mapping[str, Any]
    query_codes: bool = field(default=False, kw_only=True)

    @property
    def encoder_before(self) -> Mapping[str, Any]:
        """Identity of the encoder before it was trained with the hasher; its own if it was not."""
        before = self.encoder.get(TRAINED_FROM)
        return before if isinstance(before, Mapping) else self.encoder

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
                    f"{here} has {name} {shortened(ours)}, {there} {shortened(theirs)}: use the checkpoint that the "
                    "archive was built with, or build another archive"
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
            *most, newest = map(str, READ_VERSIONS)
            readable = f"{', '.join(most)} and {newest}"
            raise DataError(
                f"{where}: format_version {found!r}, this release reads {readable}: install the release that wrote it, "
                "or build the archive again"
            )
        try:
            # The version says it, and no entry may say otherwise.
            known = {"value_range": None} | entries | {"query_codes": found == _WITH_QUERY_CODES}
            info = TypeAdapter(cls).validate_json(json.dumps(known))
            check_value_range(info.value_range)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise DataError(f"{where}: an entry is missing or unknown ({wrong}): copy the archive again") from error
        except ConfigError as error:
            raise DataError(f"{where}: value_range is not possible ({error}): copy the archive again") from error
        return info

    def write(self, location: str | Path | Location) -> None:
        """Write the description, atomically."""
        entries = asdict(self)
        version = _WITH_QUERY_CODES if entries.pop("query_codes") else _PLAIN  # which earlier releases read too
        if self.value_range is None:  # most archives, which earlier releases read too
            del entries["value_range"]
        content = json.dumps({"format_version": version} | entries, indent=1, ensure_ascii=False)
        Location.of(location).write(INFO_FILE, content.encode() + b"\n")


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
