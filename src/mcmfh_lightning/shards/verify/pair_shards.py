"""Checks of pair shards, record by record."""

import hashlib
import zlib
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import DatasetInfo, decode_image, text_hash
from mcmfh_lightning.shards.members import decode_text
from mcmfh_lightning.shards.packing import place_checksum
from mcmfh_lightning.shards.pair import DESCRIPTION, Description, check_pair_members
from mcmfh_lightning.shards.verify.across import Items
from mcmfh_lightning.shards.verify.report import (
    CHECKSUMS,
    COUNTS,
    DESCRIPTIONS,
    LABELS,
    MEMBERS,
    PICTURES,
    TEXTS,
    Look,
    Report,
)
from mcmfh_lightning.shards.verify.shard_files import OpenShard, complaint, read_members


@dataclass(frozen=True)
class _Seen:
    """What a worker saw of one record."""

    looks: list[Look]
    description: Description | None = None
    picture: int = 0
    text: int = 0


class PairShards:
    """Reads pair shards.

    Args:
        info: Content of ``dataset.json``.
        report: Where findings go.
    """

    def __init__(self, info: DatasetInfo, report: Report) -> None:
        self._vocabulary = frozenset(info.label_vocabulary)
        self._report = report

    def read(self, split: int, shard: OpenShard, pool: Executor) -> Items:
        """Look at every record of a shard.

        Args:
            split: Position of its split in `SPLITS`.
            shard: The shard.
            pool: Runs the workers.

        Returns:
            The items whose description can be read.
        """
        self._report.look(COUNTS)
        if len(shard.records) != shard.info.pairs:
            complaint = f"{shard.info.name}: {len(shard.records)} pairs, dataset.json says {shard.info.pairs}"
            self._report.find(COUNTS, complaint)
        seen = list(pool.map(lambda record: self._look(shard, *record), enumerate(shard.records)))
        for one in seen:
            self._report.extend(one.looks)
        known = [(one, one.description) for one in seen if one.description is not None]
        return Items.of(
            split,
            [description.id for _, description in known],
            shard.info.name,
            [description.group for _, description in known],
            [description.group_name for _, description in known],
            [one.picture for one, _ in known],
            [one.text for one, _ in known],
        )

    def _look(self, shard: OpenShard, number: int, key: str) -> _Seen:
        where = f"{shard.info.name} {key}"
        try:
            image_format = check_pair_members(shard.records[key])
            contents = read_members(shard, key)
        except (DataError, OSError) as error:
            return _Seen([Look(MEMBERS, f"{where}: {error}")])
        description, looks = self._look_at_description(
            where, key, contents, place_checksum(shard.info.name, number, key)
        )
        picture = text = 0
        if image_format is not None:
            image = contents[image_format]
            looks.append(Look(PICTURES, complaint(where, lambda: decode_image(image))))
            picture = int.from_bytes(hashlib.sha256(image).digest()[:8], "big", signed=True)
        if "txt" in contents:
            unreadable = complaint(where, lambda: _check_text(contents["txt"]))
            looks.append(Look(TEXTS, unreadable))
            text = text_hash(contents["txt"].decode()) if unreadable is None else 0
        return _Seen(looks, description, picture, text)

    def _look_at_description(
        self, where: str, key: str, contents: Mapping[str, bytes], place: int
    ) -> tuple[Description | None, list[Look]]:
        try:
            description = Description.decode(contents[DESCRIPTION], place)
            description.check_members(key, contents)
        except DataError as error:
            return None, [Look(DESCRIPTIONS, f"{where}: {error}")]
        unknown = sorted(set(description.labels) - self._vocabulary)
        damaged = [name for name, crc32 in description.crc32.items() if zlib.crc32(contents[name]) != crc32]
        return description, [
            Look(DESCRIPTIONS),
            Look(LABELS, f"{where}: {', '.join(unknown)}" if unknown else None),
            Look(CHECKSUMS, f"{where}: .{', .'.join(damaged)}" if damaged else None),
        ]


def _check_text(content: bytes) -> None:
    if not decode_text(content).strip():
        raise DataError("the text is blank; an item without a text has no .txt")
