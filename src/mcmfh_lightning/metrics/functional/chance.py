"""What a ranking that knows nothing scores: the same functionals with every item tied."""

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.harmonic import harmonic_difference


def tie_all(counts: Tensor) -> Tensor:
    """Put every item on one level; any functional of the result is its chance value.

    Args:
        counts: (Q, L) int64.

    Returns:
        (Q, 1) int64.
    """
    return counts.sum(1, keepdim=True)


def chance_average_precision(num_items: Tensor, num_relevant: Tensor, k: int | None = None) -> Tensor:
    """Expected AP@k of a random order.

    R / (N min(k, R)) [H_m + (R - 1) / (N - 1) (m - H_m)] with m = min(k, N): the closed form of average precision
    (McSherry and Najork, ECIR 2008) with a single level.

    Args:
        num_items: (Q,) int64, N: the query's own group excluded.
        num_relevant: (Q,) int64, R.
        k: Depth; None ranks everything.

    Returns:
        (Q,) float64; NaN for a query without relevant items.

    Raises:
        ValueError: k is less than 1.

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
