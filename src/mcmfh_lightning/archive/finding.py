"""From a query to its ranking: the rankings that it asks for, one by one, and how they are joined."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.archive.asking import Asked
from mcmfh_lightning.archive.hash_index import among
from mcmfh_lightning.archive.queries import Query
from mcmfh_lightning.archive.ranking import Ranking, fuse
from mcmfh_lightning.archive.results import Reason, Source
from mcmfh_lightning.archive.schema import QueryCode, QueryCodes
from mcmfh_lightning.archive.snapshot import Snapshot
from mcmfh_lightning.archive.word_index import WORDS, affirming_query
from mcmfh_lightning.archive.words import WordQuery

# Places of each ranking that are joined; where `k` is larger, those of twice as many follow, and so on.
JOINED = 1000
# Cosine of relaxed codes from which on pictures are nearly the same. Of 738 films of Open-i's validation split 98 in
# 100 have it after compression as JPEG of quality 85, and differ from their own code in at most 1 bit of 16 and 2 of
# 64. At 64 bits no other film of 6,677 has it; at 16 bits others have it for few films, and 0.999 would put many of
# these first, and fewer relevant cases are found.
ALIKE = 0.9999
_BITS_A_FLIP = 32

Rows = NDArray[np.int64]


class Listed(NamedTuple):
    """One of the rankings of a search.

    Attributes:
        by: What it is by.
        rows: Rows, the best first.
        ranking: The same with distances and similarities; None by words.
        codes: Codes of the query that it is by; None by words, and where pictures are compared.
        item: Item that it is by, where several are searched by.
    """

    by: Source
    rows: Rows
    ranking: Ranking | None = None
    codes: QueryCodes | None = None
    item: str | None = None

    def first(self, number: int) -> Rows:
        """Return the first rows: by codes, at least as many as were reranked, and all that tie with the last."""
        if self.ranking is None or number >= len(self.rows):
            return self.rows[:number]
        distances = self.ranking.distances
        return self.rows[: int((distances <= np.partition(distances, number - 1)[number - 1]).sum())]


class Ties(NamedTuple):
    """Candidates at the distance where a ranking by codes alone ends; see `SearchResult`."""

    distance: int | None = None
    candidates: int = 0
    shown: int = 0
    reranked: int = 0


class Alike(NamedTuple):
    """Items whose image is like the query's, as far as the codes of both as items tell.

    Attributes:
        equal: Number of items with the same code.
        near: Items whose image nearly is the query's, or the same, the most similar first.
    """

    equal: int
    near: Ranking


@dataclass(frozen=True)
class Found:
    """Ranking of a search, and what it was made of.

    Attributes:
        rows: (m,) rows of the whole ranking.
        lists: Rankings that it was made of.
        candidates: Number of items that pass the filters and have the code.
        ties: Where codes alone end the ranking.
        alike: Equal and near-equal pictures; None without a picture.
        with_words: Number of candidates that have one of the words or more; None if words were not searched.
        affirming: Number of candidates whose text affirms what is asked not to be there.
        seconds: What searching and reranking took.
    """

    rows: Rows
    lists: Sequence[Listed]
    candidates: int
    ties: Ties
    alike: Alike | None
    with_words: int | None
    affirming: int
    seconds: tuple[float, float]

    @property
    def reranked(self) -> int:
        """Number of candidates that were reranked by similarity; of several items, that of the longest ranking."""
        rankings = [one.ranking for one in self.lists if one.ranking is not None]
        return max((int((~np.isnan(ranking.similarities)).sum()) for ranking in rankings), default=0)


def find(snapshot: Snapshot, asked: Asked) -> Found:
    """Rank the items of a version of an archive."""
    started = perf_counter()
    query, side = asked.query, asked.side
    candidates = snapshot.candidates(query.filters, side, asked.rows)
    affirming = _affirming(snapshot, asked, candidates)
    left = candidates
    if len(affirming):
        left = np.setdiff1d(np.arange(len(snapshot)) if candidates is None else candidates, affirming)
    words = None if asked.words is None else _by_words(snapshot, asked.words, left)
    depth = max(_depths(query)) if asked.is_joined else max(query.k, query.rerank)
    near = [snapshot.nearest(codes, side, depth, query.radius, left) for codes in asked.codes]
    searched = perf_counter()
    lists = [] if words is None else [Listed("words", words[:depth] if near else words)]
    items = query.ids if len(query.ids) > 1 else (None,)
    for ranking, codes, item in zip(near, asked.codes, items, strict=False):  # words alone have no codes
        reranked = snapshot.reranked(ranking, codes, side, query.rerank)
        lists.append(Listed(side, reranked.rows, reranked, codes, item))
    alike = None if asked.picture is None else _alike(snapshot, asked.picture, left)
    rows = _arrange(snapshot, asked, lists, alike, affirming)
    return Found(
        rows=rows,
        lists=lists,
        candidates=len(snapshot) if candidates is None else len(candidates),
        ties=Ties() if asked.is_joined or not near else _ties(near[0], lists[0], rows),
        alike=alike,
        with_words=None if words is None else len(words),
        affirming=len(affirming),
        seconds=(searched - started, perf_counter() - searched),
    )


def _arrange(snapshot: Snapshot, asked: Asked, lists: Sequence[Listed], alike: Alike | None, affirming: Rows) -> Rows:
    """Join rankings: pictures that are the query's come first, what the query asks not to find comes last."""
    rows, most = _joined(lists, asked.query) if asked.is_joined else lists[0].rows, asked.query.k
    if alike is not None and asked.against == "both":
        rows = np.concatenate([alike.near.rows, rows[~np.isin(rows, alike.near.rows)]])
    if asked.codes and len(affirming) and len(rows) < most:
        rows = np.concatenate([rows, snapshot.nearest(asked.codes[0], asked.side, most, None, affirming).rows])
    return rows if asked.query.radius is not None else rows[:most]


def _depths(query: Query) -> Iterator[int]:
    """Yield how many places of each ranking are joined, until there are as many as are asked for."""
    depth = max(query.rerank, JOINED)
    while depth < query.k:
        yield depth
        depth *= 2
    yield depth


def _joined(lists: Sequence[Listed], query: Query) -> Rows:
    """Join the first places of rankings, then those of twice as many: the list of a smaller `k` begins a larger one."""
    if query.radius is not None:
        return fuse([one.rows for one in lists])
    rows = np.empty(0, np.int64)
    for depth in _depths(query):
        more = fuse([one.first(depth) for one in lists])
        rows = np.concatenate([rows, more[~np.isin(more, rows)]])
    return rows


def reasons_of(snapshot: Snapshot, asked: Asked, found: Found, page: Rows) -> list[tuple[Reason, ...]]:
    """Say for each row of a page where it is in each of the rankings, and first if its image is the query's."""
    columns = [_reasons(one, page) for one in found.lists]
    for number, one in enumerate(found.lists):
        if one.codes is not None:
            distances = snapshot.distances(one.codes, asked.side, page).tolist()
            columns[number] = [replace(a, distance=bits) for a, bits in zip(columns[number], distances, strict=True)]
    reasons = list(zip(*columns, strict=True))
    if found.alike is None:
        return reasons
    near = found.alike.near
    pictures = _reasons(Listed("picture", near.rows, near), page)
    return [one if first.rank is None else (first, *one) for first, one in zip(pictures, reasons, strict=True)]


def _reasons(listed: Listed, page: Rows) -> list[Reason]:
    by, ranking, item = listed.by, listed.ranking, listed.item
    places = {row: place for place, row in enumerate(listed.rows.tolist())}
    reasons = []
    for row in page.tolist():
        place = places.get(row)
        if place is None:
            reasons.append(Reason(by, None, None, None, item))
        elif ranking is None:
            reasons.append(Reason(by, place + 1, None, None, item))
        else:
            similarity = float(ranking.similarities[place])
            known = None if similarity != similarity else similarity
            reasons.append(Reason(by, place + 1, int(ranking.distances[place]), known, item))
    return reasons


def _by_words(snapshot: Snapshot, words: WordQuery, candidates: Rows | None) -> Rows:
    """Rank the candidates that have words of a query."""
    from mcmfh_lightning.archive.full_text import full_text_query  # LanceDB, when a table of it is open

    asked = full_text_query(words, WORDS)
    return np.empty(0, np.int64) if asked is None else _among(snapshot.by_words(asked), candidates)


def _affirming(snapshot: Snapshot, asked: Asked, candidates: Rows | None) -> Rows:
    """Find the candidates whose text affirms what the query asks not to find, ascending."""
    terms = () if asked.words is None else asked.words.absent
    if not terms:
        return np.empty(0, np.int64)
    return np.unique(_among(snapshot.by_words(affirming_query(terms)), candidates))


def _among(rows: Rows, candidates: Rows | None) -> Rows:
    return rows if candidates is None else among(rows, candidates)


def _alike(snapshot: Snapshot, picture: QueryCode, candidates: Rows | None) -> Alike:
    """Find the items whose image is the query's, or nearly: by codes of items, which a search may not be made by."""
    codes: QueryCodes = {"image": picture}
    bits = 8 * len(picture.packed)
    near = snapshot.nearest(codes, "image", 0, max(1, bits // _BITS_A_FLIP), snapshot.having("image", candidates))
    return Alike(int((near.distances == 0).sum()), snapshot.alike(picture, near, ALIKE))


def _ties(near: Ranking, listed: Listed, rows: Rows) -> Ties:
    """Count the candidates at the distance where a ranking by codes alone ends.

    Args:
        near: The ranking by codes, as far as all that tie with its last.
        listed: The same reranked.
        rows: What is shown of it, in any order.
    """
    if not len(rows):
        return Ties()
    last = int(near.distances[len(rows) - 1])
    tied = near.rows[near.distances == last]
    similarities = np.empty(0) if listed.ranking is None else listed.ranking.similarities
    reranked = listed.rows[: int((~np.isnan(similarities)).sum())]  # those come first
    return Ties(last, len(tied), int(np.isin(rows, tied).sum()), int(np.isin(reranked, tied).sum()))
