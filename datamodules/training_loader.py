"""The loader of training batches, which goes on where the trainer stands."""

from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info

from mcmfh_lightning.datamodules.loader import BatchLoader
from mcmfh_lightning.datamodules.progress import batches_trained
from mcmfh_lightning.datamodules.streams import TrainingStream


class TrainingLoader(BatchLoader):
    """A loader that asks the trainer for its position whenever it is iterated.

    Workers begin to read as soon as a loader is iterated, so the position must be known before. They live as long as
    the loader: starting them anew for an epoch of a small collection takes as long as reading it.

    Args:
        dataset: What to load.
        trainer: The trainer, or None to start at the beginning.
        num_workers: Processes that read ahead.
        options: Other arguments of torch's `DataLoader`.
    """

    stream: TrainingStream

    def __init__(
        self,
        dataset: TrainingStream,
        trainer: Trainer | None,
        *,
        num_workers: int = 0,
        **options: Any,  # noqa: ANN401  # torch's
    ) -> None:
        options["persistent_workers"] = num_workers > 0
        super().__init__(dataset, "train", num_workers=num_workers, **options)
        self._trainer = trainer
        self._announced = -1

    def __iter__(self) -> Iterator[Mapping[str, Any]]:  # type: ignore[override]  # see `BatchLoader`
        """Start where the trainer stands."""
        stream, sequence = self.stream, self.stream.sequence
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
