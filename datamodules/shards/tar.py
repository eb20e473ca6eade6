"""Tar files: written by webdataset, read through an index of where each member lies."""

import re
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mcmfh_lightning.datamodules.shards.files import PART_SUFFIX, publish, sha256_of
from mcmfh_lightning.datamodules.shards.info import ShardInfo
from mcmfh_lightning.datamodules.shards.members import DECODERS
from mcmfh_lightning.errors import DataError

MAX_KEY_LENGTH = 80
"""With the longest extension a member's name still fits into the 100 bytes of a plain tar header."""

_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_KEY_LENGTH}}}")


def check_key(key: str) -> None:
    """Refuse a record key that cannot name the members of a tar.

    WebDataset takes all before the first full stop as the key, and a slash or a drive would leave the folder.

    Raises:
        DataError: If the key holds anything but letters, digits, ``_`` and ``-``, or is too long.
    """
    if not _KEY.fullmatch(key):
        raise DataError(f"id {key!r}: ids are 1 to {MAX_KEY_LENGTH} ASCII letters, digits, '_' or '-'; rename the item")


class Member(NamedTuple):
    """Where the bytes of a tar member lie.

    Attributes:
        offset: First byte of the content in the file.
        size: Length of the content in bytes.
    """

    offset: int
    size: int


def index_tar(path: Path) -> dict[str, dict[str, Member]]:
    """List the records of an uncompressed tar without reading their contents.

    Args:
        path: The tar.

    Returns:
        Members by extension (``jpg``, ``image.npy``), by record key, in the order of the file.

    Raises:
        DataError: If the tar is damaged, or a member is not a plain file ``key.extension`` with a known extension,
            or the members of a record are not side by side.
    """
    records: dict[str, dict[str, Member]] = {}
    last = None
    try:
        with tarfile.open(path, "r:") as tar:
            for entry in tar:
                key, _, extension = entry.name.partition(".")
                complaint = _complaint(entry, key, extension)
                if complaint is None and (extension in records.get(key, ()) or (key != last and key in records)):
                    complaint = "the record occurs twice"
                if complaint is not None:
                    raise DataError(f"shard {path}, member {entry.name!r}: {complaint}; write the shard again")
                records.setdefault(key, {})[extension] = Member(entry.offset_data, entry.size)
                last = key
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"shard {path} cannot be read ({error}): copy or write it again") from error
    return records


def _complaint(entry: tarfile.TarInfo, key: str, extension: str) -> str | None:
    if not entry.isreg() or entry.issparse():
        return "not a plain file"
    if not _KEY.fullmatch(key):
        return "not a plain name key.extension"
    if extension.rpartition(".")[2] not in DECODERS:
        return f"unknown extension (known: {', '.join(DECODERS)})"
    return None


class ShardWriter:
    """One tar that takes its name only when it is complete.

    Equal records give equal bytes: owner, mode and time of the members are fixed.

    Args:
        path: The final name.
    """

    def __init__(self, path: Path) -> None:
        # Only writing needs webdataset: a machine that trains on finished features can do without.
        from webdataset import TarWriter

        self.path = path
        self.pairs = 0
        self._part = path.with_name(path.name + PART_SUFFIX)
        self._stream = self._part.open("wb")
        self._tar = TarWriter(self._stream, user="mcmfh", group="mcmfh", mode=0o644, mtime=0, encoder=False)

    def write(self, key: str, members: Mapping[str, bytes], *, pairs: int = 1) -> None:
        """Append one record.

        Args:
            key: Name of the record.
            members: Contents by extension.
            pairs: How many pairs the record holds.

        Raises:
            DataError: If the key cannot name a member.
        """
        check_key(key)
        self._tar.write({"__key__": key, **members})
        self.pairs += pairs

    def close(self) -> ShardInfo:
        """Finish the tar and give it its name."""
        self._tar.close()
        publish(self._stream, self.path)
        return ShardInfo(self.path.name, self.pairs, self.path.stat().st_size, sha256_of(self.path))

    def abort(self) -> None:
        """Give up: leave nothing behind."""
        with suppress(OSError):
            # A full disk, say, may be why we give up; it must not keep the file from being removed.
            self._tar.close()
            self._stream.close()
        self._part.unlink(missing_ok=True)
