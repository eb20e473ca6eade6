"""Bits should be sure of their sign: the variance term of DScPH."""

from torch import Tensor
from torch.nn.functional import normalize


def bit_variance(rotated: Tensor) -> Tensor:
    """Mean variance of bits read as coins: mean sigma(z) (1 - sigma(z)), z the rows scaled to length 1.

    DScPH ("Deep Semantic-consistent Penalizing Hashing", IEEE TMM 2025), on rotated codes. As |z| <= 1 it is between
    .197 and .25: a weak pull.

    Args:
        rotated: (B, K), codes after a rotation.

    Returns:
        Scalar in [0.196, 0.25].
    """
    chance = normalize(rotated, dim=-1).sigmoid()
    return (chance * (1 - chance)).mean()
