"""Graded relevance: NDCG and average cumulative gain of a ranking with ties, in closed form.

The gain of an item is the number of labels it shares with the query, and it is linear. Tied items exchange places in
all orders alike, so that each has the mean gain of its level (McSherry and Najork, "Computing information retrieval
performance measures efficiently in the presence of tied scores", ECIR 2008; He, Cakir, Bargal and Sclaroff, "Hashing as
Tie-Aware Learning to Rank", CVPR 2018). With n_d items of gains G_d in sum at level d, and N_d items up to and with d:

    DCG@k = sum_d G_d / n_d sum_{t = N_{d-1} + 1}^{min(N_d, k)} 1 / log2(1 + t)

All arithmetic is float64.
"""

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.curves import precision_at
from mcmfh_lightning.metrics.functional.sums import discount_difference


def ndcg(total: Tensor, gains: Tensor, shared: Tensor, k: int | None = None) -> Tensor:
    """Compute the expected NDCG@k over all orders of tied items, with linear gains (Jarvelin, Kekalainen, TOIS 2002).

    The discount is 1 / log2(1 + t) (Burges et al., ICML 2005). The ideal is the DCG@k of the k best items there are; it
    is the same for every order, hence the expectation of the ratio is the ratio of the expectations.

    Args:
        total: (Q, L) int64, items per level, best level first.
        gains: (Q, L) int64, sum of the gains of the items per level.
        shared: (Q, G + 1) int64, items by gain, 0 to G.
        k: Depth; None ranks everything. It may exceed the number of items.

    Returns:
        (Q,) float64 in [0, 1]; NaN for a query without relevant items.

    Raises:
        ValueError: If k is less than 1.

    Example:
        >>> ndcg(torch.tensor([[2, 1]]), torch.tensor([[1, 2]]), torch.tensor([[1, 1, 1]]))
        tensor([0.6900], dtype=torch.float64)
    """
    if k is not None and k < 1:
        raise ValueError(f"k must be at least 1 or None, got {k}")
    best_first = shared.flip(1)
    worth = torch.arange(shared.shape[1] - 1, -1, -1, device=shared.device)
    return _discounted(total, gains, k) / _discounted(best_first, best_first * worth, k)  # 0 / 0: nothing relevant


def average_cumulative_gain(total: Tensor, gains: Tensor, k: int) -> Tensor:
    """Compute the expected ACG@k: the gains of the first k items, divided by k also if the database has fewer.

    The expectation over all orders of tied items of the cumulated gain of Jarvelin and Kekalainen (TOIS 2002); with
    gains of 0 and 1 it is P@k.

    Args:
        total: (Q, L) int64, items per level, best level first.
        gains: (Q, L) int64, sum of the gains of the items per level.
        k: Depth.

    Returns:
        (Q,) float64; NaN for a query without relevant items.

    Raises:
        ValueError: If k is less than 1.

    Example:
        >>> average_cumulative_gain(torch.tensor([[2, 1]]), torch.tensor([[1, 2]]), k=3)
        tensor([1.], dtype=torch.float64)
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return precision_at(total, gains, torch.tensor([k], device=total.device))[:, 0]


def _discounted(total: Tensor, gains: Tensor, k: int | None) -> Tensor:
    """Compute the expected DCG@k, (Q,)."""
    stop = total.cumsum(1)
    start = stop - total
    if k is not None:
        start, stop = start.clamp(max=k), stop.clamp(max=k)
    return (gains.double() / total.clamp(min=1) * discount_difference(start, stop)).sum(1)
