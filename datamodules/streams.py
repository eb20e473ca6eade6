"""Streams of batches: training in the exact order, evaluation in the order of the shards.

Where a run stands, read from the trainer: the only counter that a checkpoint restores exactly.
"""

import mmap
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from multiprocessing.queues import Queue
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

# Workers that are spawned import this module: no Lightning here, which takes seconds.
from mcmfh_lightning.datamodules.order import BatchSequence, rank_slice
from mcmfh_lightning.datamodules.parcel import Parcel
from mcmfh_lightning.datamodules.tables import FeatureTable, PairTable

AnyTable = FeatureTable | PairTable


Numbered = tuple[int, Mapping[str, Any]]
"""A batch behind its number, by which a loader sees that none is missing."""


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
    """A rank's part of the global batches of a run; a pass is an epoch's number of them, from `position` on.

    Args:
        table: Where the rows are.
        sequence: The global batches.
        rank: Number of this process.
        world_size: Number of processes.

    Attributes:
        position: Number of the first batch of the next pass; workers that already run see it change.
    """

    def __init__(self, table: AnyTable, sequence: BatchSequence, *, rank: int, world_size: int) -> None:
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
        return self.table.batch(rank_slice(self.sequence.batch(number), self.rank, self.world_size))


class EvaluationStream(BatchStream):
    """Rows of a table in the order of the shards.

    Args:
        table: Where the rows are.
        rows: (N,) int64 rows, ascending.
        batch_size: Rows of a batch; the last may be a smaller one.
    """

    def __init__(self, table: AnyTable, rows: NDArray[np.int64], batch_size: int) -> None:
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


def batches_trained(trainer: Trainer | None) -> int:
    """Return how many batches a run has trained on, over all its epochs: the number of the next one.

    A loader cannot know this by itself: Lightning fetches ahead and workers read ahead, so when a checkpoint is saved
    the loader's own counter is beyond what was trained on. Nor does Lightning's epoch counter serve: a run limited by
    ``max_steps`` counts an epoch twice when it resumes from the end of one (seen in 2.6).

    Args:
        trainer: The trainer, at the moment at which a training loader is iterated; None stands for a new run.
    """
    if trainer is None:
        return 0
    # `processed` is raised right after the optimizer's step, before any hook that may save a checkpoint.
    processed: int = trainer.fit_loop.epoch_loop.batch_progress.total.state_dict()["processed"]
    return processed
