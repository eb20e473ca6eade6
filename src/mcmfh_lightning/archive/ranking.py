"""Rankings of items by their codes, and the order of those that are reranked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# Candidates that are reranked at most, unless more are asked for: short codes of a large archive tie in tens of
# thousands, of which those with the first ids are taken.
MOST_RERANKED = 4096
_ROUNDED = 1e-3  # of a cosine: far more than single precision loses
_FUSION = 60  # the constant of the authors, who found others to be no better


@dataclass(frozen=True)
class Ranking:
    """Items in order, best first.

    Attributes:
        rows: (m,) rows of `ArchiveCodes`.
        distances: (m,) Hamming distances.
        similarities: (m,) cosines of relaxed codes, NaN for items that are ranked by distance alone.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.int64]
    similarities: NDArray[np.float64]

    @classmethod
    def by_codes(cls, distances: NDArray[Any], rows: NDArray[Any]) -> Self:
        """Take items that are in the order (distance, row)."""
        return cls(rows.astype(np.int64), distances.astype(np.int64), np.full(len(rows), np.nan))

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int | None) -> "Ranking":
        """Cut out the items from place ``start`` up to, not including, ``stop``."""
        places = slice(start, stop)
        return Ranking(self.rows[places], self.distances[places], self.similarities[places])


def head_length(near: Ranking, number: int) -> int:
    """Count the nearest items to rerank: ``number`` of them, and all that tie with the last of these.

    Args:
        near: Ranking by codes, whole distances.
        number: Least number of items, if there are as many; 0 for none.
    """
    if number == 0 or number >= len(near):
        return min(number, len(near))
    with_ties = int(np.searchsorted(near.distances, near.distances[number - 1], side="right"))
    return min(with_ties, max(number, MOST_RERANKED))


def merged(rankings: Sequence[Ranking]) -> Ranking:
    """Join rankings by codes of different items in the order (distance, row)."""
    rows, distances = (np.concatenate([getattr(one, name) for one in rankings]) for name in ("rows", "distances"))
    order = np.lexsort((rows, distances))
    return Ranking.by_codes(distances[order], rows[order])


def rerank(near: Ranking, similarities: NDArray[np.float64]) -> Ranking:
    """Order the nearest items by similarity, then distance, then row; the others keep their places.

    Args:
        near: Ranking by codes.
        similarities: (h,) similarities of its first h items.
    """
    head = len(similarities)
    order = np.lexsort((near.rows[:head], near.distances[:head], -similarities))
    places = np.concatenate([order, np.arange(head, len(near))])
    found = np.concatenate([similarities, near.similarities[head:]])
    return Ranking(near.rows[places], near.distances[places], found[places])


def cosines(query: NDArray[Any], items: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the cosines of relaxed codes; 0 where one is all zeros.

    Equal rows give equal numbers in any place, which a product of matrices does not promise.

    Args:
        query: (K,) relaxed code.
        items: (h, K) relaxed codes.

    Returns:
        (h,) cosines.
    """
    ours, theirs = query.astype(np.float64), items.astype(np.float64)
    lengths = np.sqrt((ours**2).sum() * (theirs**2).sum(axis=1))
    products: NDArray[np.float64] = (theirs * ours).sum(axis=1) / np.where(lengths == 0.0, 1.0, lengths)
    return products.clip(-1.0, 1.0)


def at_least(least: float, query: NDArray[Any], items: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the items whose cosine is ``least`` or more.

    Most are left out by rounded numbers: short codes of a large archive are near in tens of thousands, whose exact
    cosines take as long as the rest of a search.

    Args:
        least: Smallest cosine.
        query: As in `cosines`.
        items: As in `cosines`.

    Returns:
        Places of the items, ascending, and what `cosines` computes of them.
    """
    ours, theirs = query.astype(np.float32), items.astype(np.float32)
    lengths = np.sqrt(np.dot(ours, ours) * np.einsum("ij,ij->i", theirs, theirs))
    places = np.flatnonzero(np.einsum("ij,j->i", theirs, ours) >= (least - _ROUNDED) * lengths)
    found = cosines(query, items[places])
    return places[found >= least], found[found >= least]


def fuse(rankings: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Join rankings by the sum of reciprocal ranks (Cormack, Clarke and Buettcher, 2009); ties in the order of rows.

    >>> fuse([np.array([3, 1, 2]), np.array([1, 5])])
    array([1, 3, 5, 2])

    Args:
        rankings: Rows, the best first, none of them twice; not every ranking has every row.

    Returns:
        Every row of any ranking.
    """
    rows, places = np.unique(np.concatenate(rankings), return_inverse=True)
    scores, start = np.zeros(len(rows)), 0
    for ranking in rankings:  # in a fixed order: sums of floats depend on it
        scores[places[start : start + len(ranking)]] += 1.0 / (_FUSION + np.arange(1, len(ranking) + 1))
        start += len(ranking)
    return rows[np.lexsort((rows, -scores))]
