"""Rankings of an archive's items: by codes, and the nearest of them anew by what the codes were before the sign."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

MOST_RERANKED = 4096
"""Candidates that are looked at again at most, unless more are asked for: short codes of a large archive tie in tens of
thousands, of which those with the first ids are taken."""


@dataclass(frozen=True)
class Ranking:
    """Items in order, best first; a row is a place in `mcmfh_lightning.archive.codes_cache.ArchiveCodes`."""

    rows: NDArray[np.int64]
    """(m,)."""
    distances: NDArray[np.int64]
    """(m,) Hamming distances."""
    similarities: NDArray[np.float64]
    """(m,) cosines of relaxed codes; NaN for those that were ranked by distance alone."""

    @classmethod
    def by_codes(cls, distances: NDArray[Any], rows: NDArray[Any]) -> Self:
        """Rows in the order (distance, row)."""
        return cls(rows.astype(np.int64), distances.astype(np.int64), np.full(len(rows), np.nan))

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int | None) -> "Ranking":
        """The items from a place to another, that one not included."""
        places = slice(start, stop)
        return Ranking(self.rows[places], self.distances[places], self.similarities[places])


class Ties(NamedTuple):
    """Where the ranking by codes alone ends, and how many items are at that distance."""

    distance: int | None
    number: int
    shown: int


def looked_at_again(near: Ranking, number: int) -> int:
    """How many of the nearest are ranked anew: a number of them, and all that tie with the last of these.

    Args:
        near: By codes; whole levels.
        number: At least so many, if there are; 0 for none.
    """
    if number == 0 or number >= len(near):
        return min(number, len(near))
    with_ties = int(np.searchsorted(near.distances, near.distances[number - 1], side="right"))
    return min(with_ties, max(number, MOST_RERANKED))


def rerank(near: Ranking, similarities: NDArray[np.float64]) -> Ranking:
    """Order the nearest by similarity, then distance, then row; those that follow stay where they are.

    Args:
        near: By codes.
        similarities: (h,) of its first h items.
    """
    head = len(similarities)
    order = np.lexsort((near.rows[:head], near.distances[:head], -similarities))
    return Ranking(
        np.concatenate([near.rows[:head][order], near.rows[head:]]),
        np.concatenate([near.distances[:head][order], near.distances[head:]]),
        np.concatenate([similarities[order], near.similarities[head:]]),
    )


def cosines(query: NDArray[Any], items: NDArray[Any]) -> NDArray[np.float64]:
    """Cosine of relaxed codes, 0 where one is all zeros.

    Equal rows give equal numbers wherever they stand, which a product of matrices does not promise.

    Args:
        query: (K,).
        items: (h, K).

    Returns:
        (h,).
    """
    ours, theirs = query.astype(np.float64), items.astype(np.float64)
    lengths = np.sqrt((ours**2).sum() * (theirs**2).sum(axis=1))
    products: NDArray[np.float64] = (theirs * ours).sum(axis=1) / np.where(lengths == 0.0, 1.0, lengths)
    return products.clip(-1.0, 1.0)


def ties_at_the_end(near: Ranking, ranking: Ranking) -> Ties:
    """Count the items at the distance where the ranking by codes alone ends.

    Args:
        near: By codes; whole levels, that of the last item of the ranking among them.
        ranking: What is returned, by whatever order.
    """
    if len(ranking) == 0:
        return Ties(None, 0, 0)
    distance = near.distances[len(ranking) - 1]
    return Ties(int(distance), int((near.distances == distance).sum()), int((ranking.distances == distance).sum()))
