"""Read feature shards by row, straight from the tars through memory maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.datamodules.shards.feature_blocks import ARRAYS, IDS
from mcmfh_lightning.datamodules.shards.info import DatasetInfo, ShardInfo
from mcmfh_lightning.datamodules.shards.members import decode_json
from mcmfh_lightning.datamodules.shards.packing import packed_width
from mcmfh_lightning.datamodules.shards.tar import Member, index_tar
from mcmfh_lightning.errors import DataError


class GatheredFeatures(TypedDict):
    """NumPy twin of `mcmfh_lightning.types.FeatureBatch`; the same shapes and types."""

    image: NDArray[np.float32]
    text: NDArray[np.float32]
    labels: NDArray[np.uint8]
    group: NDArray[np.int64]
    text_hash: NDArray[np.int64]
    index: NDArray[np.int64]


@dataclass(frozen=True)
class _Block:
    """Where the arrays of one record lie: offsets of their first rows in the tar."""

    path: Path
    key: str
    rows: int
    offsets: Mapping[str, int]
    ids: Member


class FeatureShardReader:
    """A split of a feature folder as a table.

    Opening reads the headers of the tars and arrays only. Rows are read through a memory map of the tar, so a process
    reads no more than the rows it asks for, and collections may be larger than memory. Labels, groups and text hashes
    (some 20 bytes a pair) are read whole when first used. May be pickled or forked into the workers of a loader.

    Args:
        folder: A folder of feature shards.
        split: train, val or test; a split that the folder does not have is empty.
        info: Content of its ``dataset.json``; read from the folder if not given.

    Raises:
        DataError: If the folder does not hold features, or a shard is missing, of the wrong size, or malformed.
    """

    def __init__(self, folder: str | Path, split: str, info: DatasetInfo | None = None) -> None:
        self.folder = Path(folder)
        self.split = split
        self.info = DatasetInfo.load(folder) if info is None else info
        if self.info.format != "mcmfh-features" or self.info.image_dim is None or self.info.text_dim is None:
            raise DataError(
                f"{folder} holds {self.info.format}, not features: encode it with `mcmfh predict`, then use that folder"
            )
        widths = {"image.npy": self.info.image_dim, "text.npy": self.info.text_dim}
        self._widths = {**widths, "labels.npy": packed_width(self.info.num_labels)}
        self._blocks = [block for shard in self.info.split(split).shards for block in self._index(shard)]
        self._starts = np.cumsum([0, *(block.rows for block in self._blocks)])
        self._maps: dict[Path, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled as a copy of the whole file.
        return {**self.__dict__, "_maps": {}}

    @cached_property
    def ids(self) -> list[str]:
        """Ids of all pairs, in order.

        Raises:
            DataError: If a block does not have one id a row.
        """
        ids: list[str] = []
        for block in self._blocks:
            content = decode_json(self._bytes(block.path, block.ids.offset, block.ids.size).tobytes())
            if (
                not isinstance(content, list)
                or len(content) != block.rows
                or not all(isinstance(i, str) for i in content)
            ):
                raise DataError(
                    f"shard {block.path}, block {block.key}: {IDS} does not name its {block.rows} pairs; encode again"
                )
            ids += content
        return ids

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """(N, ceil(num_labels / 8)) uint8, packed.

        Raises:
            DataError: If a bit behind the last label is set: two pairs would seem to share a label that is none.
        """
        labels = self._whole("labels.npy")
        used = self.info.num_labels % 8
        if used and (labels[:, -1] & (0xFF >> used)).any():
            raise DataError(f"{self.folder}, split {self.split}: labels beyond the vocabulary are set; encode again")
        return labels

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """(N,) int64."""
        return self._whole("groups.npy")

    @cached_property
    def text_hashes(self) -> NDArray[np.int64]:
        """(N,) int64."""
        return self._whole("texts.npy")

    def gather(self, indices: NDArray[np.int64]) -> GatheredFeatures:
        """Read rows.

        Args:
            indices: (B,) int64 positions in the split, in any order.

        Returns:
            The rows, in the order of ``indices``.

        Raises:
            IndexError: If there is no such row.
            DataError: If an embedding is NaN or infinite; the message names shard and id.
        """
        indices = np.asarray(indices, dtype=np.int64)
        if len(indices) and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"rows {indices.min()} to {indices.max()} of {len(self)}")
        image = np.empty((len(indices), self._widths["image.npy"]), dtype=np.float32)
        text = np.empty((len(indices), self._widths["text.npy"]), dtype=np.float32)
        block_of = np.searchsorted(self._starts, indices, side="right") - 1
        for number in np.unique(block_of):
            here = np.flatnonzero(block_of == number)
            rows = indices[here] - self._starts[number]
            image[here] = self._array(self._blocks[number], "image.npy")[rows]
            text[here] = self._array(self._blocks[number], "text.npy")[rows]
        for name, array in (("image", image), ("text", text)):
            finite = np.isfinite(array).all(axis=1)
            if not finite.all():
                where = self.where(int(indices[np.argmin(finite)]))
                raise DataError(f"{where}: its {name} embedding is not finite; copy the shard or encode again")
        return {
            "image": image,
            "text": text,
            "labels": self.labels[indices],
            "group": self.groups[indices],
            "text_hash": self.text_hashes[indices],
            "index": indices,
        }

    def where(self, position: int) -> str:
        """Name the shard and the id of a pair, for messages."""
        number = int(np.searchsorted(self._starts, position, side="right")) - 1
        return f"shard {self._blocks[number].path}, pair {self.ids[position]}"

    def _index(self, shard: ShardInfo) -> list[_Block]:
        path = shard.check_present(self.folder)
        with path.open("rb") as stream:
            blocks = [self._block(path, stream, key, members) for key, members in index_tar(path).items()]
        rows = sum(block.rows for block in blocks)
        if rows != shard.pairs:
            raise DataError(f"shard {path} holds {rows} pairs, dataset.json says {shard.pairs}: encode again")
        return blocks

    def _block(self, path: Path, stream: BinaryIO, key: str, members: Mapping[str, Member]) -> _Block:
        expected = {*ARRAYS, IDS}
        if members.keys() != expected:
            odd = ", ".join(sorted(members.keys() ^ expected))
            raise DataError(f"shard {path}, block {key}: missing or unknown members ({odd}); encode again")
        rows, offsets = None, {}
        for name, dtype in ARRAYS.items():
            try:
                shape, offsets[name] = _read_header(stream, members[name], dtype)
            except (ValueError, EOFError) as error:
                raise DataError(f"shard {path}, member {key}.{name}: {error}; encode again") from error
            rows = shape[0] if rows is None and shape else rows
            due = (rows, self._widths[name]) if name in self._widths else (rows,)
            if shape != due or not rows:
                raise DataError(
                    f"shard {path}, member {key}.{name}: shape {shape}, {due} expected (dataset.json says"
                    f" image_dim {self.info.image_dim}, text_dim {self.info.text_dim}, {self.info.num_labels} labels);"
                    " encode again"
                )
        return _Block(path, key, int(rows or 0), offsets, members[IDS])

    def _bytes(self, path: Path, offset: int, size: int) -> NDArray[np.uint8]:
        if path not in self._maps:
            self._maps[path] = np.memmap(path, dtype=np.uint8, mode="r")
        return self._maps[path][offset : offset + size]

    def _array(self, block: _Block, name: str) -> NDArray[Any]:
        dtype = ARRAYS[name]
        shape = (block.rows, self._widths[name]) if name in self._widths else (block.rows,)
        size = int(np.prod(shape)) * dtype.itemsize
        return self._bytes(block.path, block.offsets[name], size).view(dtype).reshape(shape)

    def _whole(self, name: str) -> NDArray[Any]:
        width = (self._widths[name],) if name in self._widths else ()
        empty = np.empty((0, *width), dtype=ARRAYS[name])
        return np.concatenate([empty, *(self._array(block, name) for block in self._blocks)])


def _read_header(stream: BinaryIO, member: Member, dtype: np.dtype[np.generic]) -> tuple[tuple[int, ...], int]:
    """Read shape and offset of the first row of an array member, without its content.

    Raises:
        ValueError: If it is not a plain C-ordered array of ``dtype`` that fills the member.
    """
    stream.seek(member.offset)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not version 1.0 of NumPy's format")
    shape, fortran_order, found = np.lib.format.read_array_header_1_0(stream)
    if found != dtype or fortran_order:
        raise ValueError(f"type {found}, {dtype} expected")
    begin = stream.tell()
    if begin + int(np.prod(shape)) * dtype.itemsize != member.offset + member.size:
        raise ValueError(f"shape {shape} does not fill the member")
    return shape, begin
