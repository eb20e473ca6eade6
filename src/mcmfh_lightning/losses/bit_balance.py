"""Each bit should be +1 half of the time."""

from torch import Tensor


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
