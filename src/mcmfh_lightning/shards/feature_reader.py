"""Reader of feature shards, by row, straight from the tars."""

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import feature_blocks as layout
from mcmfh_lightning.shards.folder import ShardFolder, SplitReader
from mcmfh_lightning.shards.info import DatasetInfo, ShardInfo
from mcmfh_lightning.shards.members import NPY_HEADER_BYTES, read_npy_header
from mcmfh_lightning.shards.packing import place_checksum
from mcmfh_lightning.shards.tar import Member, index_tar

_HALF_EXPONENT = 0x7C00
"""Exponent bits of a half-precision number, all set in NaN and infinity alone."""

_FIX = "copy the shard again or encode again"


@dataclass(frozen=True)
class _Block:
    """A record of a shard: its place, and where in the tar the first rows of its arrays and its names are."""

    path: Path
    key: str
    place: int
    rows: int
    offsets: Mapping[str, int]
    names: Mapping[str, Member]
    column_checksums: Mapping[str, int]

    def __str__(self) -> str:
        return f"shard {self.path}, block {self.key}"


class FeatureShardReader(SplitReader):
    """One or more splits of a feature folder as a table.

    Opening reads the headers of the tars and arrays only. A row of embeddings is read when it is asked for, and no
    other byte; everything else (some 30 bytes a pair) is read whole by `load_columns`, or when first used. All that is
    read is compared with its checksum. May be pickled or forked into the workers of a loader.

    Args:
        folder: A folder of feature shards.
        split: train, val or test, or several of these; a split that the folder does not have is empty.
        info: Content of its ``dataset.json``; read from the folder if not given.

    Raises:
        DataError: If the folder does not hold features, or a shard is missing, of the wrong size, or malformed.
    """

    format = "mcmfh-features"
    advice = "features: encode it with `mcmfh predict`, then use that folder"

    def __init__(
        self, folder: str | Path | ShardFolder, split: str | Sequence[str], info: DatasetInfo | None = None
    ) -> None:
        super().__init__(folder, split, info)
        self._widths = layout.row_widths(self.info)
        self._blocks = [block for shard in self._shards for block in self._index(shard)]
        self._starts = np.cumsum([0, *(block.rows for block in self._blocks)])
        self._files: dict[Path, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}

    @cached_property
    def ids(self) -> list[str]:
        """Ids of all pairs, in order.

        Raises:
            DataError: If a block does not have one id a row, or they are damaged.
        """
        return [name for block in self._blocks for name in self._names(block, layout.IDS)]

    @cached_property
    def group_names(self) -> list[str]:
        """Collection's own name of each pair's group, in order; features of version 2 have numbers only.

        Raises:
            DataError: If a block does not have one name a row, or they are damaged.
        """
        names: list[str] = []
        for block, start in zip(self._blocks, self._starts.tolist(), strict=False):
            if layout.GROUP_NAMES in block.names:
                names += self._names(block, layout.GROUP_NAMES)
            else:
                names += map(str, self.groups[start : start + block.rows].tolist())
        return names

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """(N, ceil(num_labels / 8)) uint8, packed.

        Raises:
            DataError: If they are damaged, as all columns raise, or a bit behind the last label is set: two pairs would
                seem to share a label that does not exist.
        """
        labels = self._column("labels.npy")
        used = self.info.num_labels % 8
        if used and (labels[:, -1] & (0xFF >> used)).any():
            splits = " and ".join(self.splits)
            raise DataError(f"{self.folder}, split {splits}: labels beyond the vocabulary are set; encode again")
        return labels

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """(N,) int64."""
        return self._column("groups.npy")

    @cached_property
    def text_hashes(self) -> NDArray[np.int64]:
        """(N,) int64; 0 without a text."""
        return self._column("texts.npy")

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """(N, 2) bool: whether a pair has an image, a text."""
        return self._column("present.npy").astype(np.bool_)

    @cached_property
    def _row_checksums(self) -> NDArray[np.uint32]:
        return self._column(layout.ROW_CHECKSUMS)

    def load_columns(self) -> None:
        """Read all that `gather` needs besides the embeddings, so that copies of this reader need not."""
        _ = self.labels, self.groups, self.text_hashes, self.present, self._row_checksums

    def gather(self, indices: NDArray[np.int64], dtype: DTypeLike = np.float32) -> dict[str, NDArray[Any]]:
        """Read rows.

        Args:
            indices: (B,) int64 positions in the split, in any order.
            dtype: Type of the embeddings, which are stored as float16.

        Returns:
            The rows, in the order of ``indices``: arrays with the names, shapes and, with the default ``dtype``, the
            types of `mcmfh_lightning.types.FeatureBatch`.

        Raises:
            IndexError: If a position is outside the split.
            DataError: If a row is damaged, or an embedding is NaN or infinite; the message names shard and id.
        """
        indices = np.asarray(indices, dtype=np.int64)
        if len(indices) and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"rows {indices.min()} to {indices.max()} of {len(self)}")
        rows, inverse = np.unique(indices, return_inverse=True)
        stored: dict[str, NDArray[Any]] = {
            **self._embeddings(rows),
            "present.npy": self.present[rows],
            "labels.npy": self.labels[rows],
            "groups.npy": self.groups[rows],
            "texts.npy": self.text_hashes[rows],
        }
        self._check_rows(rows, stored)
        image, text, present, labels, group, text_hash = (column[inverse] for column in stored.values())
        return {
            "image": image.astype(dtype, copy=False),
            "text": text.astype(dtype, copy=False),
            "present": present,
            "labels": labels,
            "group": group,
            "text_hash": text_hash,
            "index": indices,
        }

    def blocks(self) -> Iterator[tuple[str, str, range]]:
        """Yield the file name of the shard, the key and the rows of each block, in order."""
        for block, start in zip(self._blocks, self._starts.tolist(), strict=False):
            yield block.path.name, block.key, range(start, start + block.rows)

    def where(self, position: int) -> str:
        """Name the shard and the id of a pair, for messages."""
        return f"shard {self._blocks[int(self._part_of(position))].path}, pair {self.ids[position]}"

    def _embeddings(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Read the embeddings of ascending rows; rows that follow each other by one call."""
        numbers = self._part_of(rows)
        first = np.flatnonzero((np.diff(rows, prepend=-2) != 1) | (np.diff(numbers, prepend=-1) != 0))
        blocks = [self._blocks[number] for number in numbers[first].tolist()]
        files = [self._file(block.path) for block in blocks]
        begins, ends = first, np.append(first, len(rows))[1:]
        embeddings: dict[str, NDArray[Any]] = {}
        for name in ("image.npy", "text.npy"):
            found = np.empty((len(rows), self._widths[name]), dtype=layout.ARRAYS[name])
            size = found.itemsize * found.shape[1]
            memory = found.reshape(-1).view(np.uint8).data
            offsets = np.array([block.offsets[name] for block in blocks], dtype=np.int64)
            offsets += (rows[first] - self._starts[numbers[first]]) * size
            # The hottest loop of training: some thousand turns a step, nothing in it but the read.
            for i, (file, begin, end, offset) in enumerate(
                zip(files, (begins * size).tolist(), (ends * size).tolist(), offsets.tolist(), strict=True)
            ):
                if os.preadv(file, [memory[begin:end]], offset) != end - begin:
                    raise _shortened(blocks[i])
            embeddings[name] = found
        return embeddings

    def _check_rows(self, rows: NDArray[np.int64], arrays: Mapping[str, NDArray[Any]]) -> None:
        numbers = self._part_of(rows)
        places = np.array([block.place for block in self._blocks], dtype=np.uint32)[numbers]
        sums = layout.row_checksums(arrays, rows - self._starts[numbers], places)
        complaints = {
            "its image embedding is not finite": _not_finite(arrays["image.npy"]),
            "its text embedding is not finite": _not_finite(arrays["text.npy"]),
            "its features differ from their checksum": sums != self._row_checksums[rows],
        }
        for complaint, bad in complaints.items():
            if bad.any():
                raise DataError(f"{self.where(int(rows[np.argmax(bad)]))}: {complaint}; {_FIX}")

    def _index(self, shard: ShardInfo) -> list[_Block]:
        path = self.folder.shard(shard)
        with path.open("rb", buffering=0) as stream:
            blocks = [
                self._block(path, stream.fileno(), number, key, members)
                for number, (key, members) in enumerate(index_tar(path).items())
            ]
        rows = sum(block.rows for block in blocks)
        if rows != shard.pairs:
            raise DataError(f"shard {path} holds {rows} pairs, dataset.json says {shard.pairs}: encode again")
        return blocks

    def _block(self, path: Path, descriptor: int, number: int, key: str, members: Mapping[str, Member]) -> _Block:
        """Read the headers of the arrays of a block, without their content."""
        found, offsets, name = {}, {}, ""
        try:
            columns = layout.columns_of(members)
            for name in layout.ARRAYS:
                size, offset = members[name].size, members[name].offset
                head = os.pread(descriptor, min(NPY_HEADER_BYTES, size), offset)
                shape, dtype, begin = read_npy_header(head, size)
                found[name], offsets[name] = (shape, dtype), offset + begin
            name = ""
            rows = layout.check_arrays(found, columns, self.info)
        except DataError as error:
            member = f"{name}: " if name else ""
            raise DataError(f"shard {path}, block {key}: {member}{error}; encode again") from error
        sums = os.pread(descriptor, 4 * len(columns), offsets[layout.COLUMN_CHECKSUMS])
        return _Block(
            path=path,
            key=key,
            place=place_checksum(path.name, number, key),
            rows=rows,
            offsets=offsets,
            names={name: members[name] for name in (layout.IDS, layout.GROUP_NAMES) if name in members},
            column_checksums=dict(
                zip(columns, np.frombuffer(sums, layout.ARRAYS[layout.COLUMN_CHECKSUMS]).tolist(), strict=True)
            ),
        )

    def _names(self, block: _Block, name: str) -> list[str]:
        """Read the ids of a block, or the names of its groups."""
        member = block.names[name]
        data = self._bytes(block, member.offset, member.size)
        self._check_column(block, name, data)
        try:
            return layout.decode_names(data, name, block.rows)
        except DataError as error:
            raise DataError(f"{block}: {error}; {_FIX}") from error

    def _column(self, name: str) -> NDArray[Any]:
        """Read one small array of all blocks.

        Raises:
            DataError: If it is damaged.
        """
        width = (self._widths[name],) if name in self._widths else ()
        column = np.empty((len(self), *width), dtype=layout.ARRAYS[name])
        size = column[:1].nbytes
        for block, start in zip(self._blocks, self._starts.tolist(), strict=False):
            data = self._bytes(block, block.offsets[name], size * block.rows)
            if name in layout.COLUMNS:
                self._check_column(block, name, data)
            column[start : start + block.rows] = np.frombuffer(data, column.dtype).reshape(block.rows, *width)
        return column

    def _check_column(self, block: _Block, name: str, data: bytes) -> None:
        if layout.column_checksum(data, block.place) != block.column_checksums[name]:
            raise DataError(f"{block}: {name} differs from its checksum; {_FIX}")

    def _bytes(self, block: _Block, offset: int, size: int) -> bytes:
        data = os.pread(self._file(block.path), size, offset)
        if len(data) != size:
            raise _shortened(block)
        return data

    def _file(self, path: Path) -> int:
        """Return the descriptor of a shard, which is open as long as this reader exists."""
        if path not in self._files:
            self._files[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._files[path])
        return self._files[path]


def _shortened(block: _Block) -> DataError:
    return DataError(f"{block}: the file has become shorter since it was opened; {_FIX}")


def _not_finite(halves: NDArray[np.float16]) -> NDArray[np.bool_]:
    """Return of each row whether it holds NaN or infinity; five times as fast as ``np.isfinite``."""
    bad: NDArray[np.bool_] = ((halves.view(np.uint16) & _HALF_EXPONENT) == _HALF_EXPONENT).any(axis=1)
    return bad
