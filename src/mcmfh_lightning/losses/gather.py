"""Joining the rows of all ranks."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


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
    """all_gather whose backward pass is an all_reduce."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ANN401  # torch documents the context as opaque
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        start = dist.get_rank() * ctx.rows
        return gradient[start : start + ctx.rows]
