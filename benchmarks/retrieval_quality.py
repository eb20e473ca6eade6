"""Quality of the first 20 items of a ranking, and intervals over queries; shared by findings.py and films.py."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcmfh_lightning.metrics import functional

K = 20
DRAWS, SEED = 10_000, 0


class Quality(NamedTuple):
    """Quality of one ranking.

    Attributes:
        precision: P@20: relevant items among the first 20, divided by 20 or by the number of relevant items, whichever
            is less.
        ndcg: NDCG@20 with a gain of 1 for a relevant item.
    """

    precision: float
    ndcg: float


def quality(levels: NDArray[np.int64], relevant: NDArray[np.bool_], k: int = K) -> Quality:
    """Compute the expected quality of a ranking over all orders of tied items.

    Args:
        levels: (items,) places of the items from 0; tied items have the same.
        relevant: (items,), at least one of them.
        k: Number of items that count.

    Raises:
        ValueError: If no item is relevant.
    """
    number = int(relevant.sum())
    if not number:
        raise ValueError("no item is relevant: nothing can be found")
    width = int(levels.max()) + 1
    total, hits = (torch.from_numpy(np.bincount(part, minlength=width))[None] for part in (levels, levels[relevant]))
    found = functional.expected_hits(total, hits, torch.tensor([k]))
    gains = torch.tensor([[len(relevant) - number, number]])  # items by gain, 0 and 1
    return Quality(float(found) / min(k, number), float(functional.ndcg(total, hits, gains, k)))


def levels_of(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Rank items by scores, the highest first; equal scores tie."""
    return np.unique(-scores, return_inverse=True)[1].astype(np.int64)


def mean_interval(values: NDArray[np.float64], groups: NDArray[np.int64] | None = None) -> tuple[float, float, float]:
    """Average values of queries, with a 95 % interval: a bootstrap over the queries, or over groups of them.

    Two systems have the same resamples, so that the mean of their differences is paired.
    """
    weights = _weights_of_queries(len(values)) if groups is None else _weights(torch.from_numpy(groups))
    draws = functional.bootstrap_means(torch.tensor(values)[:, None], weights)
    low, high = (float(end[0]) for end in functional.percentile_interval(draws))
    return float(values.mean()), low, high


def _weights(groups: Tensor) -> Tensor:
    return functional.bootstrap_weights(groups, DRAWS, SEED)


@lru_cache(maxsize=8)
def _weights_of_queries(number: int) -> Tensor:
    """Draw resamples of single queries, once for each number: tables have a hundred means of the same number."""
    return _weights(torch.arange(number))


def shown(mean: float, low: float, high: float) -> str:
    """Write a mean with its interval."""
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"
