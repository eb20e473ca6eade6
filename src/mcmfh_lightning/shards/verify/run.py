"""Verification of a folder from end to end: every check runs, whatever an earlier one found."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from os import cpu_count
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import sha256_of
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.shards.info import DATASET_FILE, SPLITS, DatasetInfo, ShardInfo
from mcmfh_lightning.shards.packing import place_checksum
from mcmfh_lightning.shards.pair_writer import SKIPPED_FILE
from mcmfh_lightning.shards.tar import Member, index_tar
from mcmfh_lightning.shards.verify import report as checks
from mcmfh_lightning.shards.verify.records import MODALITIES, Item, Place, Seen, look_at_block, look_at_pair
from mcmfh_lightning.shards.verify.report import Look, Report


def verify(folder: ShardFolder, console: Console) -> Report:
    """Look at everything in a folder of pair or feature shards.

    Records are read, and pictures decoded, by one thread a core; Pillow, NumPy and checksums work outside the GIL.

    Args:
        folder: The folder; the shards of a URL are fetched into the cache.
        console: Where progress is shown.

    Returns:
        One row a check.
    """
    try:
        info = DatasetInfo.load(folder.path)
    except DataError as error:
        report = Report([checks.DATASET])
        report.extend([Look(checks.DATASET, str(error))])
        return report
    report = Report(checks.PAIR_CHECKS if info.format == "mcmfh-pairs" else checks.FEATURE_CHECKS)
    report.look(checks.DATASET)
    items: list[Item] = []
    ranges = []
    with Progress(console=console) as progress, ThreadPoolExecutor(cpu_count()) as pool:
        task = progress.add_task("verifying", total=sum(split.pairs for split in info.splits.values()))
        for split in SPLITS:
            for shard in info.split(split).shards:
                seen = _look_at_shard(folder, info, shard, split, report, pool)
                items += chain.from_iterable(one.items for one in seen)
                ranges += [one.ranges for one in seen if one.ranges]
                progress.advance(task, shard.pairs)
    if ranges and sum(split.pairs for split in info.splits.values()) > 1:  # a single row has one value everywhere
        _check_dimensions(ranges, items, report)
    _check_across(items, report)
    _check_leftovers(folder, info, report)
    return report


def _look_at_shard(
    folder: ShardFolder, info: DatasetInfo, shard: ShardInfo, split: str, report: Report, pool: ThreadPoolExecutor
) -> list[Seen]:
    """Check a shard as a file, then each of its records."""
    path = folder.path / shard.name
    report.look(checks.PRESENT)
    try:
        folder.shard(shard)
    except DataError as error:
        report.find(checks.PRESENT, str(error))
        if not path.is_file():
            return []  # else its records may show what is wrong, whatever its size
    try:
        report.look(checks.SHA256)
        found = sha256_of(path)
        if found != shard.sha256:
            report.find(checks.SHA256, f"{shard.name}: {found[:12]}..., dataset.json says {shard.sha256[:12]}...")
        report.look(checks.MEMBERS)
        records = index_tar(path)
    except (DataError, OSError) as error:
        report.find(checks.MEMBERS, str(error))
        return []

    def look(record: tuple[int, tuple[str, dict[str, Member]]]) -> Seen:
        number, (key, members) = record
        place = Place(shard.name, split, key, place_checksum(shard.name, number, key))
        try:
            with path.open("rb", buffering=0) as stream:
                contents = {name: member.read(stream.fileno()) for name, member in members.items()}
        except OSError as error:
            return Seen([Look(checks.MEMBERS, f"{place}: {error}")], None)
        return (look_at_pair if info.format == "mcmfh-pairs" else look_at_block)(place, contents, info)

    seen = list(pool.map(look, enumerate(records.items())))
    for one in seen:
        report.extend(one.looks)
    rows = [one.rows for one in seen if one.rows is not None]
    if len(rows) == len(seen):  # else the number of pairs is not known
        wrong = f"{shard.name}: {sum(rows)} pairs, dataset.json says {shard.pairs}"
        report.extend([Look(checks.COUNTS, None if sum(rows) == shard.pairs else wrong)])
    return seen


def _check_dimensions(ranges: list[tuple[NDArray[np.float32], ...]], items: Sequence[Item], report: Report) -> None:
    """Find dimensions that have one value in all rows of all shards, and modalities of which all have.

    That is right in a small folder to add, with one film several times, or texts that differ by their case alone.
    """
    inputs = {
        "image": len({item.group for item in items if item.picture}),
        "text": len({item.text for item in items} - {0}),
    }
    for modality, parts in zip(MODALITIES, zip(*ranges, strict=True), strict=True):
        low, high = np.min([part[0] for part in parts], axis=0), np.max([part[1] for part in parts], axis=0)
        report.look(checks.VARYING, len(low))
        report.look(checks.DIFFERENT)
        dead = np.flatnonzero(low == high)
        if len(dead) == len(low) and inputs[modality] > 2:
            report.find(checks.DIFFERENT, f"{modality}: the same {len(low)} numbers in each row")
        elif len(dead):
            dimensions = ", ".join(map(str, dead[:5])) + (" ..." if len(dead) > 5 else "")
            report.find(checks.VARYING, f"{modality}: {len(dead)} of {len(low)} dimensions: {dimensions}", len(dead))


def _check_across(items: Sequence[Item], report: Report) -> None:
    """Compare every item with all others: unique ids and groups, and nothing on both sides of a split."""
    report.look(checks.IDS, len(items))
    ids: dict[str, Item] = {}  # the first item that has an id, and so on
    names: dict[str, Item] = {}
    numbers: dict[int, Item] = {}
    for item in items:
        if (first := ids.setdefault(item.id, item)) is not item:
            report.find(checks.IDS, f"{first} and {item}")
        if (first := names.setdefault(item.group_name, item)).group != item.group:
            wrong = f"group {item.group_name!r} has the numbers {first.group} and {item.group}"
            report.find(checks.GROUP_NAMES, f"{wrong}: {first} and {item}")
        if (first := numbers.setdefault(item.group, item)).group_name != item.group_name:
            wrong = f"groups {first.group_name!r} and {item.group_name!r} have one number"
            report.find(checks.GROUP_NAMES, f"{wrong}: {first} and {item}")
    report.look(checks.GROUP_NAMES, len(names))
    report.look(checks.GROUPS, len(numbers))
    for item, other in _in_two_splits(items, "group"):
        report.find(checks.GROUPS, f"group {item.group_name}: {item} and {other}")
    pictures = [item for item in items if item.picture]
    report.look(checks.SAME_PICTURES, len(pictures))
    for item, other in _in_two_splits(pictures, "picture"):
        report.find(checks.SAME_PICTURES, f"{item} and {other}")
    texts = [item for item in items if item.text]
    report.look(checks.SAME_TEXTS, len(texts))
    # Results depend on the items of the evaluation splits whose text is in another split.
    for split in SPLITS[1:]:
        others = {item.text: item for item in reversed(texts) if item.split != split}  # the first one of each text
        ours = [item for item in texts if item.split == split]
        shared = [item for item in ours if item.text in others]
        if shared:
            share = f"{split}: {len(shared)} of {len(ours)} ({len(shared) / len(ours):.1%})"
            report.find(checks.SAME_TEXTS, f"{share}; {shared[0]} and {others[shared[0].text]}", len(shared))


def _in_two_splits(items: Sequence[Item], entry: Literal["group", "picture"]) -> Iterator[tuple[Item, Item]]:
    """Yield, for each value that occurs in two splits, its first item and the first one of another split."""
    first: dict[int, Item | None] = {}
    for item in items:
        value: int = getattr(item, entry)
        before = first.setdefault(value, item)
        if before is not None and before.split != item.split:
            first[value] = None  # once
            yield before, item


def _check_leftovers(folder: ShardFolder, info: DatasetInfo, report: Report) -> None:
    """Find what neither ``dataset.json`` lists nor a command of ours leaves on purpose."""
    expected = {DATASET_FILE, SKIPPED_FILE, *(shard.name for split in info.splits.values() for shard in split.shards)}
    for path in sorted(folder.path.iterdir()):
        report.look(checks.LEFTOVERS)
        if path.name.removesuffix(".lock") not in expected:  # locks: of the cache of a remote folder
            report.find(checks.LEFTOVERS, path.name + "/" * path.is_dir())
