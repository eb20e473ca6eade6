"""Which pairs of a batch belong together."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Supervision = Literal["pairs", "labels"]


class Positives(NamedTuple):
    """How each row of a batch relates to each other row."""

    positives: Tensor
    """(B, B) bool: belong together."""
    ignored: Tensor
    """(B, B) bool: unknown, neither positive nor negative."""


def find_positives(labels: Tensor, groups: Tensor, supervision: Supervision) -> Positives:
    """Tell positives from negatives.

    Rows of the same group (study, article, patient) are positives of each other, never negatives.

    - ``supervision="pairs"``: everything else is a negative.
    - ``supervision="labels"``: rows that share a label are positives as well. A row without any label is not known to
      differ from the others, so its relation to other groups is ignored.

    Args:
        labels: (B, ceil(L / 8)) uint8, packed label sets.
        groups: (B,) int64.
        supervision: What counts as belonging together.
    """
    same_group = groups[:, None] == groups
    if supervision == "pairs":
        return Positives(same_group, torch.zeros_like(same_group))
    shared = shares_label(labels, labels)
    unlabelled = (labels == 0).all(dim=-1)
    ignored = (unlabelled[:, None] | unlabelled) & ~same_group
    return Positives(same_group | shared, ignored)


def shares_label(first: Tensor, second: Tensor) -> Tensor:
    """Whether rows of packed label sets intersect: (N, Lb), (M, Lb) uint8 -> (N, M) bool."""
    return (first[:, None, :] & second).ne(0).any(dim=-1)
