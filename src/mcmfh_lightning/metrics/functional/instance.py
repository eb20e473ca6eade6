"""Instance retrieval: where a query's own partner comes, or another item that is as good as it, in closed form.

Here ``positive`` counts the items that are right, few or one, rather than those that share a label. All that matters is
the first level d that holds any: N_{d-1} items come before it, and of its n_d tied items p_d are positive.
"""

import torch
from torch import Tensor


def instance_recall(total: Tensor, positive: Tensor, k: int) -> Tensor:
    """Compute the expected R@k of instance retrieval: the probability that a positive is among the first k.

    Over all orders of tied items it is 1 - C(n_d - p_d, s) / C(n_d, s) with s = k - N_{d-1} places of level d shown,
    between 0 and n_d: the complement of a hypergeometric probability.

    Args:
        total: (Q, L) int64, items per level, best level first.
        positive: (Q, L) int64, positives per level.
        k: Depth; it may exceed the number of items.

    Returns:
        (Q,) float64; NaN for a query without positives.

    Raises:
        ValueError: If k is less than 1.

    Example:
        >>> instance_recall(torch.tensor([[1, 4, 2]]), torch.tensor([[0, 2, 1]]), k=3)
        tensor([0.8333], dtype=torch.float64)
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    before, size, hits = _first_level_with_a_positive(total, positive)
    shown = (k - before).clamp(min=0).minimum(size)
    found = _probability_of_any(size, hits, shown)
    return found.masked_fill(hits == 0, torch.nan)


def first_positive_rank(total: Tensor, positive: Tensor) -> Tensor:
    """Compute the expected rank of the first positive over all orders of tied items, N_{d-1} + (n_d + 1) / (p_d + 1).

    The positives cut the other items of their level into p_d + 1 parts of equal expected size (the smallest order
    statistic of p_d numbers drawn from 1 ... n_d; David and Nagaraja, Order Statistics, 2003, sec. 3.7).

    Args:
        total: (Q, L) int64, items per level, best level first.
        positive: (Q, L) int64, positives per level.

    Returns:
        (Q,) float64, 1 is best; NaN for a query without positives.

    Example:
        >>> first_positive_rank(torch.tensor([[1, 4, 2]]), torch.tensor([[0, 2, 1]]))
        tensor([2.6667], dtype=torch.float64)
    """
    before, size, hits = _first_level_with_a_positive(total, positive)
    return (before + (size + 1) / (hits + 1).double()).masked_fill(hits == 0, torch.nan)


def median_rank(total: Tensor, positive: Tensor) -> Tensor:
    """Median over queries of `first_positive_rank`; of an even number, the mean of the two in the middle.

    Args:
        total: (Q, L) int64, items per level, best level first.
        positive: (Q, L) int64, positives per level.

    Returns:
        Scalar float64; queries without positives are left out, NaN if none is left.

    Example:
        >>> median_rank(torch.tensor([[1, 4], [1, 4], [1, 0]]), torch.tensor([[1, 0], [0, 1], [0, 0]]))
        tensor(2.2500, dtype=torch.float64)
    """
    ranks = first_positive_rank(total, positive)
    ranks = ranks[~ranks.isnan()].sort().values
    return ranks[(len(ranks) - 1) // 2 : len(ranks) // 2 + 1].mean()


def _first_level_with_a_positive(total: Tensor, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Items before that level, its items and its positives (0 if there is none), (Q,) int64 each."""
    level = (positive > 0).long().argmax(1, keepdim=True)  # the first of equal values
    reached, size, hits = (counts.gather(1, level)[:, 0] for counts in (total.cumsum(1), total, positive))
    return reached - size, size, hits


def _probability_of_any(size: Tensor, hits: Tensor, shown: Tensor) -> Tensor:
    """Probability that ``shown`` of ``size`` items, drawn without replacement, hold one of the ``hits``.

    Hits and items shown may change places. One of the fewer after the other meets one of the more numerous with a
    probability that is known as long as none did before, so sums of positive terms give the result its relative
    precision, also at one in ten million. It has reached 1 after 6 sqrt(size) steps, however many there might be.
    """
    fewer, more = torch.minimum(hits, shown), torch.maximum(hits, shown).double()
    found = torch.zeros_like(more)
    for step in range(int(fewer.max()) if len(fewer) else 0):
        waiting = (step < fewer) & (found < 1 - torch.finfo(found.dtype).eps)
        if not bool(waiting.any()):
            break
        found += torch.where(waiting, (1 - found) * more / (size - step), 0)
    return found
