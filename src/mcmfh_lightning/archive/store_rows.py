"""Rows of an archive's table: as readers see them, and as they are written."""

from collections.abc import Sequence

import pyarrow as pa

from mcmfh_lightning.archive.schema import GROUP
from mcmfh_lightning.archive.word_index import WORDS, with_words
from mcmfh_lightning.errors import DataError

ROW_ID = "_rowid"
_NUMBER, _NAME = GROUP


def with_names(found: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Select the columns, with the names of groups where the table has only their numbers."""
    if _NAME not in columns or _NAME in found.schema.names:
        return found
    field = pa.field(_NAME, pa.string(), nullable=False)
    found = found.append_column(field, found[_NUMBER].cast(pa.string()))
    return found.select([*columns, *(name for name in (ROW_ID,) if name in found.schema.names)])


def fitting(batch: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give a batch the columns, types and marks of the table, and the words of its texts."""
    if WORDS in schema.names and WORDS not in batch.schema.names:
        batch = with_words(batch)
    if set(batch.schema.names) != set(schema.names):
        odd = ", ".join(sorted(set(batch.schema.names) ^ set(schema.names)))
        raise DataError(f"columns that are missing or unknown: {odd}; use the release that wrote the archive")
    try:
        return batch.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"items do not fit the archive's columns ({error}): encode them with its hasher") from error
