"""Comparison of what two archives find for the same texts."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from mcmfh_lightning.archive.queries import Query
from mcmfh_lightning.archive.results import Match
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.errors import DataError, reason

_PERSISTENCE = 0.9  # of rank-biased overlap: the first ten hits have 86 % of its weight


class Agreement(NamedTuple):
    """How much the first hits of one query agree.

    Attributes:
        query: The text.
        overlap: Share of the first hits that both have, whatever their order.
        rank_biased_overlap: The same, where earlier hits weigh more; see `rank_biased_overlap`.
        same_first: Whether the first hit is the same.
    """

    query: str
    overlap: float
    rank_biased_overlap: float
    same_first: bool


def read_queries(path: Path) -> list[str]:
    """Read a text file with a query a line; empty lines are skipped.

    Raises:
        DataError: If it cannot be read, or holds no query.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}); correct --queries") from error
    queries = [line.strip() for line in lines if line.strip()]
    if not queries:
        raise DataError(f"{path} holds no query: write one a line")
    return queries


def compare_archives(
    old: Archive, new: Archive, queries: Sequence[str], k: int, match: Match | None, advance: Callable[[], object]
) -> Iterator[Agreement]:
    """Search two archives by the same texts.

    Args:
        old: An archive.
        new: The other.
        queries: Texts.
        k: Number of first hits that are compared.
        match: What is searched; the default of a text if None.
        advance: Called after each query.
    """
    for text in queries:
        query = Query(text=text, k=k, limit=k, match=match)
        ours, theirs = ([hit.item.id for hit in archive.find(query).hits] for archive in (old, new))
        longest = max(len(ours), len(theirs))
        overlap = len(set(ours) & set(theirs)) / longest if longest else 1.0
        yield Agreement(text, overlap, rank_biased_overlap(ours, theirs), ours[:1] == theirs[:1])
        advance()


def medians(found: Sequence[Agreement]) -> tuple[float, float]:
    """Return the medians of the overlap and of the rank-biased overlap."""
    return median(one.overlap for one in found), median(one.rank_biased_overlap for one in found)


def rank_biased_overlap(ours: Sequence[str], theirs: Sequence[str], persistence: float = _PERSISTENCE) -> float:
    """Compare two rankings, earlier places more than later ones.

    Extrapolated from the places that are known: equation 32 of Webber, Moffat and Zobel, A similarity measure for
    indefinite rankings, 2010, for two rankings of one length; the longer of two is cut.

    Args:
        ours: Items, the first first; each once.
        theirs: The same.
        persistence: Weight of each place, of that before it.

    Returns:
        1 for equal rankings, 0 for rankings without a common item.

    >>> rank_biased_overlap("abc", "abc"), rank_biased_overlap("abc", "def")
    (1.0, 0.0)
    >>> rank_biased_overlap("abc", "acb") > rank_biased_overlap("abc", "bac")
    True
    """
    depth = min(len(ours), len(theirs))
    if not depth:
        return 1.0 if len(ours) == len(theirs) else 0.0
    common = [len(set(ours[:place]) & set(theirs[:place])) / place for place in range(1, depth + 1)]
    weights = [persistence ** (place - 1) * (1 - persistence) for place in range(1, depth + 1)]
    known = sum(weight * share for weight, share in zip(weights, common, strict=True))
    return round(known + common[-1] * persistence**depth, 12)
