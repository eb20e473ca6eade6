"""A datamodule of raw pairs, for encoders."""

from collections.abc import Mapping
from typing import Any, Protocol

from mcmfh_lightning.datamodules.base import ShardDataModule
from mcmfh_lightning.datamodules.tables import PairTable, Preprocess, Tokenize
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import PairShardReader


class _Encoder(Protocol):
    identity: Mapping[str, Any]
    preprocess: Preprocess
    tokenize: Tokenize


class PairDataModule(ShardDataModule[PairShardReader]):
    """Batches from a folder of pair shards; see `mcmfh_lightning.datamodules.base.ShardDataModule`.

    Pictures and texts are prepared by the encoder of the attached LightningModule (its
    ``encoder.preprocess`` and ``encoder.tokenize``). For ``predict`` there is one loader a split; each rank has a
    contiguous part of each, and every item is there exactly once. The other stages serve a module that trains its
    encoder.

    Args:
        root: The folder that a converter wrote: a local path, or a URL that fsspec opens (``s3://``, ``https://`` ...).
        batch_size: Items of a batch on each rank, except in training.
        num_workers: Processes per loader that read and decode ahead; 0 does so in the main process, None takes as many
            as Lightning suggests for the cores of the machine and its ranks.
        global_batch_size: Pairs of a training step, of all ranks together; None fits it to the collection.
        seed: Seed of the training order.
        unique_groups: Whether a global batch may hold no two pairs of one group.
        cache: Local folder for shards of a URL; in the user's cache folder if None.

    Raises:
        ValueError: If a number is out of its range.
    """

    def __init__(
        self,
        root: str,
        batch_size: int = 32,
        num_workers: int | None = None,
        global_batch_size: int | None = None,
        seed: int = 0,
        *,
        unique_groups: bool = False,
        cache: str | None = None,
    ) -> None:
        super().__init__(root, global_batch_size, num_workers, seed, unique_groups=unique_groups, cache=cache)
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        self.batch_size = batch_size

    @property
    def evaluation_batch_size(self) -> int:  # type: ignore[override]  # a tuner may change the batch size
        """Pairs of a batch of evaluation."""
        return self.batch_size

    def setup(self, stage: str) -> None:
        """Check that the folder serves the stage.

        Raises:
            DataError: If it does not hold pairs, or as `ShardDataModule.setup`.
        """
        if self.info.format != "mcmfh-pairs":
            raise DataError(
                f"{self.folder} holds {self.info.format}, not pairs: give the folder that a converter wrote"
            )
        super().setup(stage)

    @property
    def encoder(self) -> Mapping[str, Any]:
        """Identity of the encoder of the attached module.

        Raises:
            ValueError: If no module with an encoder is attached.
        """
        return self._encoder().identity

    def open(self, splits: tuple[str, ...]) -> PairShardReader:
        """Open one or more splits."""
        return PairShardReader(self.folder, splits)

    def table(self, reader: PairShardReader) -> PairTable:
        """Return the table that makes batches of what a reader reads.

        Raises:
            ValueError: If no module with an encoder is attached.
        """
        encoder = self._encoder()
        return PairTable(reader, encoder.preprocess, encoder.tokenize)

    def _encoder(self) -> _Encoder:
        encoder = None if self.trainer is None else getattr(self.trainer.lightning_module, "encoder", None)
        if encoder is None:
            raise ValueError(
                "pairs are prepared by an encoder: run Trainer.predict or Trainer.fit with a module that has one"
            )
        found: _Encoder = encoder
        return found
