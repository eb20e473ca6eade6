"""Copies of a folder of shards with other labels, and what a folder says of the pairs that it was made of.

Features keep the settings of their pairs below ``settings["pairs"]``, and the checksum of their pairs' shards as
``settings["pairs_sha256"]``. A folder whose labels were replaced says so in the entry ``relabeled`` of the settings of
the pairs.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from mcmfh_lightning.errors import DataError, say
from mcmfh_lightning.files import PART_SUFFIX, atomic_write
from mcmfh_lightning.shards.feature_blocks import encode_block
from mcmfh_lightning.shards.feature_reader import FeatureShardReader
from mcmfh_lightning.shards.folder import LOCK_FILE
from mcmfh_lightning.shards.info import DATASET_FILE, SPLITS, DatasetInfo, ShardInfo, SplitInfo
from mcmfh_lightning.shards.packing import pack_labels, place_checksum
from mcmfh_lightning.shards.pair import pair_to_members
from mcmfh_lightning.shards.pair_reader import PairShardReader
from mcmfh_lightning.shards.pair_writer import SKIPPED_FILE
from mcmfh_lightning.shards.tar import ShardWriter, record_key

RELABELED = "relabeled"
_ABOUT = ("made_of", "table", "pairs_without_row", "rows_without_pair")
"""Entries of it that do not decide the labels."""


def shards_sha256(info: DatasetInfo) -> str:
    """Return one checksum of all shards of a folder."""
    # In the order of the file, as earlier versions noted it.
    shards = [shard.sha256 for split in info.splits.values() for shard in split.shards]
    return hashlib.sha256("".join(shards).encode()).hexdigest()


def conversion(info: DatasetInfo) -> Mapping[str, Any]:
    """Return the settings of the conversion of the pairs; empty if features do not have them."""
    return info.settings if info.format == "mcmfh-pairs" else info.settings.get("pairs") or {}


def relabeling(info: DatasetInfo) -> Mapping[str, Any] | None:
    """Return how labels were replaced since the conversion, None if they were not."""
    found = conversion(info).get(RELABELED)
    return found if isinstance(found, Mapping) else None


def items_sha256(info: DatasetInfo) -> str | None:
    """Return a checksum that is equal for folders of the same pairs: encoded, relabeled, or both, in any order.

    It is that of the shards of the first pairs; None for features that do not say what they were made of.
    """
    if (found := relabeling(info)) is not None:
        return found.get("pairs_sha256")
    return shards_sha256(info) if info.format == "mcmfh-pairs" else info.settings.get("pairs_sha256")


def labels_of(info: DatasetInfo) -> Mapping[str, Any] | None:
    """Return what decides the labels of a folder since they were replaced, None if they were not.

    Equal for pairs and features that were relabeled by the same table in the same way.
    """
    found = relabeling(info)
    return None if found is None else {name: value for name, value in found.items() if name not in _ABOUT}


def relabeled_settings(info: DatasetInfo, how: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a copy of a folder with other labels.

    Args:
        info: Entry of the folder that is copied.
        how: Table of the labels and how it was read; plain JSON.
        summary: Counts of the new labels, which replace those of the conversion's summary.
    """
    made_of = {"shards_sha256": shards_sha256(info), "format": info.format, "labels": info.num_labels}
    if (earlier := relabeling(info)) is not None:
        made_of[RELABELED] = earlier
    known = conversion(info)
    settings = {
        **known,
        "summary": {**known.get("summary", {}), **summary},
        RELABELED: {**how, "pairs_sha256": items_sha256(info), "made_of": made_of},
    }
    return settings if info.format == "mcmfh-pairs" else {**info.settings, "pairs": settings}


_Record = tuple[str, str, int, Callable[[int], Mapping[str, bytes]]]
"""A record of a shard: the shard's name, its key, its number of pairs, and what makes its members for a place."""


def write_relabeled(
    reader: PairShardReader | FeatureShardReader,
    label_sets: Sequence[tuple[str, ...]],
    info: DatasetInfo,
    out: Path,
    console: Console,
) -> DatasetInfo:
    """Copy a folder with other labels; shards keep their names, records their order.

    ``dataset.json`` is written last, so that an interrupted copy is not a data set; repeated, it begins again.

    Args:
        reader: All splits of the folder, in the order of `SPLITS`.
        label_sets: Labels of each pair, in the order of the reader.
        info: Entry of the copy, with its vocabulary; ``splits`` are replaced.
        out: Folder to write, which exists, and into which nobody else writes.
        console: Where to say what is not copied.

    Returns:
        ``info`` with its splits, as written.

    Raises:
        DataError: If a record is damaged, or ``out`` holds anything that an earlier try did not leave there.
    """
    names = [shard.name for split in SPLITS for shard in reader.info.split(split).shards]
    _check_free(out, names)
    try:
        shards = [
            _write_shard(out / name, held) for name, held in groupby(_records(reader, label_sets, info), itemgetter(0))
        ]
        skipped = reader.folder.path / SKIPPED_FILE
        if skipped.is_symlink():
            say(f"{skipped} is a link, which may lead anywhere: it is not copied", console)
        elif skipped.is_file():
            with atomic_write(out / SKIPPED_FILE) as stream:
                stream.write(skipped.read_bytes())
        by_split = {split: [shard for shard in shards if shard.name.startswith(f"{split}-")] for split in SPLITS}
        info = replace(info, splits={split: SplitInfo.of(held) for split, held in by_split.items() if held})
        info.write(out)
    except BaseException:
        for name in (*names, SKIPPED_FILE):
            (out / name).unlink(missing_ok=True)
        raise
    return info


def _check_free(out: Path, names: Sequence[str]) -> None:
    """Refuse a folder that holds anything but what an interrupted copy of the shards of these names leaves."""
    ours = {SKIPPED_FILE, LOCK_FILE, *names}
    found = sorted(path.name for path in out.iterdir())
    if DATASET_FILE in found:
        raise DataError(f"{out} holds a finished data set: choose another --out, or delete this folder first")
    if foreign := [name for name in found if name.removesuffix(PART_SUFFIX) not in ours]:
        raise DataError(f"{out} holds other files ({foreign[0]}): choose another --out")


def _write_shard(path: Path, records: Iterator[_Record]) -> ShardInfo:
    writer = ShardWriter(path)
    try:
        for _, key, pairs, members in records:
            writer.write(key, members(place_checksum(path.name, writer.records, key)), pairs=pairs)
        return writer.close()
    except BaseException:
        writer.abort()
        raise


def _records(
    reader: PairShardReader | FeatureShardReader, label_sets: Sequence[tuple[str, ...]], info: DatasetInfo
) -> Iterator[_Record]:
    if isinstance(reader, PairShardReader):
        for position, labels in enumerate(label_sets):
            pair = replace(reader[position], labels=labels)
            yield reader.shard_of(position), record_key(pair.id), 1, partial(pair_to_members, pair)
        return
    packed = pack_labels(label_sets, info.label_vocabulary)
    for shard, key, rows in reader.blocks():
        yield shard, key, len(rows), partial(_block, reader, np.array(rows), packed)


def _block(
    reader: FeatureShardReader, rows: NDArray[np.int64], packed: NDArray[np.uint8], place: int
) -> dict[str, bytes]:
    found = reader.gather(rows, np.float16)
    columns = {
        "ids": np.array([reader.ids[row] for row in rows], dtype=object),
        "image": found["image"],
        "text": found["text"],
        "labels": packed[rows],
        "groups": found["group"],
        "group_names": np.array([reader.group_names[row] for row in rows], dtype=object),
        "text_hashes": found["text_hash"],
        "present": found["present"],
    }
    return encode_block(columns, place)
