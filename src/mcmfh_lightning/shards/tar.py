"""Tar files: an index of where each member is, a writer of one tar, and a writer of the tars of a folder."""

import hashlib
import os
import re
import tarfile
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from mcmfh_lightning.errors import DataError, check_choice
from mcmfh_lightning.files import open_part, publish, sha256_of
from mcmfh_lightning.shards.info import DATASET_FILE, ShardInfo, Split
from mcmfh_lightning.shards.members import MAX_BYTES
from mcmfh_lightning.shards.packing import place_checksum

MAX_KEY_LENGTH = 80
"""With the longest extension a member's name still fits into the 100 bytes of a plain tar header."""

# WebDataset takes all before the first full stop as the key, and a slash or a drive would leave the folder.
_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_KEY_LENGTH}}}")


class Member(NamedTuple):
    """Position of the bytes of a tar member.

    Attributes:
        offset: First byte of the content in the file.
        size: Length of the content in bytes.
    """

    offset: int
    size: int

    def read(self, descriptor: int) -> bytes:
        """Read the content from the open tar."""
        return os.pread(descriptor, self.size, self.offset)


def record_key(name: str) -> str:
    """Return the record key of an id: the id itself where it can be one, else a readable key that no other id has.

    >>> record_key("CXR1_1_IM-0001-3001"), record_key("Fälle/7.1")
    ('CXR1_1_IM-0001-3001', 'Falle-7-1-565d790fc7')
    """
    if _KEY.fullmatch(name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    slug = re.sub("[^A-Za-z0-9_]+", "-", plain)[: MAX_KEY_LENGTH - 1 - len(digest)].strip("-")
    return f"{slug or 'item'}-{digest}"


def index_tar(path: Path) -> dict[str, dict[str, Member]]:
    """List the records of an uncompressed tar, reading the 512 bytes of each member's header and nothing else.

    Only plain headers are read, as `ShardWriter` makes them: links, devices, sparse files, and the extended headers
    that rename or resize the next member, are refused like any other member that is not a plain file.

    Args:
        path: The tar.

    Returns:
        Members by extension (``jpg``, ``image.npy``), by record key, in the order of the file.

    Raises:
        DataError: If the tar is damaged, or a member is not a plain file ``key.extension`` with a known extension,
            or too large, or the members of a record do not follow each other.
    """
    records: dict[str, dict[str, Member]] = {}
    offset, last, before = 0, None, "at its beginning"
    try:
        with path.open("rb", buffering=0) as stream:
            total = os.fstat(stream.fileno()).st_size
            while any(header := os.pread(stream.fileno(), tarfile.BLOCKSIZE, offset)):
                entry = tarfile.TarInfo.frombuf(header, "ascii", "surrogateescape")
                offset += tarfile.BLOCKSIZE
                key, _, extension = entry.name.partition(".")
                complaint = _complaint(entry, key, extension, total - offset)
                if complaint is None and (extension in records.get(key, ()) or (key != last and key in records)):
                    complaint = "the record occurs twice"
                if complaint is not None:
                    raise DataError(f"shard {path}, member {entry.name!r}: {complaint}; write the shard again")
                records.setdefault(key, {})[extension] = Member(offset, entry.size)
                offset += -(-entry.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                last, before = key, f"after member {entry.name!r}"
    except (tarfile.HeaderError, OSError) as error:
        raise DataError(f"shard {path} cannot be read {before} ({error}): copy or write it again") from error
    if len(header) < tarfile.BLOCKSIZE:
        raise DataError(f"shard {path} cannot be read {before} (it is cut off): copy or write it again")
    return records


def _complaint(entry: tarfile.TarInfo, key: str, extension: str, left: int) -> str | None:
    """Say why a member is refused, None if it is not; ``left`` bytes of the file follow its header."""
    if entry.type != tarfile.REGTYPE:
        return "not a plain file"
    if not _KEY.fullmatch(key):
        return "not a plain name key.extension"
    kind = extension.rpartition(".")[2]
    if kind not in MAX_BYTES:
        return f"unknown extension (known: {', '.join(MAX_BYTES)})"
    if entry.size > MAX_BYTES[kind]:
        return f"{entry.size} bytes, more than the {MAX_BYTES[kind]} that a .{kind} may have"
    if not 0 <= entry.size <= left:
        return f"it runs beyond the end of the file ({entry.size} bytes, {left} are left)"
    return None


class ShardWriter:
    """Writer of one tar, which takes its name only when it is complete.

    Equal records give equal bytes: owner, mode and time of the members are fixed.

    Args:
        path: The final name.

    Attributes:
        pairs: Pairs written until now.
        records: Records written until now.
    """

    def __init__(self, path: Path) -> None:
        # Only writing needs webdataset: a machine that trains on finished features can do without.
        from webdataset import TarWriter

        self.path = path
        self.pairs = 0
        self.records = 0
        self._stream = open_part(path)
        self._tar = TarWriter(self._stream, user="mcmfh", group="mcmfh", mode=0o644, mtime=0, encoder=False)

    def write(self, key: str, members: Mapping[str, bytes], *, pairs: int = 1) -> None:
        """Append one record.

        Args:
            key: Name of the record.
            members: Contents by extension.
            pairs: How many pairs the record holds.

        Raises:
            ValueError: If the key cannot name a member; `record_key` makes one that can.
            DataError: If a member is too large to be read again.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"key {key!r}: 1 to {MAX_KEY_LENGTH} ASCII letters, digits, '_' or '-' can name a member")
        for extension, content in members.items():
            most = MAX_BYTES[extension.rpartition(".")[2]]
            if len(content) > most:
                raise DataError(
                    f"member {key}.{extension} has {len(content)} bytes, more than {most}: leave the item out"
                )
        self._tar.write({"__key__": key, **members})
        self.pairs += pairs
        self.records += 1

    def close(self) -> ShardInfo:
        """Finish the tar and give it its name."""
        self._tar.close()
        publish(self._stream, self.path)
        return ShardInfo(self.path.name, self.pairs, self.path.stat().st_size, sha256_of(self.path))

    def abort(self) -> None:
        """Stop, and remove the unfinished file."""
        with suppress(OSError):
            # A full disk may be the reason to stop; it must not keep the file from being removed.
            self._tar.close()
            self._stream.close()
        Path(self._stream.name).unlink(missing_ok=True)


class FolderWriter:
    """Writer of the shards of a folder, split by split: what writers of pairs and of features share.

    Args:
        folder: Where to write; made if it does not exist.
        rank: Number of this process, part of the names of its shards.

    Raises:
        DataError: If the folder holds a finished data set.
    """

    def __init__(self, folder: str | Path, rank: int = 0) -> None:
        self.folder = Path(folder)
        self.rank = rank
        self._split = ""
        self._shards: dict[str, list[ShardInfo]] = {}
        self._open: ShardWriter | None = None
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / DATASET_FILE).exists():
            raise DataError(f"{self.folder} holds a finished data set: choose another folder, or delete this one first")

    def _enter(self, split: str) -> None:
        """Make ``split`` the one that is being written."""
        check_choice("split", split, Split)
        if split == self._split:
            return
        if split in self._shards:
            raise ValueError(f"pairs of {split} after those of {self._split}: write split by split")
        self._finish_split()
        self._shards[split] = []
        self._split = split

    def _place(self, key: str) -> int:
        """Return the checksum of the place that the next record will have."""
        return place_checksum(self._shard_name(), 0 if self._open is None else self._open.records, key)

    def _append(self, key: str, members: Mapping[str, bytes], pairs: int = 1) -> None:
        if self._open is None:
            self._open = ShardWriter(self.folder / self._shard_name())
        self._open.write(key, members, pairs=pairs)

    def _finish_shard(self) -> None:
        if self._open is not None:
            self._shards[self._split].append(self._open.close())
            self._open = None

    def _finish_split(self) -> None:
        self._finish_shard()

    def _shard_name(self) -> str:
        return f"{self._split}-{self.rank:03d}-{len(self._shards[self._split]):05d}.tar"

    def _list_shards(self) -> dict[str, list[dict[str, Any]]]:
        """Return the finished shards as plain JSON, by split; `read_shards` is the inverse."""
        return {split: [asdict(shard) for shard in shards] for split, shards in self._shards.items()}


def read_shards(content: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[ShardInfo]]:
    """Read shards by split from plain JSON."""
    return {split: [ShardInfo(**shard) for shard in shards] for split, shards in content.items()}
