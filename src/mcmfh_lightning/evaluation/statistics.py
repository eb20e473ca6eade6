"""The statistics that a ranking report shows, each a function of the counts."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mcmfh_lightning.metrics import RankingCounts
from mcmfh_lightning.metrics.functional import (
    average_cumulative_gain,
    average_precision,
    average_precision_bounds,
    instance_recall,
    ndcg,
    precision_at,
    precision_within_radius,
)

RADIUS = 2
"""Of the hash-table look-up that P@H<=r speaks of."""
INSTANCE_DEPTHS = (1, 5, 10)


class Statistic(NamedTuple):
    """A number reported of every ranking."""

    name: str
    k: int | None
    denominator: str
    per_query: Callable[[RankingCounts], Tensor]
    """From the counts to (Q,) float64."""
    bounds: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    """Worst and best value over the orders of tied items, from (Q, L) counts, all and relevant."""
    needs_distances: bool = False
    """Whether the levels have to be Hamming distances, not merely steps of a score."""


def statistics(ks: Sequence[int], *, graded: bool) -> list[Statistic]:
    """The statistics of a report: mAP@all, mAP@k and P@k for each k, P@H<=2; if graded, NDCG@k and ACG@k.

    Args:
        ks: Depths.
        graded: Whether the number of shared labels was counted.

    Returns:
        One entry a number.
    """
    return [
        Statistic(
            "mAP@all", None, "R", lambda counts: average_precision(*_binary(counts)), bounds=average_precision_bounds
        ),
        *(statistic for k in ks for statistic in _of_depth(k)),
        Statistic(f"P@H<={RADIUS}", None, "items found", _within_ball, needs_distances=True),
        *(statistic for k in ks if graded for statistic in _of_grades(k)),
    ]


def instance_statistics() -> list[Statistic]:
    """Instance recall at the usual depths; the relevant items of its counts are partners and duplicates."""
    return [Statistic(f"instance R@{k}", k, "1", partial(_instance_recall, k=k)) for k in INSTANCE_DEPTHS]


def _of_depth(k: int) -> tuple[Statistic, Statistic]:
    bounds = partial(average_precision_bounds, k=k)
    return (
        Statistic(f"mAP@{k}", k, "min(k, R)", lambda counts: average_precision(*_binary(counts), k=k), bounds),
        Statistic(f"P@{k}", k, "k", lambda counts: precision_at(*_binary(counts), torch.tensor([k]))[:, 0]),
    )


def _of_grades(k: int) -> tuple[Statistic, Statistic]:
    return (
        Statistic(f"NDCG@{k}", k, "ideal DCG", lambda counts: ndcg(counts.total, *counts.grades(), k)),
        Statistic(f"ACG@{k}", k, "k", lambda counts: average_cumulative_gain(counts.total, counts.grades()[0], k)),
    )


def _within_ball(counts: RankingCounts) -> Tensor:
    return precision_within_radius(*_binary(counts), radius=RADIUS)


def _instance_recall(counts: RankingCounts, k: int) -> Tensor:
    return instance_recall(*_binary(counts), k)


def _binary(counts: RankingCounts) -> tuple[Tensor, Tensor]:
    return counts.total, counts.relevant
