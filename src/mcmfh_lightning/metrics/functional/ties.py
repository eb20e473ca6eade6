"""The two extreme orders of tied items, as histograms.

A level of n items, p of them relevant, becomes two levels: the relevant items and the others. No tie between the two
kinds is left, so any functional of the result is the bound of that functional over all orders: `precision_at`,
`recall_at`, `average_precision`, `instance_recall` ...
"""

import torch
from torch import Tensor


def relevant_first(total: Tensor, relevant: Tensor) -> tuple[Tensor, Tensor]:
    """Put the relevant items of each level before the others: the optimistic order.

    Args:
        total: (Q, L) int64, items per level.
        relevant: (Q, L) int64, relevant items per level.

    Returns:
        All items and relevant items, (Q, 2 L) int64 each.

    Example:
        >>> from mcmfh_lightning.metrics.functional import precision_at
        >>> precision_at(*relevant_first(torch.tensor([[4]]), torch.tensor([[1]])), torch.tensor([1, 2]))
        tensor([[1.0000, 0.5000]], dtype=torch.float64)
    """
    return _interleaved(relevant, total - relevant), _interleaved(relevant, torch.zeros_like(relevant))


def relevant_last(total: Tensor, relevant: Tensor) -> tuple[Tensor, Tensor]:
    """Put the relevant items of each level after the others: the pessimistic order.

    Args:
        total: (Q, L) int64, items per level.
        relevant: (Q, L) int64, relevant items per level.

    Returns:
        All items and relevant items, (Q, 2 L) int64 each.

    Example:
        >>> from mcmfh_lightning.metrics.functional import precision_at
        >>> precision_at(*relevant_last(torch.tensor([[4]]), torch.tensor([[1]])), torch.tensor([1, 4]))
        tensor([[0.0000, 0.2500]], dtype=torch.float64)
    """
    return _interleaved(total - relevant, relevant), _interleaved(torch.zeros_like(relevant), relevant)


def _interleaved(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack((first, second), dim=2).flatten(1)
