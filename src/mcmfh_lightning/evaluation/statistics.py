"""The statistics of a report: what each query has, as functions of the counts along its ranking."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mcmfh_lightning.metrics import RankingCounts, functional

RADIUS = 2
"""Radius of the hash-table look-up that P@H<=r is about."""
Values = Callable[[Tensor, Tensor], Tensor]


class Statistic(NamedTuple):
    """A number that each query has.

    Attributes:
        name: Name in reports.
        k: Depth, if it has one.
        denominator: What it is divided by, in words.
        per_query: From the counts to (Q,) float64, NaN for queries without relevant items.
        bounds: Worst and best value over the orders of tied items, from (Q, L) counts, all and relevant.
        needs_distances: Whether the levels have to be Hamming distances, not merely steps of a score.
    """

    name: str
    k: int | None
    denominator: str
    per_query: Callable[[RankingCounts], Tensor]
    bounds: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    needs_distances: bool = False


def _binary(function: Values) -> Callable[[RankingCounts], Tensor]:
    """Make a function of all and relevant items a function of the counts."""
    return lambda counts: function(counts.total, counts.relevant)


AP = Statistic("mAP@all", None, "R", _binary(functional.average_precision), functional.average_precision_bounds)
IN_BALL = Statistic(
    f"P@H<={RADIUS}",
    None,
    "items found",
    _binary(partial(functional.precision_within_radius, radius=RADIUS)),
    needs_distances=True,
)
INSTANCE_STATISTICS = [
    Statistic(f"instance R@{k}", k, "1", _binary(partial(functional.instance_recall, k=k))) for k in (1, 5, 10)
]
"""Recall of partners and duplicates, which are the relevant items of these counts."""


def _of_depth(k: int) -> list[Statistic]:
    depth = torch.tensor([k])
    bounds = partial(functional.average_precision_bounds, k=k)
    return [
        Statistic(f"mAP@{k}", k, "min(k, R)", _binary(partial(functional.average_precision, k=k)), bounds),
        Statistic(f"P@{k}", k, "k", lambda counts: functional.precision_at(*counts[:2], depth)[:, 0]),
        Statistic(f"R@{k}", k, "R", lambda counts: functional.recall_at(*counts[:2], depth)[:, 0]),
        Statistic(f"NDCG@{k}", k, "ideal DCG", lambda counts: functional.ndcg(counts.total, *counts.grades(), k)),
        Statistic(
            f"ACG@{k}", k, "k", lambda counts: functional.average_cumulative_gain(counts.total, counts.grades()[0], k)
        ),
    ]


def all_statistics(ks: Sequence[int]) -> list[Statistic]:
    """List the statistics of a report on files of codes.

    Args:
        ks: Depths.

    Returns:
        mAP@all; mAP@k, P@k, R@k, NDCG@k and ACG@k for each k; P@H<=2.
    """
    return [AP, *(one for k in ks for one in _of_depth(k)), IN_BALL]


def statistics(ks: Sequence[int], *, graded: bool) -> list[Statistic]:
    """List the statistics of a validation or test.

    Args:
        ks: Depths.
        graded: Whether the number of shared labels was counted.

    Returns:
        mAP@all, mAP@k and P@k for each k, P@H<=2; if graded, NDCG@k and ACG@k for each k.
    """
    grades = [one for k in ks if graded for one in _of_depth(k)[3:]]
    return [AP, *(one for k in ks for one in _of_depth(k)[:2]), IN_BALL, *grades]


def tied(counts: RankingCounts) -> RankingCounts:
    """Count the same items with every one tied: chance."""
    gains = None if counts.gains is None else functional.tie_all(counts.gains)
    return counts._replace(
        total=functional.tie_all(counts.total), relevant=functional.tie_all(counts.relevant), gains=gains
    )
