"""Read pair shards at random."""

import os
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.info import DatasetInfo
from mcmfh_lightning.shards.members import decode_text
from mcmfh_lightning.shards.packing import pack_labels, packed_width, place_checksum, text_hash
from mcmfh_lightning.shards.pair import (
    DESCRIPTION,
    IMAGE_FORMATS,
    Description,
    Pair,
    check_pair_members,
    pair_from_members,
)
from mcmfh_lightning.shards.tar import Member, index_tar, record_key


class _Record(NamedTuple):
    """Where a pair lies, and the checksum of that place."""

    key: str
    members: dict[str, Member]
    place: int


class _Columns(NamedTuple):
    """What is known of all pairs of a split without their images and texts."""

    ids: list[str]
    groups: NDArray[np.int64]
    group_names: list[str]
    labels: NDArray[np.uint8]
    present: NDArray[np.bool_]


class PairShardReader:
    """A split of a pair folder as a sequence.

    Only the headers of a tar are read beforehand, when the first pair of that tar is asked for. Ids, groups, labels and
    presence come from the descriptions of all pairs, which are read when the first of these is asked for. Nothing is
    returned that differs from its checksum, or lies in another place than the writer put it. Nothing is kept open, so a
    reader may be pickled or forked into the workers of a loader.

    Args:
        folder: A folder of pair shards.
        split: train, val or test; a split that the folder does not have is empty.

    Raises:
        DataError: If the folder does not hold pairs, or a shard is missing or of the wrong size.
    """

    def __init__(self, folder: str | Path | ShardFolder, split: str) -> None:
        self.folder = ShardFolder.of(folder)
        self.split = split
        self.info = DatasetInfo.load(self.folder.path)
        if self.info.format != "mcmfh-pairs":
            raise DataError(f"{folder} holds {self.info.format}, not pairs: give the folder that the converter wrote")
        self._shards = self.info.split(split).shards
        self._paths = [self.folder.shard(shard) for shard in self._shards]
        self._starts = np.array([0, *accumulate(shard.pairs for shard in self._shards)])
        self._indexes: dict[int, list[_Record]] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def ids(self) -> list[str]:
        """Ids of all pairs, in order.

        Raises:
            DataError: If a description is damaged; so do the four that follow.
        """
        return self._columns.ids

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) int64: study, article or patient."""
        return self._columns.groups

    @property
    def group_names(self) -> list[str]:
        """The collection's own name of each pair's group, in order."""
        return self._columns.group_names

    @property
    def labels(self) -> NDArray[np.uint8]:
        """(N, ceil(num_labels / 8)) uint8, packed."""
        return self._columns.labels

    @property
    def present(self) -> NDArray[np.bool_]:
        """(N, 2) bool: whether a pair has an image, a text."""
        return self._columns.present

    @cached_property
    def text_hashes(self) -> NDArray[np.int64]:
        """(N,) int64: equal for equal texts, 0 without a text; reads every text.

        Raises:
            DataError: If a text or its description is damaged.
        """
        hashes = []
        for number, record, description in self._descriptions():
            if "txt" not in record.members:
                hashes.append(0)
                continue
            with self._paths[number].open("rb", buffering=0) as stream:
                content = _read(stream.fileno(), record.members["txt"])
            try:
                description.check_member("txt", content)
                hashes.append(text_hash(decode_text(content)))
            except DataError as error:
                raise self._damaged(number, record, error) from error
        return np.array(hashes, dtype=np.int64)

    def load_columns(self) -> None:
        """Read where all pairs lie and what is known of them, so that copies of this reader need not."""
        _ = self._columns

    def __getitem__(self, position: int) -> Pair:
        """Return the pair at a position from 0 to ``len() - 1``.

        Raises:
            IndexError: If there is no such pair.
            DataError: If its record is damaged; the message names shard and pair.
        """
        if not 0 <= position < len(self):
            raise IndexError(f"pair {position} of {len(self)}")
        number, record = self._record(position)
        with self._paths[number].open("rb", buffering=0) as stream:
            contents = {extension: _read(stream.fileno(), member) for extension, member in record.members.items()}
        try:
            return pair_from_members(record.key, contents, record.place)
        except DataError as error:
            raise self._damaged(number, record, error) from error

    def describe(self, position: int) -> Description:
        """Return what is known of the pair at a position, without reading its image and text.

        Raises:
            DataError: As `__getitem__`.
        """
        number, record = self._record(position)
        with self._paths[number].open("rb", buffering=0) as stream:
            content = _read(stream.fileno(), record.members[DESCRIPTION])
        try:
            description = Description.decode(content, record.place)
            description.check_members(record.key, record.members)
        except DataError as error:
            raise self._damaged(number, record, error) from error
        return description

    def find(self, shard: str, name: str) -> int | None:
        """Return the position of a pair of which the shard is known, None if it is not there.

        No other shard is read.

        Args:
            shard: File name of the shard.
            name: Id of the pair.

        Raises:
            DataError: If the shard is damaged.
        """
        key = record_key(name)
        for number, known in enumerate(self._shards):
            if known.name == shard:
                places = (place for place, record in enumerate(self._index(number)) if record.key == key)
                place = next(places, None)
                return None if place is None else int(self._starts[number]) + place
        return None

    def shard_of(self, position: int) -> str:
        """Return the file name of the shard that has the pair at a position."""
        return self._shards[int(np.searchsorted(self._starts, position, side="right")) - 1].name

    def where(self, position: int) -> str:
        """Name the shard and the key of a pair, for messages."""
        number, record = self._record(position)
        return f"shard {self._paths[number]}, pair {record.key}"

    @cached_property
    def _columns(self) -> _Columns:
        ids, groups, group_names, present = [], [], [], []
        known: dict[str, str] = {}  # one string for all pairs of a group
        labels = [np.empty((0, packed_width(self.info.num_labels)), dtype=np.uint8)]
        for number, record, description in self._descriptions():
            try:
                labels.append(pack_labels([description.labels], self.info.label_vocabulary))
            except DataError as error:
                raise self._damaged(number, record, error) from error
            ids.append(description.id)
            groups.append(description.group)
            group_names.append(known.setdefault(description.group_name, description.group_name))
            present.append((any(picture in record.members for picture in IMAGE_FORMATS), "txt" in record.members))
        return _Columns(
            ids,
            np.array(groups, dtype=np.int64),
            group_names,
            np.concatenate(labels),
            np.array(present, dtype=np.bool_).reshape(-1, 2),
        )

    def _descriptions(self) -> Iterator[tuple[int, _Record, Description]]:
        for number, path in enumerate(self._paths):
            with path.open("rb", buffering=0) as stream:
                for record in self._index(number):
                    try:
                        description = Description.decode(
                            _read(stream.fileno(), record.members[DESCRIPTION]), record.place
                        )
                        description.check_members(record.key, record.members)
                    except DataError as error:
                        raise self._damaged(number, record, error) from error
                    yield number, record, description

    def _record(self, position: int) -> tuple[int, _Record]:
        """Return the number of the shard that has the pair, and the pair's record."""
        number = int(np.searchsorted(self._starts, position, side="right")) - 1
        return number, self._index(number)[position - int(self._starts[number])]

    def _index(self, number: int) -> list[_Record]:
        if number not in self._indexes:
            name = self._shards[number].name
            records = [
                _Record(key, members, place_checksum(name, i, key))
                for i, (key, members) in enumerate(index_tar(self._paths[number]).items())
            ]
            for record in records:
                try:
                    check_pair_members(record.members)
                except DataError as error:
                    raise self._damaged(number, record, error) from error
            if len(records) != self._shards[number].pairs:
                raise DataError(
                    f"shard {self._paths[number]} holds {len(records)} pairs, dataset.json says"
                    f" {self._shards[number].pairs}: copy the shard or write the folder again"
                )
            self._indexes[number] = records
        return self._indexes[number]

    def _damaged(self, number: int, record: _Record, error: DataError) -> DataError:
        return DataError(
            f"shard {self._paths[number]}, pair {record.key}: {error}; copy the shard again, or convert again"
        )


def _read(descriptor: int, member: Member) -> bytes:
    return os.pread(descriptor, member.size, member.offset)
