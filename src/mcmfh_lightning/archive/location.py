"""Place of an archive: a local folder, or a prefix of an S3-compatible object store."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from filelock import FileLock
from pyarrow import fs

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import atomic_write
from mcmfh_lightning.shards.folder import is_url, without_password

_LOCK_FILE = "items.lock"


class Location:
    """Files of an archive.

    An object store is reached with the environment variables that its tools share: ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, and ``AWS_ENDPOINT_URL`` for one that is not Amazon's. PyArrow, which
    LanceDB needs anyway, has the client for plain files.

    Args:
        address: A path, or ``s3://bucket/prefix``.

    Attributes:
        uri: Address as LanceDB takes it.
        path: The local folder, None on an object store.

    Raises:
        DataError: If the address is a URL of another kind.
    """

    def __init__(self, address: str | Path) -> None:
        self.path: Path | None = None
        if not isinstance(address, str) or not is_url(address):
            self.path = Path(address)
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
        return without_password(self.uri) if self.path is None else str(self.path)

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
        with FileLock(self.path / _LOCK_FILE):
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


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
