"""Precision within a Hamming ball: what a hash-table look-up gives."""

import torch
from torch import Tensor


def precision_within_radius(total: Tensor, relevant: Tensor, radius: int) -> Tensor:
    """P@H<=r: the relevant share of the items within the radius; a look-up that finds nothing scores 0.

    Args:
        total: (Q, L) int64, items per Hamming distance 0 ... L - 1.
        relevant: (Q, L) int64, relevant items per distance.
        radius: r >= 0; more than L - 1 takes every item.

    Returns:
        (Q,) float64; NaN for a query without relevant items.

    Raises:
        ValueError: The radius is negative.

    Example:
        >>> total, relevant = torch.tensor([[1, 1, 1], [0, 0, 4]]), torch.tensor([[1, 0, 1], [0, 0, 2]])
        >>> precision_within_radius(total, relevant, radius=1)
        tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    if radius < 0:
        raise ValueError(f"radius must be at least 0, got {radius}")
    found = total[:, : radius + 1].sum(1)
    hits = relevant[:, : radius + 1].sum(1).double()
    return (hits / found.clamp(min=1)).masked_fill(relevant.sum(1) == 0, torch.nan)
