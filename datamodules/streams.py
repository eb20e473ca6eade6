"""Streams of batches: training in the exact order, evaluation in the order of the shards.

Workers that are spawned import this module, so it does without Lightning, which takes seconds to import.
"""

import mmap
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from multiprocessing.queues import Queue
from multiprocessing.resource_sharer import DupFd
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from mcmfh_lightning.datamodules.order import BatchSequence
from mcmfh_lightning.datamodules.tables import Table
from mcmfh_lightning.errors import DataError

Numbered = tuple[int, Mapping[str, Any]]
"""A batch behind its number, by which a loader sees that none is missing."""

_ALIGNMENT = 8
"""Bytes; a tensor of any of our types may begin at a multiple of it."""


def shard_rows(num_rows: int, rank: int, world_size: int) -> NDArray[np.int64]:
    """Return the contiguous part of 0 .. N - 1 that belongs to a rank; all parts together are every row once.

    >>> [shard_rows(5, rank, 2).tolist() for rank in range(2)]
    [[0, 1], [2, 3, 4]]
    """
    return np.arange(num_rows * rank // world_size, num_rows * (rank + 1) // world_size, dtype=np.int64)


def whole_rows(present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the positions of the items that have both an image and a text, ascending, from (N, 2) of either."""
    return np.flatnonzero(present.all(axis=1))


class BatchStream(IterableDataset[Numbered], ABC):
    """A finite sequence of whole batches, dealt out to the workers of a loader.

    Worker w of W makes batches w, w + W, ...; since a DataLoader asks its workers in turn, the batches come in the same
    order for any number of workers. Iterating gives pairs of a number and its batch. Instances are picklable.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches of a pass."""

    def numbers(self) -> range:
        """Return the numbers of the batches of the next pass."""
        return range(len(self))

    @abstractmethod
    def batch(self, number: int) -> Mapping[str, Any]:
        """Make a batch."""

    def __iter__(self) -> Iterator[Numbered]:
        worker = get_worker_info()
        if worker is None:
            return ((number, self.batch(number)) for number in self.numbers())
        _end_worker_on_loss()
        mine = self.numbers()[worker.id :: worker.num_workers]
        if sys.platform != "linux":
            return ((number, self.batch(number)) for number in mine)  # each tensor in shared memory of torch
        return map(Parcel, mine, map(self.batch, mine))  # type: ignore[arg-type]  # arrive unpacked


class TrainingStream(BatchStream):
    """A rank's part of the global batches of a run; a pass is an epoch's number of them, beginning at `position`.

    Args:
        table: Where the rows are.
        sequence: The global batches.
        rank: Number of this process.
        world_size: Number of processes.

    Attributes:
        position: Number of the first batch of the next pass; workers that already run see it change.
    """

    def __init__(self, table: Table, sequence: BatchSequence, *, rank: int, world_size: int) -> None:
        self.table = table
        self.sequence = sequence
        self.rank = rank
        self.world_size = world_size
        # Memory that forked workers share without a file in /dev/shm, which may be full.
        self._position = torch.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), dtype=torch.int64, count=1)

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def position(self) -> int:
        """Number of the first batch of the next pass."""
        return int(self._position)

    @position.setter
    def position(self, number: int) -> None:
        self._position.fill_(number)

    def numbers(self) -> range:
        """Return the numbers of the batches of the next pass."""
        return range(self.position, self.position + len(self))

    def batch(self, number: int) -> Mapping[str, Any]:
        """Make this rank's part of a global batch."""
        rows = self.sequence.batch(number)  # (B,) of all ranks
        size = len(rows) // self.world_size
        return self.table.batch(rows[self.rank * size : (self.rank + 1) * size])


class EvaluationStream(BatchStream):
    """Rows of a table in the order of the shards.

    Args:
        table: Where the rows are.
        rows: (N,) int64 rows, ascending.
        batch_size: Rows of a batch; the last may be a smaller one.
    """

    def __init__(self, table: Table, rows: NDArray[np.int64], batch_size: int) -> None:
        self.table = table
        self.rows = rows
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def batch(self, number: int) -> Mapping[str, Any]:
        """Make a batch."""
        return self.table.batch(self.rows[number * self.batch_size : (number + 1) * self.batch_size])


def _end_worker_on_loss() -> None:
    """End this worker when one of its threads that send batches fails.

    Python prints such an error and forgets the batch; the loader would skip it, or wait for it forever. That a worker
    has ended is seen by the loader at once.
    """

    def end(error: BaseException) -> None:
        if not isinstance(error, BrokenPipeError):  # the process that asked has ended
            sys.stderr.write(f"a worker process of a loader could not hand over a batch: {error!r}\n")
            sys.stderr.flush()
        os._exit(1)

    # The thread that feeds the queue calls the first, the one that sends open files the second.
    Queue._on_queue_feeder_error = staticmethod(lambda error, _: end(error))  # type: ignore[attr-defined]  # no stub has it
    sys.excepthook = lambda _, error, __: end(error)


class _Slot(NamedTuple):
    """Place of a tensor in the memory of a parcel."""

    begin: int
    dtype: torch.dtype
    shape: torch.Size


class Parcel:
    """A batch on its way from a worker, in one piece of memory; it arrives as ``(number, batch)``.

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
        placed: list[tuple[_Slot, Tensor]] = []
        self._size = 1  # the system maps no file of 0 bytes

        def place(tensor: Tensor) -> _Slot:
            placed.append((_Slot(-(-self._size // _ALIGNMENT) * _ALIGNMENT, tensor.dtype, tensor.shape), tensor))
            self._size = placed[-1][0].begin + tensor.nbytes
            return placed[-1][0]

        self._number = number
        self._layout = apply_to_collection(batch, Tensor, place)
        try:
            file = os.memfd_create("mcmfh-batch")
            try:
                os.posix_fallocate(file, 0, self._size)  # a write to memory that is not there would kill the process
                memory = torch.frombuffer(mmap.mmap(file, self._size), dtype=torch.uint8)
                self._file = DupFd(file)
            finally:
                os.close(file)
        except OSError as error:
            raise DataError(
                f"a worker process has no memory to hand over a batch of {self._size / 2**20:.1f} MiB"
                f" ({error.strerror}): use fewer workers, smaller batches, or none (num_workers=0,"
                " --data.num-workers 0)"
            ) from error
        for slot, tensor in placed:
            _view(slot, memory).copy_(tensor)

    def __reduce__(self) -> tuple[Any, ...]:
        """Say how to unpack; called when the batch is put into the worker's queue."""
        return _unpack, (self._number, self._file, self._size, self._layout)


def _view(slot: _Slot, memory: Tensor) -> Tensor:
    end = slot.begin + slot.dtype.itemsize * slot.shape.numel()
    return memory[slot.begin : end].view(slot.dtype).view(slot.shape)


def _unpack(number: int, sent: DupFd, size: int, layout: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401  # a dict
    file = sent.detach()
    try:
        memory = torch.frombuffer(mmap.mmap(file, size), dtype=torch.uint8)
    finally:
        os.close(file)
    return number, apply_to_collection(layout, _Slot, _view, memory)
