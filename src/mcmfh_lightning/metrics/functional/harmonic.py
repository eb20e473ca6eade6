"""Differences of harmonic numbers, H_b - H_a, to full relative precision.

The closed forms of average precision multiply such differences by counts as large as the database, so the subtraction
of two rounded harmonic numbers would lose what it is meant to give.
"""

import torch
from torch import Tensor

_TABULATED = 64


def harmonic_difference(start: Tensor, stop: Tensor) -> Tensor:
    """Sum of 1 / t for t = start + 1 ... stop.

    Below 64 from a table; above by H_n = ln n + gamma + 1/(2n) - 1/(12n^2) + 1/(120n^4) - 1/(252n^6), whose next term
    is under 1e-16 of the difference (Graham, Knuth and Patashnik, Concrete Mathematics, 1994, eq. 9.88).

    Args:
        start: Integers >= 0, any shape.
        stop: Integers >= start, same shape.

    Returns:
        float64 of the same shape; 0 where stop equals start.

    Example:
        >>> harmonic_difference(torch.tensor([0, 2]), torch.tensor([3, 4]))
        tensor([1.8333, 0.5833], dtype=torch.float64)
    """
    table = torch.zeros(_TABULATED + 1, dtype=torch.float64, device=start.device)
    table[1:] = torch.arange(1, _TABULATED + 1, device=start.device).double().reciprocal().cumsum(0)
    small = table[stop.clamp(max=_TABULATED)] - table[start.clamp(max=_TABULATED)]
    low = start.clamp(min=_TABULATED).double()
    high = stop.clamp(min=_TABULATED).double()
    large = torch.log1p((high - low) / low) + _tail(high) - _tail(low)
    return small + large


def _tail(number: Tensor) -> Tensor:
    """H_n - ln n - gamma."""
    square = number.square()
    return 1 / (2 * number) - (1 - (1 / 10 - 1 / (21 * square)) / square) / (12 * square)
