"""Checks of feature shards, block by block."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import DatasetInfo, packed_width, unpack_bits
from mcmfh_lightning.shards.feature_blocks import (
    ARRAYS,
    COLUMN_CHECKSUMS,
    COLUMN_CHECKSUMS_TYPE,
    GROUP_NAMES,
    IDS,
    ROW_CHECKSUMS,
    column_checksum,
    columns_of,
    row_checksums,
)
from mcmfh_lightning.shards.members import decode_json, decode_npy
from mcmfh_lightning.shards.packing import name_of_number, place_checksum
from mcmfh_lightning.shards.verify.across import Items
from mcmfh_lightning.shards.verify.report import (
    ABSENT,
    BLOCKS,
    CHECKSUMS,
    COUNTS,
    FINITE,
    LABELS,
    SAYING,
    VARYING,
    Check,
    Look,
    Report,
)
from mcmfh_lightning.shards.verify.shard_files import OpenShard, read_members

MODALITIES = ("image", "text")

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class _Range:
    """Least and greatest value of each dimension, over the rows that have one."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def __or__(self, other: "_Range") -> "_Range":
        return _Range(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


@dataclass(frozen=True)
class _Seen:
    """What a worker saw of one block."""

    looks: list[Look]
    rows: int = 0
    items: Items | None = None
    ranges: tuple[_Range, ...] = ()


class FeatureShards:
    """Reads feature shards.

    Args:
        info: Content of ``dataset.json``.
        report: Where findings go.
    """

    def __init__(self, info: DatasetInfo, report: Report) -> None:
        self._info = info
        self._report = report
        self._ranges: list[tuple[_Range, ...]] = []

    def read(self, split: int, shard: OpenShard, pool: Executor) -> Items:
        """Look at every block of a shard.

        Args:
            split: Position of its split in `SPLITS`.
            shard: The shard.
            pool: Runs the workers.

        Returns:
            The items of the blocks that can be read.
        """
        seen = list(pool.map(lambda block: self._look(split, shard, *block), enumerate(shard.records)))
        for one in seen:
            self._report.extend(one.looks)
        self._ranges += [one.ranges for one in seen if one.ranges]
        if all(one.items is not None for one in seen):  # else the rows of a block are not known
            rows = sum(one.rows for one in seen)
            told = f"{shard.info.name}: {rows} pairs, dataset.json says {shard.info.pairs}"
            self._report.extend([Look(COUNTS, None if rows == shard.info.pairs else told)])
        return Items.join([one.items for one in seen if one.items is not None])

    def check_dimensions(self) -> None:
        """Find dimensions that have one value in all rows of all shards."""
        if sum(split.pairs for split in self._info.splits.values()) < 2:
            return  # a single row has one value everywhere
        for modality, ranges in zip(MODALITIES, zip(*self._ranges, strict=True), strict=False):
            over_all = reduce(_Range.__or__, ranges)
            self._report.look(VARYING, len(over_all.low))
            dead = np.flatnonzero(over_all.low == over_all.high)
            if len(dead):
                dimensions = ", ".join(map(str, dead[:5])) + (" ..." if len(dead) > 5 else "")
                example = f"{modality}: {len(dead)} of {len(over_all.low)} dimensions: {dimensions}"
                self._report.find(VARYING, example, len(dead))

    def _look(self, split: int, shard: OpenShard, number: int, key: str) -> _Seen:
        where = f"{shard.info.name} {key}"
        try:
            contents = read_members(shard, key)
            ids, group_names, arrays = self._decode(contents)
        except (DataError, OSError) as error:
            return _Seen([Look(BLOCKS, f"{where}: {error}")])
        names = [f"{where} {name}" for name in ids]
        present = arrays["present.npy"].astype(np.bool_)
        place = place_checksum(shard.info.name, number, key)
        looks = [
            Look(BLOCKS),
            _checksums(names, where, arrays, contents, place),
            _labels(names, arrays["labels.npy"], self._info.num_labels),
        ]
        usable = []
        for here, modality in zip(present.T, MODALITIES, strict=True):
            embedding = arrays[f"{modality}.npy"].astype(np.float32)
            finite, zero = np.all(np.isfinite(embedding), axis=1), ~np.any(embedding, axis=1)
            silent = zero | _one_value(embedding)
            looks += [
                _rows(FINITE, names, finite, f"{modality} embedding"),
                _rows(SAYING, names, ~(here & silent), f"{modality} embedding"),
                _rows(ABSENT, names, here | zero, f"{modality} embedding of no {modality}"),
            ]
            usable.append(here & finite & ~silent)
        looks.append(_rows(ABSENT, names, np.any(present, axis=1), "neither image nor text"))
        ranges = tuple(_range(arrays[f"{name}.npy"][rows]) for name, rows in zip(MODALITIES, usable, strict=True))
        groups, texts = (arrays[name].astype(np.int64) for name in ("groups.npy", "texts.npy"))
        pictures = np.where(usable[0], _row_hashes(arrays["image.npy"]), 0)
        texts = np.where(present[:, 1], texts, 0)
        items = Items.of(split, ids, shard.info.name, groups, group_names, pictures, texts)
        return _Seen(looks, len(ids), items, ranges)

    def _decode(self, contents: Mapping[str, bytes]) -> tuple[list[str], list[str], Arrays]:
        """Decode the ids, the names of groups and the arrays of a block.

        Raises:
            DataError: If a member is missing, unknown, or not what dataset.json tells of.
        """
        columns = columns_of(contents)
        ids = _names(contents, IDS)
        rows = len(ids)
        widths = {
            "image.npy": self._info.image_dim,
            "text.npy": self._info.text_dim,
            "labels.npy": packed_width(self._info.num_labels),
            "present.npy": 2,
        }
        arrays = {}
        due = {name: ((rows, widths[name]) if name in widths else (rows,), dtype) for name, dtype in ARRAYS.items()}
        for name, (shape, dtype) in {**due, COLUMN_CHECKSUMS: ((len(columns),), COLUMN_CHECKSUMS_TYPE)}.items():
            arrays[name] = decode_npy(contents[name])
            found = (arrays[name].shape, arrays[name].dtype)
            if found != (shape, dtype):
                raise DataError(f"{name} is {found[1]} of shape {found[0]}, {dtype} of shape {shape} expected")
        if GROUP_NAMES not in columns:
            return ids, [name_of_number(number) for number in arrays["groups.npy"].tolist()], arrays
        group_names = _names(contents, GROUP_NAMES)
        if len(group_names) != rows:
            raise DataError(f"{GROUP_NAMES} has {len(group_names)} names, {IDS} has {rows}")
        return ids, group_names, arrays


def _names(contents: Mapping[str, bytes], name: str) -> list[str]:
    names = decode_json(contents[name])
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        raise DataError(f"{name} is not a list of names")
    return names


def _rows(check: Check, names: list[str], good: NDArray[np.bool_], what: str) -> Look:
    """Look at one thing a row."""
    bad = np.flatnonzero(~good)
    return Look(check, f"{names[bad[0]]}: {what}" if len(bad) else None, len(names), len(bad))


def _checksums(names: list[str], where: str, arrays: Arrays, contents: Mapping[str, bytes], place: int) -> Look:
    count = len(names)
    columns = columns_of(contents)
    found = [column_checksum(arrays[name] if name in arrays else contents[name], place) for name in columns]
    damaged = np.flatnonzero(np.array(found) != arrays[COLUMN_CHECKSUMS])
    if len(damaged):
        return Look(CHECKSUMS, f"{where}: {', '.join(columns[i] for i in damaged)}", count, len(damaged))
    sums = row_checksums(arrays, np.arange(count), np.full(count, place, dtype=np.uint32))
    return _rows(CHECKSUMS, names, np.equal(sums, arrays[ROW_CHECKSUMS]), "row")


def _labels(names: list[str], packed: NDArray[np.generic], num_labels: int) -> Look:
    beyond = unpack_bits(packed.astype(np.uint8), 8 * packed.shape[1])[:, num_labels:]
    return _rows(LABELS, names, np.all(beyond == 0, axis=1), f"a label beyond the {num_labels} of the vocabulary")


def _one_value(embedding: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows of more than one number repeat a single one."""
    if embedding.shape[1] == 1:
        return np.zeros(len(embedding), dtype=np.bool_)
    same: NDArray[np.bool_] = np.all(embedding == embedding[:, :1], axis=1)
    return same


def _range(embedding: NDArray[np.generic]) -> _Range:
    values = embedding.astype(np.float32)
    return _Range(values.min(axis=0, initial=np.inf), values.max(axis=0, initial=-np.inf))


def _row_hashes(embedding: NDArray[np.generic]) -> NDArray[np.int64]:
    rows = np.ascontiguousarray(embedding).view(np.uint8)
    digests = (hashlib.blake2b(row, digest_size=8).digest() for row in rows)
    return np.array([int.from_bytes(digest, "big", signed=True) for digest in digests], dtype=np.int64)
