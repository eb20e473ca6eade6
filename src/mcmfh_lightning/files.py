"""Files that are either complete or absent."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mcmfh_lightning.errors import DataError

PART_SUFFIX = ".part"
"""Ending of a file that is still being written; readers never look at one."""


def open_part(target: Path) -> BinaryIO:
    """Open a new file next to ``target``, whose name ends in `PART_SUFFIX`.

    What is in its place, such as the leftover of a killed run, is removed. It is never written through: a link would
    lead to a file outside, and a pipe would wait for a reader.

    Args:
        target: The final name.

    Raises:
        OSError: If nothing can be written there.
    """
    part = target.with_name(target.name + PART_SUFFIX)
    part.unlink(missing_ok=True)
    return part.open("xb")


def publish(stream: BinaryIO, target: Path) -> None:
    """Give a finished temporary file its final name, durably.

    Args:
        stream: The open temporary file, in the folder of ``target``; it is flushed, synced and closed.
        target: The final name.
    """
    stream.flush()
    os.fsync(stream.fileno())
    stream.close()
    Path(stream.name).replace(target)
    # A rename is only durable once the folder that records it is.
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def atomic_write(target: Path) -> Iterator[BinaryIO]:
    """Open a temporary file next to ``target`` that takes its name when the block ends without an exception.

    Args:
        target: The final name; an existing file is replaced.

    Yields:
        The binary stream to write to.

    Raises:
        OSError: If nothing can be written there; it names ``target``.
    """
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        stream = open_part(target)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(target)) from error
    with stream:
        try:
            yield stream
        except BaseException:
            Path(stream.name).unlink()
            raise
        publish(stream, target)


def write_json(target: Path, content: object) -> None:
    """Write ``content`` as indented JSON, atomically."""
    with atomic_write(target) as stream:
        stream.write(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def read_json(path: Path) -> object:
    """Read a JSON file.

    Raises:
        DataError: If the file is missing or is not JSON.
    """
    try:
        content: object = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"{path} does not exist: is {path.parent} the folder a converter or `predict` wrote? `mcmfh-data manifest` "
            "makes pairs, `mcmfh predict` makes features of pairs"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}): the file is damaged, write the folder again") from error
    return content


def check_folder(path: Path, option: str) -> None:
    """Refuse a folder that cannot be written to before the work whose result it takes; nothing is made.

    Args:
        path: The folder, which may not exist yet.
        option: The option that names it.

    Raises:
        DataError: If a file is in its place, or the system does not let this user write there.
    """
    place = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not place.is_dir():
        raise DataError(f"{path}: {place} is a file; name a folder by {option}")
    if not os.access(place, os.W_OK | os.X_OK):
        raise DataError(f"{path}: cannot be written to; permit it, or choose another {option}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def default_cache() -> Path:
    """Return the user's cache folder for downloads of this package (``~/.cache/mcmfh-lightning`` on Linux)."""
    import pooch  # slow to import, and needed for downloads only

    return Path(pooch.os_cache("mcmfh-lightning"))
