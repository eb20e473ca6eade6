"""Means over the rows of a batch that count."""

import torch
from torch import Tensor


def weighted_mean(rows: Tensor, valid: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of the valid rows by their weights.

    Args:
        rows: (N,).
        valid: (N,) bool.
        weight: (N,) >= 0, or None for all alike.

    Returns:
        Scalar; 0 (with a zero gradient) if no valid row has a weight.
    """
    weights = valid.to(rows.dtype) if weight is None else valid * weight.to(rows.dtype)
    total = weights.sum()
    return torch.where(valid, rows, 0) @ weights / torch.where(total > 0, total, 1)
