"""The few pairs that do not count: items of a query's own group.

The fast kernels count all pairs; what they should not have counted is taken off again. A group is a study or a patient,
so these are a handful a query, and the kernels need not compare groups at all.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

PAIRS_AT_ONCE = 1 << 18
"""Bounds the temporaries where, against all expectation, everything is one group."""
_ITEMS_AT_ONCE = 1 << 18
"""Bounds the temporaries of large databases."""


def own_group_pairs(query_groups: Tensor, groups: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Find the pairs of a query and an item of its own group.

    Args:
        query_groups: (Q,) int64.
        groups: (n,) int64.

    Yields:
        Positions of queries and of items, (M,) int64 each, every pair once.
    """
    order = query_groups.argsort(stable=True)
    ordered = query_groups[order]
    if not len(ordered):
        return
    step = max(1, PAIRS_AT_ONCE // len(ordered))
    for start in range(0, len(groups), _ITEMS_AT_ONCE):
        part = groups[start : start + _ITEMS_AT_ONCE]
        first = torch.searchsorted(ordered, part)
        items = (ordered[first.clamp(max=len(ordered) - 1)] == part).nonzero()[:, 0]
        for item in torch.split(items, step):
            begin = first[item]
            times = torch.searchsorted(ordered, part[item], right=True) - begin
            shift = (begin - times.cumsum(0) + times).repeat_interleave(times)
            found = torch.arange(len(shift), device=shift.device) + shift
            yield order[found], item.repeat_interleave(times) + start
