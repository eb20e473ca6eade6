"""Reader of pair shards, at random."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.folder import ShardFolder, SplitReader
from mcmfh_lightning.shards.members import decode_text
from mcmfh_lightning.shards.packing import pack_labels, packed_width, place_checksum, text_hash
from mcmfh_lightning.shards.pair import (
    DESCRIPTION,
    Pair,
    check_member,
    check_pair_members,
    decode_description,
    pair_from_members,
)
from mcmfh_lightning.shards.tar import Member, index_tar, record_key


class _Record(NamedTuple):
    """A record of a shard, with the checksum of its place."""

    path: Path
    key: str
    members: dict[str, Member]
    place: int

    def __str__(self) -> str:
        return f"shard {self.path}, pair {self.key}"


class _Columns(NamedTuple):
    """Descriptions of all pairs of a split, without their images and texts."""

    ids: list[str]
    groups: NDArray[np.int64]
    group_names: list[str]
    labels: NDArray[np.uint8]
    present: NDArray[np.bool_]


class PairShardReader(SplitReader):
    """One or more splits of a pair folder as a sequence.

    Only the headers of a tar are read beforehand, when the first pair of that tar is asked for. Ids, groups, labels and
    presence come from the descriptions of all pairs, which are read when the first of these is asked for. Nothing is
    returned that differs from its checksum, or is in another place than the writer put it. Nothing is kept open, so a
    reader may be pickled or forked into the workers of a loader.

    Args:
        folder: A folder of pair shards.
        split: train, val or test, or several of these; a split that the folder does not have is empty.

    Raises:
        DataError: If the folder does not hold pairs, or a shard is missing or of the wrong size.
    """

    format = "mcmfh-pairs"
    advice = "pairs: give the folder that the converter wrote"

    def __init__(self, folder: str | Path | ShardFolder, split: str | Sequence[str]) -> None:
        super().__init__(folder, split)
        self._paths = [self.folder.shard(shard) for shard in self._shards]
        self._starts = np.array([0, *accumulate(shard.pairs for shard in self._shards)])
        self._indexes: dict[int, list[_Record]] = {}

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
        """Collection's own name of each pair's group, in order."""
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
        for record, file in self._records():
            with _named(record):
                _, checksums = _describe(record, file)  # also checks that a text is not missing
                if "txt" not in record.members:
                    hashes.append(0)
                    continue
                content = record.members["txt"].read(file)
                check_member("txt", content, checksums)
                hashes.append(text_hash(decode_text(content)))
        return np.array(hashes, dtype=np.int64)

    def load_columns(self) -> None:
        """Read where all pairs are and what is known of them, so that copies of this reader need not."""
        _ = self._columns

    def __getitem__(self, position: int) -> Pair:
        """Return the pair at a position from 0 to ``len() - 1``.

        Raises:
            IndexError: If the position is outside the split.
            DataError: If its record is damaged; the message names shard and pair.
        """
        if not 0 <= position < len(self):
            raise IndexError(f"pair {position} of {len(self)}")
        record = self._record(position)
        with _named(record), record.path.open("rb", buffering=0) as stream:
            contents = {extension: member.read(stream.fileno()) for extension, member in record.members.items()}
            return pair_from_members(record.key, contents, record.place)

    def describe(self, position: int) -> Pair:
        """Return the pair at a position without its image and text, which are not read.

        Raises:
            DataError: If its record is damaged; the message names shard and pair.
        """
        record = self._record(position)
        with _named(record), record.path.open("rb", buffering=0) as stream:
            return _describe(record, stream.fileno())[0]

    def find(self, shard: str, name: str) -> int | None:
        """Return the position of a pair of which the shard is known, None if it is not there.

        No other shard is read.

        Args:
            shard: File name of the shard.
            name: Id of the pair.

        Raises:
            DataError: If the shard is damaged.
        """
        names = [known.name for known in self._shards]
        if shard not in names:
            return None
        number, key = names.index(shard), record_key(name)
        found = (int(self._starts[number]) + at for at, record in enumerate(self._index(number)) if record.key == key)
        return next(found, None)

    def shard_of(self, position: int) -> str:
        """Return the file name of the shard that has the pair at a position."""
        return self._shards[int(self._part_of(position))].name

    def where(self, position: int) -> str:
        """Name the shard and the key of a pair, for messages."""
        return str(self._record(position))

    @cached_property
    def _columns(self) -> _Columns:
        ids, groups, group_names, present = [], [], [], []
        known: dict[str, str] = {}  # one string for all pairs of a group
        labels = [np.empty((0, packed_width(self.info.num_labels)), dtype=np.uint8)]
        for record, file in self._records():
            with _named(record):
                pair, _ = _describe(record, file)
                labels.append(pack_labels([pair.labels], self.info.label_vocabulary))
            ids.append(pair.id)
            groups.append(pair.group)
            group_names.append(known.setdefault(pair.group_name, pair.group_name))
            present.append((check_pair_members(record.members) is not None, "txt" in record.members))
        return _Columns(
            ids,
            np.array(groups, dtype=np.int64),
            group_names,
            np.concatenate(labels),
            np.array(present, dtype=np.bool_).reshape(-1, 2),
        )

    def _records(self) -> Iterator[tuple[_Record, int]]:
        """Yield each record with the descriptor of its open shard."""
        for number, path in enumerate(self._paths):
            with path.open("rb", buffering=0) as stream:
                for record in self._index(number):
                    yield record, stream.fileno()

    def _record(self, position: int) -> _Record:
        number = int(self._part_of(position))
        return self._index(number)[position - int(self._starts[number])]

    def _index(self, number: int) -> list[_Record]:
        if number not in self._indexes:
            path = self._paths[number]
            records = [
                _Record(path, key, members, place_checksum(path.name, at, key))
                for at, (key, members) in enumerate(index_tar(path).items())
            ]
            for record in records:
                with _named(record):
                    check_pair_members(record.members)
            if len(records) != self._shards[number].pairs:
                raise DataError(
                    f"shard {path} holds {len(records)} pairs, dataset.json says"
                    f" {self._shards[number].pairs}: copy the shard or write the folder again"
                )
            self._indexes[number] = records
        return self._indexes[number]


@contextmanager
def _named(record: _Record) -> Iterator[None]:
    """Add the name of the pair to errors about its record."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{record}: {error}; copy the shard again, or convert again") from error


def _describe(record: _Record, file: int) -> tuple[Pair, dict[str, int]]:
    return decode_description(record.members[DESCRIPTION].read(file), record.key, record.members, record.place)
