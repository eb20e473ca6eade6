"""Relaxed codes should lie near their signs.

Each bit should be +1 half of the time.

Means over the rows of a batch that count.
"""

import torch
from torch import Tensor


def quantisation(codes: Tensor) -> Tensor:
    """Mean squared distance to the nearest of -1 and +1: mean (|h| - 1)^2.

    For codes in [-1, 1] this is the per-bit mean of ||h - sign(h)||^2 (Gong & Lazebnik (ITQ), CVPR 2011, eq. 2; the
    relaxation of Liu et al. (DSH), CVPR 2016, uses its L1 form).

    Args:
        codes: (N, K) in [-1, 1].

    Returns:
        Scalar in [0, 1]; 0 for binary codes, 1 for zeros.
    """
    return (codes.abs() - 1.0).square().mean()


def bit_balance(codes: Tensor) -> Tensor:
    """Mean over bits of the squared batch mean: mean_k (mean_i h_ik)^2.

    The relaxation of the balance constraint sum_i h_i = 0 of Weiss et al. (spectral hashing), NIPS 2008, eq. 3, as a
    penalty (Jiang & Li (DCMH), CVPR 2017, eq. 1, last term).

    Args:
        codes: (N, K) in [-1, 1].

    Returns:
        Scalar in [0, 1]; 0 for balanced bits, 1 when all codes are one and the same binary code.
    """
    return codes.mean(dim=0).square().mean()


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
