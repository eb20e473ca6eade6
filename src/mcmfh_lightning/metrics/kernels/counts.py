"""What a graded ranking is, up to the order of ties."""

from typing import NamedTuple

from torch import Tensor


class GradedCounts(NamedTuple):
    """Counts per query and level, best level first, own group excluded; all int64."""

    total: Tensor
    """(Q, L): items."""
    relevant: Tensor
    """(Q, L): items that share a label with the query."""
    gains: Tensor
    """(Q, L): labels shared with the query, summed over the items."""
    shared: Tensor
    """(Q, G + 1): items by the number of labels shared, over all levels; G is what the query with most labels has."""
