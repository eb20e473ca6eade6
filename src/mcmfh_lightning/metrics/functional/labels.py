"""A value per label: which findings a ranking serves, and which it does not."""

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.packing import unpack_bits


def mean_by_label(values: Tensor, query_labels: Tensor, num_labels: int) -> tuple[Tensor, Tensor]:
    """Mean of a value over the queries that carry a label, for every label.

    Args:
        values: (Q,) float64 with NaN for queries without relevant items, which are left out.
        query_labels: (Q, W) uint8, packed label sets.
        num_labels: V, at most 8 W: the pad bits after it are not labels.

    Returns:
        Means, (V,) float64 with NaN where no query counts, and the number of queries that count, (V,) int64.

    Raises:
        ValueError: The label sets hold fewer than num_labels bits, or are not one to each value.

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
