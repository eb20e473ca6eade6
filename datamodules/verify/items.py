"""What is remembered of every item, to compare it with all others: its id and 40 bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Items:
    """n items, in the order of their shards.

    Attributes:
        ids: n ids.
        shards: n names of shards.
        splits: (n,) positions in `SPLITS`.
        groups: (n,) int64.
        group_names: n names of the groups.
        pictures: (n,) int64, equal for equal pictures; 0 where there is none to compare.
        texts: (n,) int64 `text_hash`; 0 where there is none to compare.
    """

    ids: Sequence[str]
    shards: Sequence[str]
    splits: NDArray[np.int64]
    groups: NDArray[np.int64]
    group_names: Sequence[str]
    pictures: NDArray[np.int64]
    texts: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        split: int,
        ids: Sequence[str],
        shard: str,
        groups: Sequence[int] | NDArray[np.int64],
        group_names: Sequence[str],
        pictures: Sequence[int] | NDArray[np.int64],
        texts: Sequence[int] | NDArray[np.int64],
    ) -> "Items":
        """Make the items of one shard."""
        splits, groups, pictures, texts = (
            np.asarray(column, dtype=np.int64) for column in ([split] * len(ids), groups, pictures, texts)
        )
        return cls(ids, [shard] * len(ids), splits, groups, group_names, pictures, texts)

    def place(self, row: int) -> str:
        """Name shard and id of an item."""
        return f"{self.shards[row]} {self.ids[row]}"

    @classmethod
    def join(cls, parts: Sequence["Items"]) -> "Items":
        """Put the items of all shards together."""
        if not parts:
            return cls.of(0, [], "", [], [], [], [])
        return cls(
            [one for part in parts for one in part.ids],
            [shard for part in parts for shard in part.shards],
            np.concatenate([part.splits for part in parts]),
            np.concatenate([part.groups for part in parts]),
            [name for part in parts for name in part.group_names],
            np.concatenate([part.pictures for part in parts]),
            np.concatenate([part.texts for part in parts]),
        )
