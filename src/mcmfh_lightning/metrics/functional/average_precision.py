"""Average precision of a ranking with ties, in closed form.

Items of one level are tied. The value reported is the expectation over all orders of the tied items (McSherry and
Najork, "Computing information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008;
He, Cakir, Bargal and Sclaroff, "Hashing as Tie-Aware Learning to Rank", CVPR 2018, eq. 6). With n_d items and p_d
relevant items at level d, and N_d, P_d their sums up to and with d:

    AP = 1 / min(k, R) sum_d p_d / n_d sum_{t = N_{d-1} + 1}^{min(N_d, k)}
         [P_{d-1} + 1 + (t - N_{d-1} - 1) (p_d - 1) / (n_d - 1)] / t

The inner sum is (P_{d-1} + 1) h + c (m - (N_{d-1} + 1) h) with h the difference of harmonic numbers over its m terms
and c = (p_d - 1) / (n_d - 1). All arithmetic is float64.

The chance level is the same functional with every item tied. Means leave out queries without relevant items.
"""

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.sums import harmonic_difference


def average_precision(total: Tensor, relevant: Tensor, k: int | None = None) -> Tensor:
    """Compute the expected AP@k over all orders of tied items, divided by min(k, R).

    Args:
        total: (Q, L) int64, items per level, best level first.
        relevant: (Q, L) int64, relevant items per level.
        k: Depth; None ranks everything (AP@all, divided by R). It may exceed the number of items.

    Returns:
        (Q,) float64; NaN for a query without relevant items.

    Raises:
        ValueError: If k is less than 1.

    Example:
        >>> average_precision(torch.tensor([[2, 1]]), torch.tensor([[1, 1]]))
        tensor([0.7083], dtype=torch.float64)
    """
    before, hits_before, depth = _before(total, relevant, k)
    shown = (depth - before).clamp(min=0).minimum(total)  # (Q, L) items of the level within the first k
    start = before.minimum(depth)  # where nothing is shown, any place is as good as this one
    harmonic = harmonic_difference(start, start + shown)
    slope = (relevant - 1).double() / (total - 1).clamp(min=1)
    inner = (hits_before + 1) * harmonic + slope * (shown - (before + 1) * harmonic)
    share = relevant.double() / total.clamp(min=1)
    return _normalize((share * inner).sum(1), relevant, depth)


def average_precision_bounds(total: Tensor, relevant: Tensor, k: int | None = None) -> tuple[Tensor, Tensor]:
    """AP@k under the worst and the best order of tied items.

    Args:
        total: (Q, L) int64, items per level, best level first.
        relevant: (Q, L) int64, relevant items per level.
        k: Depth; None ranks everything.

    Returns:
        Pessimistic (relevant items last in each level) and optimistic (first) values, (Q,) float64 each; NaN for a
        query without relevant items.

    Raises:
        ValueError: If k is less than 1.

    Example:
        >>> average_precision_bounds(torch.tensor([[2, 1]]), torch.tensor([[1, 1]]))
        (tensor([0.5833], dtype=torch.float64), tensor([0.8333], dtype=torch.float64))
    """
    before, hits_before, depth = _before(total, relevant, k)
    worst, best = (
        _sum_of_run(start, hits_before, (depth - start).clamp(min=0).minimum(relevant)).sum(1)
        for start in (before + total - relevant, before)
    )
    return _normalize(worst, relevant, depth), _normalize(best, relevant, depth)


def _before(total: Tensor, relevant: Tensor, k: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Items and relevant items before each level, (Q, L) each, and the depth (Q, 1)."""
    if k is not None and k < 1:
        raise ValueError(f"k must be at least 1 or None, got {k}")
    depth = total.sum(1, keepdim=True)
    if k is not None:
        depth = torch.full_like(depth, k)
    return total.cumsum(1) - total, relevant.cumsum(1) - relevant, depth


def _sum_of_run(start: Tensor, hits_before: Tensor, length: Tensor) -> Tensor:
    """Sum of (hits_before + j) / (start + j) for j = 1 ... length."""
    return length + (hits_before - start) * harmonic_difference(start, start + length)


def _normalize(precisions: Tensor, relevant: Tensor, depth: Tensor) -> Tensor:
    return precisions / torch.minimum(relevant.sum(1), depth[:, 0])  # 0 / 0 is the NaN of R = 0


def tie_all(counts: Tensor) -> Tensor:
    """Put every item on one level; any functional of the result is its chance value.

    Args:
        counts: (Q, L) int64.

    Returns:
        (Q, 1) int64.
    """
    return counts.sum(1, keepdim=True)


def chance_average_precision(num_items: Tensor, num_relevant: Tensor, k: int | None = None) -> Tensor:
    """Compute the expected AP@k of a random order.

    R / (N min(k, R)) [H_m + (R - 1) / (N - 1) (m - H_m)] with m = min(k, N): the closed form of average precision
    (McSherry and Najork, ECIR 2008) with a single level.

    Args:
        num_items: (Q,) int64, N: the query's own group excluded.
        num_relevant: (Q,) int64, R.
        k: Depth; None ranks everything.

    Returns:
        (Q,) float64; NaN for a query without relevant items.

    Raises:
        ValueError: If k is less than 1.

    Example:
        >>> chance_average_precision(torch.tensor([4]), torch.tensor([1]))
        tensor([0.5208], dtype=torch.float64)
    """
    if k is not None and k < 1:
        raise ValueError(f"k must be at least 1 or None, got {k}")
    shown = num_items if k is None else num_items.clamp(max=k)
    divisor = num_relevant if k is None else num_relevant.clamp(max=k)
    harmonic = harmonic_difference(torch.zeros_like(shown), shown)
    slope = (num_relevant - 1).double() / (num_items - 1).clamp(min=1)
    return num_relevant.double() / num_items * (harmonic + slope * (shown - harmonic)) / divisor


def mean_over_queries(values: Tensor) -> Tensor:
    """Average of the values that are defined.

    Args:
        values: (Q,) or (Q, V) float64 with NaN for queries without relevant items.

    Returns:
        Scalar or (V,) float64; NaN where there is none.

    Example:
        >>> import torch
        >>> mean_over_queries(torch.tensor([0.5, torch.nan, 1.0], dtype=torch.float64))
        tensor(0.7500, dtype=torch.float64)
    """
    columns = values.movedim(0, -1).contiguous()  # so that each is summed as if it were alone
    if not columns.isnan().any():
        return columns.mean(-1)
    if columns.ndim == 1:
        return columns[~columns.isnan()].mean()
    return torch.stack([mean_over_queries(column) for column in columns])
