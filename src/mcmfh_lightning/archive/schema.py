"""Columns of an archive's table, and the values that are written to them and read from them."""

import io
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from mcmfh_lightning.archive.results import Facets, Modality, Side
from mcmfh_lightning.searches import SEARCHES, SearchName
from mcmfh_lightning.shards import decode_image, packed_width

# Packed codes; null where the item lacks that modality. The case's code sees what the item has, so it is never null.
CODES = ("image_code", "text_code", "case_code")
# The same before the sign: num_bits little-endian float16, null where not kept or without that modality. Plain bytes,
# because LanceDB takes lists of floats for vectors, whose nulls it refuses.
RELAXED = ("image_relaxed", "text_relaxed", "case_relaxed")
# Codes of an item as a query, one after the other in the order of `QUERIES`: only where the code of a query depends on
# what it searches. Null where the item lacks that modality; the relaxed ones also where not kept.
QUERY_CODES = ("image_query_codes", "text_query_codes")
QUERY_RELAXED = ("image_query_relaxed", "text_query_relaxed")
QUERIES: Mapping[Modality, tuple[SearchName, ...]] = {
    modality: tuple(name for name, search in SEARCHES.items() if search.query == modality)
    for modality in ("image", "text")
}
# Lets two writers that add the same id at once notice each other; see `store`.
PRIMARY_KEY = {b"lance-schema:unenforced-primary-key": b"true"}
# Number and own name of an item's group. Tables of version 1 lack the name; see `store`.
GROUP = ("group", "group_name")
THUMBNAIL_PIXELS = 256  # longest side of a stored picture
_JPEG_QUALITY = 85  # hard to distinguish from the original by eye at this size


class QueryCode(NamedTuple):
    """Code of a query.

    Attributes:
        packed: (bytes,) packed bits.
        relaxed: (num_bits,) the same before the sign, or None if the archive does not keep it.
    """

    packed: NDArray[np.uint8]
    relaxed: NDArray[np.float16] | None


QueryCodes = Mapping[Side, QueryCode]
"""Codes of a query, each by what those items have that it is compared with (`COMPARED`); a single one serves all."""


class PictureCodes(NamedTuple):
    """Codes of a picture.

    Attributes:
        query: Those that it searches by.
        item: The one that it would have as the image of an item; equal pictures have the same.
    """

    query: QueryCodes
    item: QueryCode


class CodeColumns(NamedTuple):
    """Two columns of codes: packed, and before the sign.

    Attributes:
        codes: Name of the packed codes.
        relaxed: Name of the relaxed codes.
        side: What an item must have to have them.
        parts: Codes of a row, one after the other, by their names in `mcmfh_lightning.hashers.items.item_codes`.
    """

    codes: str
    relaxed: str
    side: Side
    parts: tuple[Side | SearchName, ...]


def code_columns(*, query_codes: bool) -> tuple[CodeColumns, ...]:
    """List the columns of codes.

    Args:
        query_codes: Whether the codes of queries are among them.
    """
    sides: tuple[Side, ...] = ("image", "text", "case")
    columns = tuple(map(CodeColumns, CODES, RELAXED, sides, ((side,) for side in sides)))
    return columns + tuple(map(CodeColumns, QUERY_CODES, QUERY_RELAXED, QUERIES, QUERIES.values())) * query_codes


def item_schema(num_bits: int, *, query_codes: bool = False) -> pa.Schema:
    """Make the schema of a table of items.

    Args:
        num_bits: Bits of a code.
        query_codes: Whether items have codes as queries of their own.
    """
    columns = code_columns(query_codes=query_codes)
    fields = [
        pa.field("id", pa.string(), nullable=False, metadata=PRIMARY_KEY),
        pa.field("group", pa.int64(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("has_image", pa.bool_(), nullable=False),
        pa.field("has_text", pa.bool_(), nullable=False),
        *(
            pa.field(one.codes, pa.binary(len(one.parts) * packed_width(num_bits)), nullable=one.side != "case")
            for one in columns
        ),
        *(pa.field(one.relaxed, pa.binary(len(one.parts) * 2 * num_bits)) for one in columns),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("date", pa.string()),
        pa.field("licence", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        # Content, with --store-content: the report and a JPEG of at most THUMBNAIL_PIXELS a side.
        pa.field("text", pa.string()),
        pa.field("thumbnail", pa.binary()),
        # Where both are stored otherwise: a folder or URL of pair shards, and the shard in it.
        pa.field("folder", pa.string()),
        pa.field("shard", pa.string()),
        # The last, where a table of version 1 gets it.
        pa.field("group_name", pa.string(), nullable=False),
    ]
    return pa.schema(fields)


def code_array(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """Read packed codes of rows.

    Args:
        column: One of `CODES` or `QUERY_CODES`, N rows.

    Returns:
        (N, bytes) uint8; zeros where null.
    """
    width: int = column.type.byte_width
    filled = column.combine_chunks()
    if filled.null_count:  # else a copy
        filled = filled.fill_null(b"\0" * width)
    data = np.frombuffer(filled.buffers()[1], dtype=np.uint8)
    return data[filled.offset * width :][: len(filled) * width].reshape(-1, width)


def relaxed_array(column: pa.ChunkedArray) -> NDArray[np.float16]:
    """Read relaxed codes of rows.

    Args:
        column: One of `RELAXED` or `QUERY_RELAXED`, N rows.

    Returns:
        (N, num_bits) float16, of queries those of all searches in a row; zeros where null.
    """
    return code_array(column).view("<f2")


def binary_column(rows: NDArray[np.generic], present: NDArray[np.bool_] | None = None) -> pa.Array:
    """Make the column that `code_array` or `relaxed_array` reads.

    Args:
        rows: (N, width) uint8 or float16.
        present: (N,) whether there is a code; None for everywhere.
    """
    data = rows.astype(rows.dtype.newbyteorder("<"))
    valid = None
    if present is not None:
        data[~present] = 0
        valid = pa.array(present, pa.bool_()).buffers()[1]
    kind = pa.binary(data.itemsize * data.shape[1])
    return pa.Array.from_buffers(kind, len(data), [valid, pa.py_buffer(np.ascontiguousarray(data))])


def thumbnail(image: bytes) -> bytes:
    """Make a JPEG of at most `THUMBNAIL_PIXELS` a side of a picture's file.

    Raises:
        DataError: If it cannot be decoded, or is of suspicious size.
    """
    return small_jpeg(decode_image(image))


def small_jpeg(picture: Image.Image) -> bytes:
    """Make a JPEG of at most `THUMBNAIL_PIXELS` a side of a picture, which is changed."""
    picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=_JPEG_QUALITY)
    return stream.getvalue()


def count_values(column: pa.ChunkedArray, names: Iterable[str] = ()) -> dict[str, int]:
    """Count the values of a column, the most frequent first, then by name; nulls are left out.

    Args:
        column: Values.
        names: Values that are listed even if they do not occur.
    """
    found = pc.value_counts(column.drop_null()).to_pylist()
    counts = dict.fromkeys(names, 0) | {entry["values"]: entry["counts"] for entry in found}
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def count_facets(items: pa.Table, vocabulary: Iterable[str] = ()) -> Facets:
    """Count the values that a search can be narrowed by.

    Args:
        items: Items with the columns of filters.
        vocabulary: Labels that are listed even if they do not occur.
    """
    dates = pc.min_max(pc.unique(items["date"]).cast(pa.string())).as_py()
    return Facets(
        items=len(items),
        with_image=pc.sum(items["has_image"]).as_py() or 0,
        with_text=pc.sum(items["has_text"]).as_py() or 0,
        labels=count_values(pc.list_flatten(items["labels"]), vocabulary),
        licences=count_values(items["licence"]),
        splits=count_values(items["split"]),
        dates=None if dates["min"] is None else (dates["min"], dates["max"]),
    )
