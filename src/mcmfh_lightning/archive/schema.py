"""Columns of an archive's table."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mcmfh_lightning.metrics.functional import packed_width

CODES = ("image_code", "text_code", "case_code")
"""Packed codes; null where the item lacks that modality. The case's code sees what the item has, so it is never
null."""
RELAXED = ("image_relaxed", "text_relaxed", "case_relaxed")
"""The same before the sign: num_bits little-endian float16; null where not kept or without that modality. Plain bytes,
for LanceDB takes lists of floats for vectors, whose nulls it refuses. `relaxed_array` reads them."""

PRIMARY_KEY = {b"lance-schema:unenforced-primary-key": b"true"}
"""What makes two writers that add the same id at once notice each other; see `store`."""

GROUP = ("group", "group_name")
"""Number and own name of an item's group. Tables of version 1 lack the name; see `store`."""

THUMBNAIL_PIXELS = 256
"""Longest side of a stored picture."""


def item_schema(num_bits: int) -> pa.Schema:
    """Schema of a table of items.

    Args:
        num_bits: Bits of a code.
    """
    code, relaxed = pa.binary(packed_width(num_bits)), pa.binary(2 * num_bits)
    fields = [
        pa.field("id", pa.string(), nullable=False, metadata=PRIMARY_KEY),
        pa.field("group", pa.int64(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("has_image", pa.bool_(), nullable=False),
        pa.field("has_text", pa.bool_(), nullable=False),
        *(pa.field(name, code, nullable=name != "case_code") for name in CODES),
        *(pa.field(name, relaxed) for name in RELAXED),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("date", pa.string()),
        pa.field("licence", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        # Content, with --store-content: the report and a JPEG of at most THUMBNAIL_PIXELS a side.
        pa.field("text", pa.string()),
        pa.field("thumbnail", pa.binary()),
        # Where both lie otherwise: a folder or URL of pair shards, and the shard in it.
        pa.field("folder", pa.string()),
        pa.field("shard", pa.string()),
        # The last, where a table of version 1 gets it.
        pa.field("group_name", pa.string(), nullable=False),
    ]
    return pa.schema(fields)


def code_array(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """Packed codes of rows.

    Args:
        column: One of `CODES`, N rows.

    Returns:
        (N, bytes) uint8; zeros where null.
    """
    return _matrix(column).copy()


def relaxed_array(column: pa.ChunkedArray) -> NDArray[np.float16]:
    """Relaxed codes of rows.

    Args:
        column: One of `RELAXED`, N rows.

    Returns:
        (N, num_bits) float16; zeros where null.
    """
    return _matrix(column).copy().view("<f2")


def binary_column(rows: NDArray[np.generic], present: NDArray[np.bool_] | None = None) -> pa.Array:
    """Undo `code_array` and `relaxed_array`.

    Args:
        rows: (N, width) uint8 or float16.
        present: (N,) where there is a code; None: everywhere.
    """
    data = np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder("<"), copy=False))
    width = data.itemsize * data.shape[1]
    valid = None
    if present is not None and not present.all():
        valid = pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
    buffers = [valid, pa.py_buffer(data.tobytes())]
    return pa.Array.from_buffers(pa.binary(width), len(data), buffers)


def _matrix(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    width: int = column.type.byte_width
    chunks = [np.empty((0, width), dtype=np.uint8)]
    for chunk in column.chunks:
        filled = chunk.fill_null(b"\0" * width)
        start = filled.offset * width
        data = np.frombuffer(filled.buffers()[1], dtype=np.uint8)
        chunks.append(data[start : start + len(filled) * width].reshape(-1, width))
    return np.concatenate(chunks)
