"""How a worker hands a batch to the process that trains."""

import mmap
import os
from collections.abc import Mapping
from multiprocessing.resource_sharer import DupFd
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mcmfh_lightning.errors import DataError

_ALIGNMENT = 8
"""Bytes; a tensor may be viewed as any of our types from such a place on."""


class _Slot(NamedTuple):
    """Where a tensor is stored in the memory of a parcel."""

    begin: int
    dtype: torch.dtype
    shape: torch.Size


class Parcel:
    """A batch that travels between processes in one piece of memory, and arrives as ``(number, batch)``.

    Every tensor that a worker sends by itself costs a file descriptor, a connection and a mapping, some half a
    millisecond: for a batch of seven small and large tensors more than reading them.

    The memory is a file without a name that only these two processes know (`os.memfd_create`). It is not part of
    ``/dev/shm``, which is 64 MB in a container of Docker by default. All that can fail is done here, in the thread that
    makes the batch, so that it becomes an error of the worker. What fails later, in the thread that feeds the worker's
    queue, is printed by Python and forgotten, and the batch with it.

    Args:
        number: Number of the batch.
        batch: Tensors by name, nested in mappings or not; anything else is pickled.

    Raises:
        DataError: If the system has no memory for it.
    """

    def __init__(self, number: int, batch: Mapping[str, Any]) -> None:
        placed: list[tuple[int, Tensor]] = []
        self._number = number
        self._layout = _place(batch, placed)
        self._size = max(1, sum(_room(tensor) for _, tensor in placed))
        try:
            file = os.memfd_create("mcmfh-batch")
            try:
                os.posix_fallocate(file, 0, self._size)  # a write to memory that is not there would kill the process
                memory = _mapped(file, self._size)
                self._file = DupFd(file)
            finally:
                os.close(file)
        except OSError as error:
            raise DataError(
                f"a worker process has no memory to hand over a batch of {self._size / 2**20:.1f} MiB"
                f" ({error.strerror}): use fewer workers, smaller batches, or none (num_workers 0)"
            ) from error
        for begin, tensor in placed:
            _view(memory, _Slot(begin, tensor.dtype, tensor.shape)).copy_(tensor)

    def __reduce__(self) -> tuple[Any, ...]:
        """Say how to unpack; called when the batch is put into the worker's queue."""
        return _unpack, (self._number, self._file, self._size, self._layout)


def _place(value: Any, placed: list[tuple[int, Tensor]]) -> Any:  # noqa: ANN401  # what a batch is made of
    """Replace tensors by their slots, and list them with the bytes where they begin."""
    if isinstance(value, Tensor):
        begin = placed[-1][0] + _room(placed[-1][1]) if placed else 0
        placed.append((begin, value))
        return _Slot(begin, value.dtype, value.shape)
    if isinstance(value, Mapping):
        return {name: _place(part, placed) for name, part in value.items()}
    return value


def _fill(layout: Any, memory: Tensor) -> Any:  # noqa: ANN401  # see `_place`
    """Replace slots by their tensors."""
    if isinstance(layout, _Slot):
        return _view(memory, layout)
    if isinstance(layout, dict):
        return {name: _fill(part, memory) for name, part in layout.items()}
    return layout


def _room(tensor: Tensor) -> int:
    """Count the bytes of a tensor, rounded up to where the next one may begin."""
    return -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT


def _view(memory: Tensor, slot: _Slot) -> Tensor:
    end = slot.begin + slot.dtype.itemsize * slot.shape.numel()
    return memory[slot.begin : end].view(slot.dtype).view(slot.shape)


def _mapped(file: int, size: int) -> Tensor:
    return torch.frombuffer(mmap.mmap(file, size), dtype=torch.uint8)


def _unpack(number: int, sent: DupFd, size: int, layout: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401  # a dict
    file = sent.detach()
    try:
        memory = _mapped(file, size)
    finally:
        os.close(file)
    return number, _fill(layout, memory)
