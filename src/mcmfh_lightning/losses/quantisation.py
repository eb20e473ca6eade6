"""Relaxed codes should lie near their signs."""

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
