"""Bootstrap intervals that resample groups (studies, articles, patients), and means for each label."""

import numpy as np
import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.packing import unpack_bits


def bootstrap_weights(groups: Tensor, draws: int, seed: int) -> Tensor:
    """Count how often each query appears in each resample of whole groups, drawn with replacement.

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
    """Average of each resample.

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


def mean_by_label(values: Tensor, query_labels: Tensor, num_labels: int) -> tuple[Tensor, Tensor]:
    """Average of a value over the queries that carry a label, for every label.

    Args:
        values: (Q,) float64 with NaN for queries without relevant items, which are left out.
        query_labels: (Q, W) uint8, packed label sets.
        num_labels: V, at most 8 W: the pad bits after it are not labels.

    Returns:
        Means, (V,) float64 with NaN where no query counts, and the number of queries that count, (V,) int64.

    Raises:
        ValueError: If the label sets hold fewer than num_labels bits, or are not one to each value.

    Example:
        >>> labels = torch.tensor([[0b10000000], [0b11000000], [0b01000000]], dtype=torch.uint8)
        >>> mean_by_label(torch.tensor([0.5, 1.0, torch.nan], dtype=torch.float64), labels, num_labels=3)
        (tensor([0.7500, 1.0000,    nan], dtype=torch.float64), tensor([2, 1, 0]))
    """
    rows, width = query_labels.shape
    if rows != len(values) or 8 * width < num_labels:
        raise ValueError(f"sets of {num_labels} labels for {len(values)} queries expected, got {rows} x {width} bytes")
    counted = ~values.isnan()
    query, label = unpack_bits(query_labels[counted])[:, :num_labels].nonzero().unbind(1)
    count = torch.bincount(label, minlength=num_labels)
    sums = torch.bincount(label, weights=values[counted][query], minlength=num_labels).double()  # no queries: integers
    return sums / count, count  # 0 / 0 is the NaN of a label no query counts for
