"""What the datamodules share: whole batches over workers and ranks."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

import numpy as np
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


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
        offset, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return map(self.batch, self.numbers()[offset::step])


def shard_rows(num_rows: int, rank: int, world_size: int) -> NDArray[np.int64]:
    """Return the contiguous part of 0 .. N - 1 that belongs to a rank; all parts together are every row once.

    >>> [shard_rows(5, rank, 2).tolist() for rank in range(2)]
    [[0, 1], [2, 3, 4]]
    """
    return np.arange(num_rows * rank // world_size, num_rows * (rank + 1) // world_size, dtype=np.int64)


class LoaderSettings(TypedDict):
    """Arguments that all loaders share."""

    batch_size: None
    num_workers: int
    pin_memory: bool


class ShardDataModule(LightningDataModule):
    """A datamodule over a folder of shards.

    Rank and number of ranks come from the attached trainer, never from the environment. Without a trainer, as in a
    notebook, this is the only process.

    Args:
        root: A folder of shards.
        num_workers: Processes per loader that read ahead; 0 reads in the training process.

    Raises:
        ValueError: If ``num_workers`` is negative.
    """

    def __init__(self, root: str, num_workers: int) -> None:
        super().__init__()
        if num_workers < 0:
            raise ValueError(f"num_workers is {num_workers}; it must be at least 0")
        self.root = root
        self.num_workers = num_workers
        # A split may have fewer pairs than there are ranks: then some ranks have none.
        self.allow_zero_length_dataloader_with_multiple_devices = True

    @property
    def rank(self) -> int:
        """Number of this process."""
        return 0 if self.trainer is None else self.trainer.global_rank

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return 1 if self.trainer is None else self.trainer.world_size

    def loader(self, stream: BatchStream) -> DataLoader[Mapping[str, Any]]:
        """Return a loader of all batches of a stream."""
        return DataLoader(stream, **self.loader_settings())

    def loader_settings(self) -> LoaderSettings:
        """Return the arguments that all loaders share; Lightning leaves loaders of whole batches as they are."""
        on_cuda = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return {"batch_size": None, "num_workers": self.num_workers, "pin_memory": on_cuda}
