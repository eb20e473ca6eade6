"""The record of a feature shard: a block of pairs as arrays, with the checksums that every reader compares.

A flipped bit in an embedding is still an embedding, so damage shows only in a checksum. That of the whole file would
make each rank read all of the data, so there are two finer ones, both CRC-32 and both started from the *place* of the
block (`place_checksum`), so that good bytes in the wrong place are found too:

- ``rowcrc.npy`` has one for each row, over everything a row holds and its number in the block (`row_checksums`): to be
  compared for the rows that are read;
- ``colcrc.npy`` has one for each small member (`COLUMNS`), over its content without the array's header
  (`column_checksum`): to be compared when such a column is read as a whole, without the rows.
"""

import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.info import DatasetInfo
from mcmfh_lightning.shards.members import decode_json, encode_json, encode_npy
from mcmfh_lightning.shards.packing import packed_width

BLOCK_PAIRS = 1024
"""Pairs of a whole block: large enough that a header a block costs nothing, small enough to be shuffled as one."""

ROW_ARRAYS: Mapping[str, np.dtype[np.generic]] = {
    "image.npy": np.dtype("<f2"),
    "text.npy": np.dtype("<f2"),
    "labels.npy": np.dtype("u1"),
    "groups.npy": np.dtype("<i8"),
    "texts.npy": np.dtype("<i8"),
    "present.npy": np.dtype("u1"),
}
"""What a row holds, in the order in which its checksum runs over it."""

ROW_CHECKSUMS = "rowcrc.npy"
COLUMN_CHECKSUMS = "colcrc.npy"
"""(c,) one a column, all other arrays have one row a pair."""

ARRAYS: Mapping[str, np.dtype[np.generic]] = {
    **ROW_ARRAYS,
    ROW_CHECKSUMS: np.dtype("<u4"),
    COLUMN_CHECKSUMS: np.dtype("<u4"),
}
"""Array members of a block with their types."""

IDS = "ids.json"
GROUP_NAMES = "groups.json"
"""The collection's own names of the groups. Version 2 of the format has none."""

COLUMNS = ("labels.npy", "groups.npy", "texts.npy", "present.npy", IDS, GROUP_NAMES)
"""The members that are read as a whole, in the order of `COLUMN_CHECKSUMS`."""

FLOAT16_MAX = float(np.finfo(np.float16).max)

Columns = Mapping[str, NDArray[Any]]
"""Columns of n pairs that are to be written, by the names of the arguments of `FeatureShardWriter.write`."""


def columns_of(members: Collection[str]) -> tuple[str, ...]:
    """Return the columns of a block: `COLUMNS`, or those of version 2 of the format.

    Args:
        members: Extensions of the record.

    Raises:
        DataError: If the record is not that of a block.
    """
    odd = {*ARRAYS, IDS, GROUP_NAMES}.symmetric_difference(members)
    if odd - {GROUP_NAMES}:
        raise DataError(f"missing or unknown members ({', '.join(sorted(odd))})")
    return tuple(name for name in COLUMNS if name in members)


def row_widths(info: DatasetInfo) -> dict[str, int]:
    """Return the width of each array of two dimensions; the others have one."""
    embeddings = {"image.npy": info.image_dim or 0, "text.npy": info.text_dim or 0}
    return {**embeddings, "labels.npy": packed_width(info.num_labels), "present.npy": 2}


def check_arrays(
    found: Mapping[str, tuple[tuple[int, ...], np.dtype[np.generic]]], columns: Sequence[str], info: DatasetInfo
) -> int:
    """Check the arrays of a block, and return its number of rows.

    Args:
        found: Shape and type of each of `ARRAYS`.
        columns: Columns of the block.
        info: Content of ``dataset.json``.

    Raises:
        DataError: If an array has another type or shape than it must have, or has no rows.
    """
    widths = row_widths(info)
    rows = next(iter(found["image.npy"][0]), 0)
    for name, (shape, dtype) in found.items():
        due = (len(columns),) if name == COLUMN_CHECKSUMS else (rows, *([widths[name]] if name in widths else []))
        if dtype != ARRAYS[name]:
            raise DataError(f"{name}: type {dtype}, {ARRAYS[name]} expected")
        if shape != due or not rows:
            raise DataError(
                f"{name}: shape {shape}, {due} expected (dataset.json says image_dim {info.image_dim}, text_dim"
                f" {info.text_dim}, {info.num_labels} labels)"
            )
    return rows


def decode_names(data: bytes, name: str, rows: int) -> list[str]:
    """Decode the ids or the names of the groups of a block.

    Raises:
        DataError: If there is not one name a row.
    """
    names = decode_json(data)
    if not isinstance(names, list) or len(names) != rows or not all(isinstance(one, str) for one in names):
        raise DataError(f"{name} does not have a name for each of its {rows} pairs")
    return names


def row_checksums(
    arrays: Mapping[str, NDArray[np.generic]], rows: NDArray[np.int64], places: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Return the checksums of n rows, of one block or of several.

    One call for a batch: some 2 microseconds a row of 3 kB, a tenth of the time of reading it.

    Args:
        arrays: The rows of each of `ROW_ARRAYS` by name, in the stored types; others are ignored.
        rows: (n,) number of each row in its block.
        places: (n,) `place_checksum` of the block of each row.

    Returns:
        (n,) uint32.
    """
    stored = [np.asarray(arrays[name], dtype=dtype) for name, dtype in ROW_ARRAYS.items()]
    parts = [part if part.ndim == 2 else part[:, None] for part in (*stored, rows.astype("<i8"))]
    together = np.concatenate([np.ascontiguousarray(part).view(np.uint8) for part in parts], axis=1)
    return np.array(
        [zlib.crc32(row, place) for row, place in zip(together, places.tolist(), strict=True)], dtype=np.uint32
    )


def column_checksum(content: bytes | NDArray[np.generic], place: int) -> int:
    """Return the checksum of a whole column.

    Args:
        content: One of `COLUMNS` of one block: the array in its stored type, or the bytes of the member.
        place: `place_checksum` of the block.
    """
    return zlib.crc32(content if isinstance(content, bytes) else content.tobytes(), place)


def check_columns(columns: Columns) -> None:
    """Check the columns of n pairs that are to be written.

    Raises:
        ValueError: If shapes or types do not agree, or a pair has neither image nor text.
    """
    rows = len(columns["ids"])
    for name, column in columns.items():
        dimensions = 2 if name in ("image", "text", "labels", "present") else 1
        if column.ndim != dimensions or len(column) != rows:
            raise ValueError(f"{name} has shape {column.shape}; {rows} ids need {dimensions} dimensions, {rows} rows")
    labels, present = columns["labels"], columns["present"]
    if labels.dtype != np.uint8:
        raise ValueError(f"labels are {labels.dtype}; pack them into uint8 with pack_labels()")
    if present.dtype != np.bool_ or present.shape[1] != 2:
        raise ValueError(f"present is {present.dtype} of shape {present.shape}; it has two bools a pair: image, text")
    if not present.any(axis=1).all():
        raise ValueError("present has a pair with neither image nor text; leave it out")


def encode_block(columns: Columns, place: int) -> dict[str, bytes]:
    """Turn the columns of a block into the members of its record, by extension.

    What is absent is written as zeros, whatever was given.

    Args:
        columns: As `check_columns` takes them.
        place: `place_checksum` of the record.

    Raises:
        DataError: If an embedding is NaN, infinite or too large for half precision.
    """
    has_image, has_text = columns["present"].T
    content = {
        "image.npy": _halved(columns, "image", has_image),
        "text.npy": _halved(columns, "text", has_text),
        "labels.npy": columns["labels"],
        "groups.npy": columns["groups"],
        "texts.npy": np.where(has_text, columns["text_hashes"], 0),
        "present.npy": columns["present"],
    }
    count = len(columns["ids"])
    arrays = {name: content[name].astype(dtype) for name, dtype in ROW_ARRAYS.items()}
    names = {IDS: encode_json(list(columns["ids"])), GROUP_NAMES: encode_json(list(columns["group_names"]))}
    sums = [column_checksum(names[name] if name in names else arrays[name], place) for name in COLUMNS]
    arrays[ROW_CHECKSUMS] = row_checksums(arrays, np.arange(count), np.full(count, place, dtype=np.uint32))
    arrays[COLUMN_CHECKSUMS] = np.array(sums, dtype=ARRAYS[COLUMN_CHECKSUMS])
    return {**{name: encode_npy(array) for name, array in arrays.items()}, **names}


def _halved(columns: Columns, name: str, present: NDArray[np.bool_]) -> NDArray[np.float16]:
    array = np.where(present[:, None], columns[name], 0)
    # Written so that NaN fails too: every comparison with it is false.
    fits = (np.abs(array) <= FLOAT16_MAX).all(axis=1)
    if not fits.all():
        raise DataError(
            f"pair {columns['ids'][int(np.argmin(fits))]}: its {name} embedding is not finite or exceeds"
            f" {FLOAT16_MAX:.0f}, the largest half-precision number; check the encoder's weights and its precision"
        )
    return array.astype(np.float16)
