"""The global batch: rows of all ranks, which of them belong together, and means over those that count."""

from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

Supervision = Literal["pairs", "labels"]


class Positives(NamedTuple):
    """Relations between the rows of a batch.

    Attributes:
        positives: (B, B) bool: rows that belong together.
        ignored: (B, B) bool: rows of unknown relation, neither positive nor negative.
    """

    positives: Tensor
    ignored: Tensor


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows of all ranks, with gradients.

    Every rank then computes the same loss on the global batch. The backward pass sums the ranks' gradients of each
    row; with the averaging of DistributedDataParallel the parameters receive exactly the gradient of that loss.

    Args:
        rows: (B, ...), the same shape on every rank.

    Returns:
        (world size * B, ...) in rank order; ``rows`` itself without distributed training.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    gathered: Tensor = _GatherRows.apply(rows)
    return gathered


class _GatherRows(torch.autograd.Function):
    """all_gather whose backward pass is an all_reduce.

    `torch.distributed.nn.functional.all_gather` is deprecated, and with gloo its gradient is wrong where the incoming
    one is not contiguous, as that of an elementwise term on transposed rows.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ANN401  # torch documents the context as opaque
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401  # as in forward
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        start = dist.get_rank() * ctx.rows
        return gradient[start : start + ctx.rows]


def in_full(values: Tensor) -> Tensor:
    """Convert half precision to float32; other values stay as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def find_positives(labels: Tensor, groups: Tensor, supervision: Supervision) -> Positives:
    """Separate positives from negatives.

    Rows of the same group (study, article, patient) are positives of each other, never negatives.

    - ``supervision="pairs"``: all other rows are negatives.
    - ``supervision="labels"``: rows that share a label are positives as well. Without labels it is unknown whether a
      row differs from others, so its relation to other groups is ignored.

    Args:
        labels: (B, ceil(L / 8)) uint8, packed label sets.
        groups: (B,) int64.
        supervision: What makes two rows belong together.
    """
    if supervision == "pairs":
        same_group = groups[:, None] == groups
        return Positives(same_group, torch.zeros_like(same_group))
    return find_positives_between(labels, groups, labels, groups)


def find_positives_between(labels: Tensor, groups: Tensor, other_labels: Tensor, other_groups: Tensor) -> Positives:
    """Separate positives from negatives between two sets of rows, as `find_positives` does by labels within one.

    Args:
        labels: (N, ceil(L / 8)) uint8, packed label sets.
        groups: (N,) int64.
        other_labels: (M, ceil(L / 8)) uint8.
        other_groups: (M,) int64.

    Returns:
        (N, M) each.
    """
    same_group = groups[:, None] == other_groups
    unlabeled = (labels == 0).all(dim=-1)[:, None] | (other_labels == 0).all(dim=-1)
    return Positives(same_group | shares_label(labels, other_labels), unlabeled & ~same_group)


def shares_label(first: Tensor, second: Tensor) -> Tensor:
    """Test which packed label sets intersect: (N, Lb), (M, Lb) uint8 -> (N, M) bool."""
    return (first[:, None, :] & second).ne(0).any(dim=-1)


def weighted_mean(rows: Tensor, valid: Tensor, weight: Tensor | None) -> Tensor:
    """Average the valid rows by their weights.

    Args:
        rows: (..., N).
        valid: (..., N) bool, or (N,) for all leading dimensions.
        weight: (N,) >= 0, or None for equal weights.

    Returns:
        (...); 0 (with a zero gradient) where no valid row has a weight.
    """
    weights = valid.to(rows.dtype) if weight is None else valid * weight.to(rows.dtype)
    total = weights.sum(dim=-1)
    return (torch.where(valid, rows, 0) * weights).sum(dim=-1) / torch.where(total > 0, total, 1)
