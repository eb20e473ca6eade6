"""A joined ranking of more than a thousand items: whatever `k` asks for is the beginning of one list."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import takewhile
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest

from mcmfh_lightning.archive import Query
from mcmfh_lightning.archive.asking import Asked
from mcmfh_lightning.archive.finding import JOINED, Found, find
from mcmfh_lightning.archive.full_text import full_text_query
from mcmfh_lightning.archive.info import ArchiveInfo
from mcmfh_lightning.archive.schema import QueryCode
from mcmfh_lightning.archive.snapshot import Snapshot
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.archive.word_index import WORDS
from mcmfh_lightning.archive.words import WordQuery

from .items import NUM_BITS, items

COUNT = 2600
TEXT = "effusion"
CODE = QueryCode(np.zeros(NUM_BITS // 8, np.uint8), np.linspace(-1.0, -0.1, NUM_BITS))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Items of which two in three have the word, at 37 scores that have nothing to do with their codes."""
    folder = tmp_path_factory.mktemp("joined") / "archive"
    rows = items([f"n{number:04}" for number in range(COUNT)])
    texts = [("" if number % 3 == 1 else "effusion ") + "lung " * (number * 7 % 37) for number in range(COUNT)]
    rows = rows.set_column(rows.schema.get_field_index("text"), rows.schema.field("text"), pa.array(texts))
    table = ItemTable.create(folder, NUM_BITS, words=True)
    table.add(rows)
    table.compact()
    kept = {"store_content": True, "keep_relaxed": True, "value_range": None}
    by = {"uid": uuid4().hex, "created_by": "this test"}
    ArchiveInfo(NUM_BITS, "MadeUp", "0" * 64, {"name": "made up"}, {}, ("normal",), **kept, **by).write(folder)
    return Snapshot(ItemTable.open(folder), ArchiveInfo.load(folder), "flat")


def found(snapshot: Snapshot, k: int, text: str = TEXT, rerank: int = 0) -> Found:
    query = Query(text=text, match="both", k=k, rerank=rerank)
    words = WordQuery.parse(text)
    return find(snapshot, Asked(query, "text", "both", "case", codes=({"case": CODE},), words=words))


def joined(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Rows by the exact sum of reciprocal ranks, then by row."""
    scores: dict[int, Fraction] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, 1):
            scores[row] = scores.get(row, Fraction()) + Fraction(1, 60 + rank)
    return sorted(scores, key=lambda row: (-scores[row], row))


def first(ranking: Sequence[tuple[int, int]], number: int) -> list[int]:
    """Rows of the first of (distance, row), and of all that tie with the last of these."""
    last = ranking[min(number, len(ranking)) - 1][0]
    return [row for _, row in takewhile(lambda one: one[0] <= last, ranking)]


def by_brute_force(snapshot: Snapshot) -> Iterator[int]:
    """The whole joined list: of the first thousand of each ranking, then of two thousand, and so on."""
    query = full_text_query(WordQuery.parse(TEXT), WORDS)
    assert query is not None
    by_words = snapshot.by_words(query).tolist()
    assert JOINED < len(by_words) < COUNT
    distances = snapshot.distances({"case": CODE}, "case", np.arange(COUNT)).tolist()
    by_codes = sorted((bits, row) for row, bits in enumerate(distances))
    listed: set[int] = set()
    for depth in (1000, 2000, 4000):
        for row in joined([by_words[:depth], first(by_codes, depth)]):
            if row not in listed:
                listed.add(row)
                yield row


def test_a_list_of_any_length_is_the_beginning_of_a_longer_one(snapshot: Snapshot) -> None:
    whole = list(by_brute_force(snapshot))
    assert sorted(whole) == list(range(COUNT))
    for k in (20, 1000, 1001, 1500, 2000, 2001, COUNT, 10 * COUNT):
        assert found(snapshot, k).rows.tolist() == whole[:k], k


def test_reranking_more_than_a_thousand_begins_with_as_many(snapshot: Snapshot) -> None:
    whole = found(snapshot, COUNT, rerank=1200).rows.tolist()
    assert sorted(whole) == list(range(COUNT))
    for k in (50, 1300, 2500):
        assert found(snapshot, k, rerank=1200).rows.tolist() == whole[:k]


def test_what_is_not_asked_for_comes_last_at_any_length(snapshot: Snapshot) -> None:
    text = "lung without effusion"
    whole = found(snapshot, COUNT, text)
    assert 0 < whole.affirming < COUNT
    assert sorted(whole.rows.tolist()) == list(range(COUNT))
    for k in (800, 1500, 2400):
        assert found(snapshot, k, text).rows.tolist() == whole.rows.tolist()[:k]
