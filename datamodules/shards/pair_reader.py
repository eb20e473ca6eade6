"""Read pair shards at random."""

from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np

from mcmfh_lightning.datamodules.shards.info import DatasetInfo
from mcmfh_lightning.datamodules.shards.pair import Pair, check_pair_members, pair_from_members
from mcmfh_lightning.datamodules.shards.tar import Member, index_tar
from mcmfh_lightning.errors import DataError


class PairShardReader:
    """A split of a pair folder as a sequence.

    Only the headers of a tar are read beforehand, when the first pair of that tar is asked for. Nothing is kept
    open, so a reader may be pickled or forked into the workers of a loader.

    Args:
        folder: A folder of pair shards.
        split: train, val or test; a split that the folder does not have is empty.

    Raises:
        DataError: If the folder does not hold pairs, or a shard is missing or of the wrong size.
    """

    def __init__(self, folder: str | Path, split: str) -> None:
        self.folder = Path(folder)
        self.split = split
        self.info = DatasetInfo.load(folder)
        if self.info.format != "mcmfh-pairs":
            raise DataError(f"{folder} holds {self.info.format}, not pairs: give the folder that the converter wrote")
        self._shards = self.info.split(split).shards
        self._paths = [shard.check_present(self.folder) for shard in self._shards]
        self._starts = np.array([0, *accumulate(shard.pairs for shard in self._shards)])
        self._indexes: dict[int, list[tuple[str, dict[str, Member]]]] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def ids(self) -> list[str]:
        """Ids of all pairs, in order."""
        return [key for number in range(len(self._shards)) for key, _ in self._index(number)]

    def __getitem__(self, position: int) -> Pair:
        """Return the pair at a position from 0 to ``len() - 1``.

        Raises:
            IndexError: If there is no such pair.
            DataError: If its record is damaged.
        """
        if not 0 <= position < len(self):
            raise IndexError(f"pair {position} of {len(self)}")
        number = int(np.searchsorted(self._starts, position, side="right")) - 1
        key, members = self._index(number)[position - int(self._starts[number])]
        with self._paths[number].open("rb") as stream:
            contents = {}
            for extension, member in members.items():
                stream.seek(member.offset)
                contents[extension] = stream.read(member.size)
        try:
            return pair_from_members(key, contents)
        except DataError as error:
            raise DataError(f"shard {self._paths[number]}, pair {key}: {error}; convert again") from error

    def where(self, position: int) -> str:
        """Name the shard and the id of a pair, for messages."""
        number = int(np.searchsorted(self._starts, position, side="right")) - 1
        key, _ = self._index(number)[position - int(self._starts[number])]
        return f"shard {self._paths[number]}, pair {key}"

    def _index(self, number: int) -> list[tuple[str, dict[str, Member]]]:
        if number not in self._indexes:
            records = list(index_tar(self._paths[number]).items())
            for key, members in records:
                try:
                    check_pair_members(members)
                except DataError as error:
                    raise DataError(f"shard {self._paths[number]}, pair {key}: {error}; convert again") from error
            if len(records) != self._shards[number].pairs:
                raise DataError(
                    f"shard {self._paths[number]} holds {len(records)} pairs, dataset.json says"
                    f" {self._shards[number].pairs}: write the folder again"
                )
            self._indexes[number] = records
        return self._indexes[number]
