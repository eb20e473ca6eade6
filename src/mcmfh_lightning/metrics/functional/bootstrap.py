"""Bootstrap intervals that resample groups (studies, articles, patients), because queries of one group go together."""

import numpy as np
import torch
from torch import Tensor


def bootstrap_weights(groups: Tensor, draws: int, seed: int) -> Tensor:
    """How often each query appears in each resample of whole groups, drawn with replacement.

    One set of weights serves every value of the same queries, so that differences between systems are paired
    (Efron and Tibshirani, An Introduction to the Bootstrap, 1993; groups as in Field and Welsh, JRSS B 2007).

    Args:
        groups: (Q,) int64, the group of each query.
        draws: Number of resamples B.
        seed: Seed of the draws; the same on every device.

    Returns:
        (B, Q) float64 on the CPU.

    Example:
        >>> weights = bootstrap_weights(torch.tensor([4, 9, 4]), draws=1000, seed=0)
        >>> bool((weights[:, 0] == weights[:, 2]).all()), weights.mean().round().item()
        (True, 1.0)
    """
    distinct, member = np.unique(groups.cpu().numpy(), return_inverse=True)
    count = len(distinct)
    if count == 0:
        return torch.zeros(draws, 0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(count, (draws, count), generator=generator)
    times = torch.zeros(draws, count, dtype=torch.float64)
    times.scatter_add_(1, drawn, torch.ones(1, 1, dtype=torch.float64).expand_as(drawn))
    return times[:, torch.from_numpy(member)]


def bootstrap_means(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of each resample.

    Args:
        values: (Q, V) float64 without NaN: V values of each query.
        weights: (B, Q) float64, from `bootstrap_weights` over the same queries.

    Returns:
        (B, V) float64.
    """
    return weights @ values / weights.sum(1, keepdim=True)


def percentile_interval(means: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """Percentile interval over resamples.

    Args:
        means: (B, V) float64.
        level: Share of resamples inside the interval.

    Returns:
        Lower and upper ends, (V,) float64 each.

    Example:
        >>> percentile_interval(torch.arange(101, dtype=torch.float64)[:, None])
        (tensor([2.5000], dtype=torch.float64), tensor([97.5000], dtype=torch.float64))
    """
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=means.dtype)
    low, high = means.quantile(ends, dim=0)
    return low, high
