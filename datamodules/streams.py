"""Streams of feature batches: training in the exact order, evaluation in the order of the shards."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from mcmfh_lightning.datamodules.base import BatchStream
from mcmfh_lightning.datamodules.order import epoch_order, global_batch, num_global_batches, rank_slice
from mcmfh_lightning.datamodules.progress import batches_trained
from mcmfh_lightning.datamodules.shards import FeatureShardReader

if TYPE_CHECKING:
    from torch.utils.data.dataloader import _BaseDataLoaderIter

EVALUATION_BATCH_SIZE = 1024
"""Pairs of an evaluation batch on each rank. It changes no result, so it is no option: large enough to keep the kernels
busy, small enough for any hasher."""


def _to_tensors(rows: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in rows.items()}


class TrainingStream(BatchStream):
    """A rank's part of the global batches of a run, as ``FeatureBatch``.

    The batches of a run are one sequence: number t is batch t mod n of epoch t // n, with n batches an epoch. A pass is
    n of them, from `position` on.

    Args:
        reader: The training split.
        seed: Seed of the order.
        global_batch_size: Pairs of all ranks' batches together.
        rank: Number of this process.
        world_size: Number of processes.

    Attributes:
        position: Number of the first batch of the next pass.
    """

    def __init__(
        self, reader: FeatureShardReader, *, seed: int, global_batch_size: int, rank: int, world_size: int
    ) -> None:
        self.reader = reader
        self.seed = seed
        self.global_batch_size = global_batch_size
        self.rank = rank
        self.world_size = world_size
        self.position = 0
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return num_global_batches(len(self.reader), self.global_batch_size)

    def numbers(self) -> range:
        """Return the numbers of the batches of the next pass."""
        return range(self.position, self.position + len(self))

    def batch(self, number: int) -> dict[str, Tensor]:
        """Make this rank's part of a global batch."""
        epoch, number = divmod(number, len(self))
        rows = global_batch(self.order(epoch), number, self.global_batch_size)
        return _to_tensors(self.reader.gather(rank_slice(rows, self.rank, self.world_size)))

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order of an epoch; that of the last one asked for is kept."""
        if epoch != self._epoch:
            self._order = epoch_order(len(self.reader), seed=self.seed, epoch=epoch)
            self._epoch = epoch
        return self._order

    @property
    def left_out(self) -> int:
        """Number of pairs that sit out an epoch, other ones every time: less than a global batch."""
        return len(self.reader) - len(self) * self.global_batch_size


class TrainingLoader(DataLoader[Mapping[str, Any]]):
    """A loader that asks the trainer for its position whenever it is iterated.

    Workers begin to read as soon as a loader is iterated, so the position must be known before they start.

    Args:
        dataset: What to load.
        trainer: The trainer, or None to start at the beginning.
        batch_size: None: the batches come whole.
        num_workers: Processes that read ahead.
        pin_memory: Whether batches go to page-locked memory.
    """

    def __init__(
        self, dataset: TrainingStream, trainer: Trainer | None, *, batch_size: None, num_workers: int, pin_memory: bool
    ) -> None:
        super().__init__(dataset, batch_size=batch_size, num_workers=num_workers, pin_memory=pin_memory)
        self._stream = dataset
        self._trainer = trainer
        self._announced = -1

    def __iter__(self) -> "_BaseDataLoaderIter":
        stream = self._stream
        stream.position = batches_trained(self._trainer)
        epoch = stream.position // len(stream)
        # Here, so that forked workers inherit the order and need not compute it each.
        stream.order(epoch)
        if epoch != self._announced and stream.left_out:
            rank_zero_info(f"epoch {epoch}: {stream.left_out} of {len(stream.reader)} training pairs sit out")
        self._announced = epoch
        return super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Return nothing, as the position is the trainer's; that the method exists tells Lightning that we resume."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Do nothing; see `state_dict`."""


class EvaluationStream(BatchStream):
    """Rows of one or more splits in the order of the shards, as ``FeatureBatch``.

    Args:
        readers: The splits, taken as one table; ``index`` counts through all of them.
        rows: (N,) int64 contiguous rows of that table.
    """

    def __init__(self, readers: Sequence[FeatureShardReader], rows: NDArray[np.int64]) -> None:
        self.readers = readers
        self.rows = rows

    def __len__(self) -> int:
        return -(-len(self.rows) // EVALUATION_BATCH_SIZE)

    def batch(self, number: int) -> dict[str, Tensor]:
        """Make a batch; the last may be a smaller one."""
        rows = self.rows[number * EVALUATION_BATCH_SIZE : (number + 1) * EVALUATION_BATCH_SIZE]
        parts = []
        begin = 0
        for reader in self.readers:
            here = rows[(rows >= begin) & (rows < begin + len(reader))] - begin
            part = _to_tensors(reader.gather(here))
            part["index"] += begin
            parts.append(part)
            begin += len(reader)
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
