"""The numbers of a report, each a function of the counts."""

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
    ndcg,
    precision_at,
    precision_within_radius,
    recall_at,
)

RADIUS = 2
"""Of the hash-table look-up that P@H<=r speaks of."""


class Statistic(NamedTuple):
    """A number that each query has."""

    name: str
    k: int | None
    denominator: str
    per_query: Callable[[RankingCounts], Tensor]
    """From the counts to (Q,) float64, NaN for queries without relevant items."""
    bounds: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    """Worst and best value over the orders of tied items, from (Q, L) counts, all and relevant."""
    of_distances: bool = False
    """Whether it speaks of Hamming distances, which constant rankings have not."""


def statistics(ks: Sequence[int]) -> list[Statistic]:
    """mAP@all; mAP@k, P@k, R@k, NDCG@k and ACG@k for each k; P@H<=2.

    Args:
        ks: Depths.
    """
    return [
        Statistic(
            "mAP@all", None, "R", lambda counts: average_precision(*_binary(counts)), bounds=average_precision_bounds
        ),
        *(statistic for k in ks for statistic in _of_depth(k)),
        Statistic(
            f"P@H<={RADIUS}",
            None,
            "items found",
            lambda counts: precision_within_radius(*_binary(counts), radius=RADIUS),
            of_distances=True,
        ),
    ]


def _of_depth(k: int) -> list[Statistic]:
    depth = torch.tensor([k])
    return [
        Statistic(
            f"mAP@{k}",
            k,
            "min(k, R)",
            lambda counts: average_precision(*_binary(counts), k=k),
            bounds=partial(average_precision_bounds, k=k),
        ),
        Statistic(f"P@{k}", k, "k", lambda counts: precision_at(*_binary(counts), depth)[:, 0]),
        Statistic(f"R@{k}", k, "R", lambda counts: recall_at(*_binary(counts), depth)[:, 0]),
        Statistic(f"NDCG@{k}", k, "ideal DCG", lambda counts: ndcg(counts.total, *counts.grades(), k)),
        Statistic(f"ACG@{k}", k, "k", lambda counts: average_cumulative_gain(counts.total, counts.grades()[0], k)),
    ]


def _binary(counts: RankingCounts) -> tuple[Tensor, Tensor]:
    return counts.total, counts.relevant
