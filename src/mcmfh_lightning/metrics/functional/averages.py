"""From values per query to one number: queries without relevant items are left out."""

from torch import Tensor


def mean_over_queries(values: Tensor) -> Tensor:
    """Mean of the values that are defined.

    Args:
        values: (Q,) float64 with NaN for queries without relevant items.

    Returns:
        Scalar float64; NaN if there is none.

    Example:
        >>> import torch
        >>> mean_over_queries(torch.tensor([0.5, torch.nan, 1.0], dtype=torch.float64))
        tensor(0.7500, dtype=torch.float64)
    """
    return values[~values.isnan()].mean()
