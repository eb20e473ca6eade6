"""Expected precision and recall at depth N, over Hamming radii, and within a Hamming ball."""

import torch
from torch import Tensor


def expected_hits(total: Tensor, relevant: Tensor, depths: Tensor) -> Tensor:
    """Compute the expected number of relevant items among the first N, over all orders of tied items.

    The level d in which the N-th item falls gives (N - N_{d-1}) p_d / n_d (McSherry and Najork, ECIR 2008).

    Args:
        total: (Q, L) int64, items per level, best level first.
        relevant: (Q, L) int64, relevant items per level.
        depths: (D,) int64, each N at least 1.

    Returns:
        (Q, D) float64.

    Raises:
        ValueError: If a depth is less than 1.
    """
    if bool((depths < 1).any()):
        raise ValueError(f"depths must be at least 1, got {int(depths.min())}")
    reached, hits = total.cumsum(1), relevant.cumsum(1)  # (Q, L)
    places = depths.expand(len(total), -1).contiguous()
    level = torch.searchsorted(reached, places).clamp(max=total.shape[1] - 1)  # (Q, D)
    size, size_hits = total.gather(1, level), relevant.gather(1, level)
    into = (places - (reached.gather(1, level) - size)).minimum(size)  # a depth beyond the last item shows them all
    return hits.gather(1, level) - size_hits + into * size_hits.double() / size.clamp(min=1)


def precision_at(total: Tensor, relevant: Tensor, depths: Tensor) -> Tensor:
    """Compute the expected P@N; the divisor is N, also if the database has fewer items.

    Args:
        total: (Q, L) int64, items per level, best level first.
        relevant: (Q, L) int64, relevant items per level.
        depths: (D,) int64, each N at least 1.

    Returns:
        (Q, D) float64; NaN for a query without relevant items.

    Raises:
        ValueError: If a depth is less than 1.

    Example:
        >>> precision_at(torch.tensor([[2, 1]]), torch.tensor([[1, 1]]), torch.tensor([1, 2, 4]))
        tensor([[0.5000, 0.5000, 0.5000]], dtype=torch.float64)
    """
    precision = expected_hits(total, relevant, depths) / depths
    return precision.masked_fill(relevant.sum(1, keepdim=True) == 0, torch.nan)


def recall_at(total: Tensor, relevant: Tensor, depths: Tensor) -> Tensor:
    """Compute the expected R@N: the share of a query's relevant items among the first N.

    Args:
        total: (Q, L) int64, items per level, best level first.
        relevant: (Q, L) int64, relevant items per level.
        depths: (D,) int64, each N at least 1.

    Returns:
        (Q, D) float64; NaN for a query without relevant items.

    Raises:
        ValueError: If a depth is less than 1.

    Example:
        >>> recall_at(torch.tensor([[2, 1]]), torch.tensor([[1, 1]]), torch.tensor([1, 2, 4]))
        tensor([[0.2500, 0.5000, 1.0000]], dtype=torch.float64)
    """
    return expected_hits(total, relevant, depths) / relevant.sum(1, keepdim=True)  # 0 / 0 is the NaN of R = 0


def precision_recall_by_radius(total: Tensor, relevant: Tensor) -> tuple[Tensor, Tensor]:
    """Precision and recall of all pairs within radius r, pooled over the queries that have relevant items.

    Args:
        total: (Q, L) int64, items per level, best level first.
        relevant: (Q, L) int64, relevant items per level.

    Returns:
        Precision and recall, (L,) float64 each, at r = 0 ... L - 1; precision is NaN where no pair is that near.

    Example:
        >>> precision_recall_by_radius(torch.tensor([[0, 2, 1]]), torch.tensor([[0, 1, 1]]))
        (tensor([   nan, 0.5000, 0.6667], dtype=torch.float64), tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64))
    """
    counted = relevant.sum(1) > 0
    near = total[counted].sum(0).cumsum(0)
    hits = relevant[counted].sum(0).cumsum(0).double()
    return hits / near, hits / relevant.sum()


def precision_within_radius(total: Tensor, relevant: Tensor, radius: int) -> Tensor:
    """P@H<=r: the relevant share of the items within the radius; a look-up that finds nothing scores 0.

    Args:
        total: (Q, L) int64, items per Hamming distance 0 ... L - 1.
        relevant: (Q, L) int64, relevant items per distance.
        radius: r >= 0; more than L - 1 takes every item.

    Returns:
        (Q,) float64; NaN for a query without relevant items.

    Raises:
        ValueError: If the radius is negative.

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
