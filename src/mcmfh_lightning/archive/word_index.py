"""Words of reports in the table: their column, LanceDB's full-text index over it, and searches by it.

We measured this (LanceDB 0.40) and build on it: rows that the index lacks yet are found as well, only slower; deleted
and replaced rows are not found; the index keeps their words until it is made again.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mcmfh_lightning.archive.words import index_text

if TYPE_CHECKING:
    from lancedb.query import FullTextQuery

WORDS = "words"
# Rows that the index may lack, at least: they are searched one by one, a hundred in a millisecond.
_UNINDEXED = 256
_SHARE = 8
_NAME = f"{WORDS}_idx"
_MOST = 2**31 - 1  # hits of a search


def words_field() -> pa.Field:
    """Make the field of the column."""
    return pa.field(WORDS, pa.string())


def with_words(items: pa.Table) -> pa.Table:
    """Append the words of texts to rows of items."""
    words = [None if text is None else index_text(text) for text in items["text"].to_pylist()]
    return items.append_column(words_field(), pa.array(words, pa.string()))


def has_words(table: Any) -> bool:  # noqa: ANN401  # LanceDB's classes differ by release
    """Tell whether a table of LanceDB can be searched by words."""
    return WORDS in table.schema.names and any(index.columns == [WORDS] for index in table.list_indices())


def index_words(table: Any) -> None:  # noqa: ANN401  # as above
    """Make the full-text index of the newest version of a table, without words of rows that are gone."""
    from lancedb.index import FTS

    table.create_index(WORDS, config=FTS(), name=_NAME, replace=True)


def lacks_many(table: Any) -> bool:  # noqa: ANN401  # as above
    """Tell whether many rows are new, so that searching them one by one is slow."""
    if not has_words(table):
        return False
    stats = table.index_stats(_NAME)
    return bool(stats.num_unindexed_rows > max(_UNINDEXED, stats.num_indexed_rows // _SHARE))


class WordHits(NamedTuple):
    """Rows that were found by words.

    Attributes:
        row_ids: (m,) the table's names of rows.
        scores: (m,) BM25.
    """

    row_ids: NDArray[np.uint64]
    scores: NDArray[np.float32]


def affirming_query(terms: Sequence[str]) -> "FullTextQuery":
    """Write a query for the rows that affirm all words of one of the terms, or of several."""
    from lancedb.query import BooleanQuery, Occur

    from mcmfh_lightning.archive.full_text import every_word

    return BooleanQuery([(Occur.SHOULD, every_word(term, WORDS)) for term in terms])


def find_words(table: Any, query: "FullTextQuery") -> WordHits:  # noqa: ANN401  # as above
    """Find all rows by their words."""
    asked = table.search(query, query_type="fts").with_row_id(True).select(["_rowid", "_score"])  # noqa: FBT003  # LanceDB's signature
    found = asked.limit(_MOST).to_arrow()
    return WordHits(found["_rowid"].to_numpy(), found["_score"].to_numpy())
