"""Writers of feature shards, from any number of ranks."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import read_json, write_json
from mcmfh_lightning.shards.feature_blocks import BLOCK_PAIRS, Columns, check_columns, encode_block
from mcmfh_lightning.shards.feature_reader import FeatureShardReader
from mcmfh_lightning.shards.info import SPLITS, DatasetInfo, ShardInfo, SplitInfo
from mcmfh_lightning.shards.tar import FolderWriter, read_shards

BLOCKS_PER_SHARD = 64
"""65,536 pairs: about 200 MB of two 768-wide embeddings."""


def _part_file(rank: int) -> str:
    return f"part-{rank:03d}.json"


class FeatureShardWriter(FolderWriter):
    """Writer of the features that one rank computes.

    Rows are gathered into blocks and blocks into shards, so memory holds one block. When every rank has closed its
    writer, rank 0 calls `merge_feature_parts`.

    Args:
        folder: Where to write, the same for all ranks; made if it does not exist.
        rank: The number of this process.
        block_pairs: Pairs of a whole block.

    Raises:
        DataError: If the folder holds finished features, or unfinished ones of this rank.
    """

    def __init__(self, folder: str | Path, *, rank: int, block_pairs: int = BLOCK_PAIRS) -> None:
        if block_pairs < 1:
            raise ValueError(f"block_pairs is {block_pairs}; it must be at least 1")
        super().__init__(folder, rank)
        self._block_pairs = block_pairs
        self._parts: list[Columns] = []
        self._blocks = 0
        patterns = (f"*-{rank:03d}-*.tar*", _part_file(rank))
        leftover = next(chain.from_iterable(self.folder.glob(pattern) for pattern in patterns), None)
        if leftover is not None:
            raise DataError(
                f"{leftover} is left over from an encoding that did not finish:"
                f" delete {self.folder}, or choose another folder"
            )

    def write(
        self,
        split: str,
        ids: Sequence[str],
        image: ArrayLike,
        text: ArrayLike,
        labels: ArrayLike,
        groups: ArrayLike,
        text_hashes: ArrayLike,
        present: ArrayLike | None = None,
        group_names: Sequence[str] | None = None,
    ) -> None:
        """Append n pairs to a split.

        Args:
            split: train, val or test; splits come one after the other.
            ids: n names.
            image: (n, image_dim) floats.
            text: (n, text_dim) floats.
            labels: (n, ceil(num_labels / 8)) uint8, packed.
            groups: (n,) int64.
            text_hashes: (n,) int64.
            present: (n, 2) bool, whether a pair has an image, a text; None if all have both. The embedding and the
                text hash of what is absent are stored as zeros, whatever is given here.
            group_names: n names of the groups, by default their numbers in digits.

        Raises:
            DataError: If an embedding is NaN, infinite or too large for half precision.
            ValueError: If shapes do not agree, or a split comes again after another.
        """
        self._enter(split)
        numbers = np.asarray(groups, dtype=np.int64)
        names = map(str, numbers.tolist()) if group_names is None else group_names
        columns = {
            "ids": np.array(list(ids), dtype=object),
            "image": np.asarray(image, dtype=np.float32),
            "text": np.asarray(text, dtype=np.float32),
            "labels": np.asarray(labels),
            "groups": numbers,
            "group_names": np.array(list(names), dtype=object),
            "text_hashes": np.asarray(text_hashes, dtype=np.int64),
            "present": np.ones((len(ids), 2), dtype=np.bool_) if present is None else np.asarray(present),
        }
        check_columns(columns)
        start = 0
        while start < len(ids):
            end = start + self._block_pairs - sum(len(part["ids"]) for part in self._parts)
            self._parts.append({name: column[start:end] for name, column in columns.items()})
            if end <= len(ids):
                self._finish_block()
            start = end

    def close(self) -> None:
        """Write what is left, and the list of this rank's shards."""
        self._finish_split()
        write_json(self.folder / _part_file(self.rank), self._list_shards())

    def _finish_block(self) -> None:
        if not self._parts:
            return
        block = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        key = f"{self._blocks:06d}"
        self._append(key, encode_block(block, self._place(key)), pairs=len(block["ids"]))
        self._parts = []
        self._blocks += 1
        if self._blocks % BLOCKS_PER_SHARD == 0:
            self._finish_shard()

    def _finish_split(self) -> None:
        self._finish_block()
        self._finish_shard()
        self._blocks = 0


def merge_feature_parts(
    folder: str | Path, info: DatasetInfo, world_size: int, *, expected_ids: Mapping[str, Sequence[str]]
) -> DatasetInfo:
    """Make one data set of what the ranks wrote; for rank 0, after a barrier.

    Args:
        folder: The folder of all ranks' `FeatureShardWriter`.
        info: The entry of the data set, its ``splits`` empty.
        world_size: Number of ranks.
        expected_ids: Ids that must be there, by split, each once.

    Returns:
        ``info`` with its splits, as written to ``dataset.json``.

    Raises:
        DataError: If a rank's part is missing, a part of another run is there, or pairs are missing or there twice.
    """
    folder = Path(folder)
    parts = [_read_part(folder, rank) for rank in range(world_size)]
    merged = {split: SplitInfo.of([shard for part in parts for shard in part.get(split, ())]) for split in SPLITS}
    info = replace(info, splits={split: entry for split, entry in merged.items() if entry.shards})
    known = {shard.name for entry in merged.values() for shard in entry.shards}
    stray = sorted(path.name for path in folder.glob("*.tar*") if path.name not in known)
    if stray:
        raise DataError(f"{folder / stray[0]} is left over from another encoding: delete {folder} and encode again")
    for split in SPLITS:
        _check_ids(split, FeatureShardReader(folder, split, info).ids, expected_ids.get(split, ()))
    info.write(folder)
    for rank in range(world_size):
        (folder / _part_file(rank)).unlink()
    return info


def _read_part(folder: Path, rank: int) -> dict[str, list[ShardInfo]]:
    path = folder / _part_file(rank)
    if not path.exists():
        raise DataError(
            f"{path} is missing: rank {rank} did not finish, or writes to another disk;"
            " give all ranks one shared folder and encode again"
        )
    part = read_json(path)
    if not isinstance(part, dict):
        raise DataError(f"{path} is damaged: delete {folder} and encode again")
    return read_shards(part)


def _check_ids(split: str, found: Sequence[str], expected: Sequence[str]) -> None:
    counts = Counter(found)
    twice = [i for i, count in counts.items() if count > 1]
    missing = [i for i in expected if i not in counts]
    surplus = sorted(counts.keys() - set(expected))
    for what, ids in (("missing", missing), ("there more than once", twice), ("not of this collection", surplus)):
        if ids:
            raise DataError(
                f"split {split}: {len(ids)} pairs are {what} ({', '.join(ids[:3])} ...):"
                " delete the folder and encode again, every loader to its end"
            )
