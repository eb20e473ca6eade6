"""How a worker hands a batch to the process that trains."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_ALIGNMENT = 8
"""Bytes; a tensor may be viewed as any of our types from such a place on."""

_Layout = tuple[tuple[str, torch.dtype, torch.Size, int], ...]


class Parcel:
    """A batch that travels between processes in one piece of shared memory, and arrives as the plain dict.

    Every tensor that a worker sends costs a file descriptor, a connection and a mapping, some half a millisecond: for a
    batch of seven small and large tensors more than reading them.

    Args:
        batch: Tensors by name.
    """

    def __init__(self, batch: Mapping[str, Tensor]) -> None:
        self._batch = batch

    def __reduce__(self) -> tuple[Any, ...]:
        """Pack; called when the batch is put into the worker's queue."""
        layout, end = [], 0
        for name, tensor in self._batch.items():
            layout.append((name, tensor.dtype, tensor.shape, end))
            end += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
        memory = torch.empty(end, dtype=torch.uint8)
        for (*_, begin), tensor in zip(layout, self._batch.values(), strict=True):
            memory[begin : begin + tensor.nbytes].view(tensor.dtype).view(tensor.shape).copy_(tensor)
        return _unpack, (memory, tuple(layout))


def _unpack(memory: Tensor, layout: _Layout) -> dict[str, Tensor]:
    return {
        name: memory[begin : begin + dtype.itemsize * shape.numel()].view(dtype).view(shape)
        for name, dtype, shape, begin in layout
    }
