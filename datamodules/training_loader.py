"""The loader of training batches, which goes on where the trainer stands."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from mcmfh_lightning.datamodules.progress import batches_trained
from mcmfh_lightning.datamodules.streams import TrainingStream

if TYPE_CHECKING:
    from torch.utils.data.dataloader import _BaseDataLoaderIter


class TrainingLoader(DataLoader[Mapping[str, Any]]):
    """A loader that asks the trainer for its position whenever it is iterated.

    Workers begin to read as soon as a loader is iterated, so the position must be known before. They live as long as
    the loader: starting them anew for an epoch of a small collection takes as long as reading it.

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
        super().__init__(
            dataset,
            batch_size=batch_size,
            num_workers=num_workers,
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
        )
        self._stream = dataset
        self._trainer = trainer
        self._announced = -1

    def __iter__(self) -> "_BaseDataLoaderIter":
        stream, sequence = self._stream, self._stream.sequence
        stream.position = batches_trained(self._trainer)
        epoch = stream.position // len(stream)
        # Here, so that workers that are forked now inherit the order and need not compute it each.
        sequence.order(epoch)
        if epoch != self._announced and sequence.left_out:
            rank_zero_info(f"epoch {epoch}: {sequence.left_out} of {len(sequence.rows)} training pairs sit out")
        self._announced = epoch
        return super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Return nothing, as the position is the trainer's; that the method exists tells Lightning that we resume."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Do nothing; see `state_dict`."""
