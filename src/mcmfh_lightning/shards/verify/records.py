"""Checks of one record: a pair, or a block of features."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import feature_blocks as layout
from mcmfh_lightning.shards.info import DatasetInfo
from mcmfh_lightning.shards.members import decode_image, decode_npy, decode_text
from mcmfh_lightning.shards.packing import hash_number, text_hash, unpack_bits
from mcmfh_lightning.shards.pair import DESCRIPTION, check_pair_members, decode_description
from mcmfh_lightning.shards.verify import report as checks
from mcmfh_lightning.shards.verify.report import Check, Look

MODALITIES = ("image", "text")

Arrays = Mapping[str, NDArray[Any]]


class Place(NamedTuple):
    """A record: file name of its shard, its split, key, and `place_checksum`."""

    shard: str
    split: str
    key: str
    checksum: int

    def __str__(self) -> str:
        return f"{self.shard} {self.key}"


class Item(NamedTuple):
    """Entry of an item for comparing it with all others.

    Attributes:
        shard: File name of its shard.
        split: Its split.
        id: Its id.
        group: Number of its group.
        group_name: Name of its group.
        picture: Number that is equal for equal pictures; 0 where there is none to compare.
        text: Number that is equal for equal texts; 0 where there is none.
    """

    shard: str
    split: str
    id: str
    group: int
    group_name: str
    picture: int
    text: int

    def __str__(self) -> str:
        return f"{self.shard} {self.id}"


class Seen(NamedTuple):
    """The results of all checks in one record.

    Attributes:
        looks: The checks.
        rows: Number of its pairs, None if that is not known.
        items: The pairs that can be compared with others.
        ranges: Least and greatest value of each dimension of the image and text embeddings, over the rows that have
            one: two arrays (2, dim), or none.
    """

    looks: list[Look]
    rows: int | None
    items: Sequence[Item] = ()
    ranges: tuple[NDArray[np.float32], ...] = ()


def look_at_pair(place: Place, contents: Mapping[str, bytes], info: DatasetInfo) -> Seen:
    """Check the record of a pair.

    Args:
        place: The record.
        contents: Its members by extension.
        info: Content of ``dataset.json``.
    """
    try:
        image_format = check_pair_members(contents)
    except DataError as error:
        return Seen([Look(checks.MEMBERS, f"{place}: {error}")], 1)
    looks: list[Look] = []
    picture = text = 0
    if image_format is not None:
        image = contents[image_format]
        looks.append(_attempt(checks.PICTURES, place, lambda: decode_image(image)))
        picture = hash_number(image)
    if "txt" in contents:
        looks.append(_attempt(checks.TEXTS, place, lambda: _check_text(contents["txt"])))
        text = text_hash(contents["txt"].decode()) if looks[-1].complaint is None else 0
    try:
        pair, checksums = decode_description(contents[DESCRIPTION], place.key, contents, place.checksum)
    except DataError as error:
        return Seen([*looks, Look(checks.DESCRIPTIONS, f"{place}: {error}")], 1)
    unknown = sorted(set(pair.labels) - set(info.label_vocabulary))
    damaged = [extension for extension, crc32 in checksums.items() if zlib.crc32(contents[extension]) != crc32]
    looks += [
        Look(checks.DESCRIPTIONS),
        Look(checks.LABELS, f"{place}: {', '.join(unknown)}" if unknown else None),
        Look(checks.CHECKSUMS, f"{place}: .{', .'.join(damaged)}" if damaged else None),
    ]
    return Seen(looks, 1, [Item(place.shard, place.split, pair.id, pair.group, pair.group_name, picture, text)])


def look_at_block(place: Place, contents: Mapping[str, bytes], info: DatasetInfo) -> Seen:
    """Check the record of a block of features; arguments as for `look_at_pair`."""
    try:
        columns = layout.columns_of(contents)
        arrays: dict[str, NDArray[Any]] = {name: decode_npy(contents[name]) for name in layout.ARRAYS}
        rows = layout.check_arrays({name: (array.shape, array.dtype) for name, array in arrays.items()}, columns, info)
        ids = layout.decode_names(contents[layout.IDS], layout.IDS, rows)
        groups: list[int] = arrays["groups.npy"].tolist()
        group_names = list(map(str, groups))
        if layout.GROUP_NAMES in columns:
            group_names = layout.decode_names(contents[layout.GROUP_NAMES], layout.GROUP_NAMES, rows)
    except DataError as error:
        return Seen([Look(checks.BLOCKS, f"{place}: {error}")], None)
    names = [f"{place} {name}" for name in ids]
    present = arrays["present.npy"].astype(np.bool_)
    beyond = unpack_bits(arrays["labels.npy"], 8 * arrays["labels.npy"].shape[1])[:, info.num_labels :]
    looks = [
        Look(checks.BLOCKS),
        _checksums(place, names, arrays, contents, columns),
        _rows(checks.LABELS, names, ~beyond.any(axis=1), f"a label beyond the {info.num_labels} of the vocabulary"),
        _rows(checks.ABSENT, names, present.any(axis=1), "neither image nor text"),
    ]
    usable, ranges = [], []
    for here, modality in zip(present.T, MODALITIES, strict=True):
        embedding = arrays[f"{modality}.npy"].astype(np.float32)
        finite, zero = np.isfinite(embedding).all(axis=1), ~embedding.any(axis=1)
        silent = zero | ((embedding == embedding[:, :1]).all(axis=1) & (embedding.shape[1] > 1))
        looks += [
            _rows(checks.FINITE, names, finite, f"{modality} embedding"),
            _rows(checks.SAYING, names, ~(here & silent), f"{modality} embedding"),
            _rows(checks.ABSENT, names, here | zero, f"{modality} embedding of no {modality}"),
        ]
        usable.append(here & finite & ~silent)
        values = embedding[usable[-1]]
        ranges.append(np.stack([values.min(axis=0, initial=np.inf), values.max(axis=0, initial=-np.inf)]))
    pictures = [hash_number(row.tobytes()) * bool(use) for row, use in zip(arrays["image.npy"], usable[0], strict=True)]
    texts = np.where(present[:, 1], arrays["texts.npy"], 0).tolist()
    columns_of_items = zip(ids, groups, group_names, pictures, texts, strict=True)
    items = [Item(place.shard, place.split, *values) for values in columns_of_items]
    return Seen(looks, rows, items, tuple(ranges))


def _attempt(check: Check, place: Place, look: Callable[[], object]) -> Look:
    try:
        look()
    except DataError as error:
        return Look(check, f"{place}: {error}")
    return Look(check)


def _check_text(content: bytes) -> None:
    if not decode_text(content).strip():
        raise DataError("the text is blank; an item without a text has no .txt")


def _rows(check: Check, names: list[str], good: ArrayLike, what: str) -> Look:
    """Look at one thing a row."""
    bad = np.flatnonzero(np.logical_not(good))
    return Look(check, f"{names[bad[0]]}: {what}" if len(bad) else None, len(names), len(bad))


def _checksums(
    place: Place, names: list[str], arrays: Arrays, contents: Mapping[str, bytes], columns: Sequence[str]
) -> Look:
    count = len(names)
    found = [layout.column_checksum(arrays.get(name, contents[name]), place.checksum) for name in columns]
    damaged = np.flatnonzero(np.array(found) != arrays[layout.COLUMN_CHECKSUMS])
    if len(damaged):
        return Look(
            checks.CHECKSUMS, f"{place}: {', '.join(columns[i] for i in damaged.tolist())}", count, len(damaged)
        )
    sums = layout.row_checksums(arrays, np.arange(count), np.full(count, place.checksum, dtype=np.uint32))
    return _rows(checks.CHECKSUMS, names, np.equal(sums, arrays[layout.ROW_CHECKSUMS]), "row")
