"""Statistics of codes: balance, correlation and use of bits."""

from typing import NamedTuple

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.packing import unpack_bits


class BitStatistics(NamedTuple):
    """Bits as -1 and +1 over N items.

    Ideal bits are balanced and uncorrelated: their sum is 0, their mean outer product the identity (Weiss, Torralba,
    Fergus: Spectral Hashing, NIPS 2008, constraints of the objective).
    """

    means: Tensor
    """(K,) float64: mean of each bit, 0 if balanced, -1 or +1 if constant."""
    correlations: Tensor
    """(K, K) float64: Pearson correlation of each two bits; NaN where one of them is constant."""
    distinct: int
    """Number of different codes."""
    largest: int
    """Number of items with the most frequent code."""

    @property
    def balance(self) -> float:
        """Average over bits of |mean of the bit|: from 0, all balanced, to 1, all constant."""
        return float(self.means.abs().mean())

    @property
    def correlation(self) -> float:
        """Average over pairs of different bits of |correlation|, constant bits left out; NaN without any pair."""
        row, column = torch.triu_indices(len(self.means), len(self.means), offset=1)
        return float(self.correlations[row, column].abs().nanmean())

    @property
    def constant(self) -> list[int]:
        """Positions of the bits that are the same for all items."""
        return (self.means.abs() == 1).nonzero()[:, 0].tolist()


def bit_statistics(codes: Tensor, num_bits: int) -> BitStatistics:
    """Statistics of packed codes.

    Args:
        codes: (N, ceil(num_bits / 8)) uint8 of `pack_signs`, N at least 1.
        num_bits: K.

    Example:
        >>> statistics = bit_statistics(torch.tensor([[128], [192]], dtype=torch.uint8), num_bits=2)
        >>> statistics.means.tolist(), statistics.constant, statistics.distinct
        ([1.0, 0.0], [0], 2)
    """
    signs = 2.0 * unpack_bits(codes)[:, :num_bits].double() - 1.0
    means = signs.mean(0)  # exact at +-1: the sum is an integer
    covariance = signs.T @ signs / len(signs) - means.outer(means)
    deviation = (1.0 - means.square()).sqrt()
    correlations = covariance / deviation.outer(deviation)
    correlations[(deviation == 0)[:, None] | (deviation == 0)] = torch.nan
    _, counts = torch.unique(codes, dim=0, return_counts=True)
    return BitStatistics(means, correlations, len(counts), int(counts.max()))
