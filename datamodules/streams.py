"""Streams of batches: training in the exact order, evaluation in the order of the shards."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

# Workers that are spawned import this module: no Lightning here, which takes seconds.
from mcmfh_lightning.datamodules.order import rank_slice
from mcmfh_lightning.datamodules.parcel import Parcel
from mcmfh_lightning.datamodules.sequence import BatchSequence
from mcmfh_lightning.datamodules.tables import FeatureTable, PairTable

AnyTable = FeatureTable | PairTable


class BatchStream(IterableDataset[Mapping[str, Any]], ABC):
    """A finite sequence of whole batches, dealt out to the workers of a loader.

    Worker w of W makes batches w, w + W, ...; since a DataLoader asks its workers in turn, the batches come in the same
    order for any number of workers. Instances are picklable.
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

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        worker = get_worker_info()
        if worker is None:
            return map(self.batch, self.numbers())
        return map(_to_send, map(self.batch, self.numbers()[worker.id :: worker.num_workers]))


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
        self._position = torch.zeros((), dtype=torch.int64)
        self._position.share_memory_()  # type: ignore[no-untyped-call]  # torch's own

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


def _to_send(batch: Mapping[str, Any]) -> Any:  # noqa: ANN401  # arrives as the batch
    """Make one piece of a batch of tensors; nested ones, as encoders take them, go as they are."""
    return Parcel(batch) if all(isinstance(value, Tensor) for value in batch.values()) else batch
