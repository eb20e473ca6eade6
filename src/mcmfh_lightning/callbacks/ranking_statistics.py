"""The statistics that a ranking report shows, each a function of the counts."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional import (
    average_precision,
    average_precision_bounds,
    precision_at,
    precision_within_radius,
)

RADIUS = 2
"""Of the hash-table look-up that P@H<=r speaks of."""


class Statistic(NamedTuple):
    """A number reported of every ranking."""

    name: str
    k: int | None
    denominator: str
    per_query: Callable[[Tensor, Tensor], Tensor]
    """From (Q, L) counts, all and relevant, to (Q,) float64."""
    bounds: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    """Worst and best value over the orders of tied items."""
    needs_distances: bool = False
    """Whether the levels have to be Hamming distances, not merely steps of a score."""


def statistics(ks: Sequence[int]) -> list[Statistic]:
    """The statistics of a report: mAP@all, mAP@k and P@k for each k, P@H<=2.

    Args:
        ks: Depths.

    Returns:
        One entry a number.
    """
    of_depths = [statistic for k in ks for statistic in _of_depth(k)]
    ball = partial(precision_within_radius, radius=RADIUS)
    return [
        Statistic("mAP@all", None, "R", average_precision, average_precision_bounds),
        *of_depths,
        Statistic(f"P@H<={RADIUS}", None, "items found", ball, needs_distances=True),
    ]


def _of_depth(k: int) -> tuple[Statistic, Statistic]:
    precision, bounds = partial(average_precision, k=k), partial(average_precision_bounds, k=k)
    return (
        Statistic(f"mAP@{k}", k, "min(k, R)", precision, bounds),
        Statistic(f"P@{k}", k, "k", lambda total, relevant: precision_at(total, relevant, torch.tensor([k]))[:, 0]),
    )
