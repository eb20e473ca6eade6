"""Features for hashers."""

from collections.abc import Mapping, Sequence
from typing import Any

from mcmfh_lightning.datamodules.base import ShardDataModule
from mcmfh_lightning.datamodules.tables import FeatureTable
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import FeatureShardReader

EVALUATION_BATCH_SIZE = 1024
"""Items of an evaluation batch on each rank. It changes no result, so it is no option: large enough to keep the kernels
busy, small enough for any hasher."""


class FeatureDataModule(ShardDataModule[FeatureShardReader]):
    """Batches from a folder of feature shards; see `mcmfh_lightning.datamodules.base.ShardDataModule`.

    Args:
        root: The folder that `predict` wrote: a local path, or a URL that fsspec opens (``s3://``, ``https://`` ...).
        global_batch_size: Pairs of a training step, of all ranks together.
        num_workers: Processes per loader that read ahead; 0 reads in the training process.
        seed: Seed of the training order.
        unique_groups: Whether a global batch may hold no two pairs of one group.
        cache: Local folder for shards of a URL; in the user's cache folder if None.

    Attributes:
        image_dim: Width of the image embeddings.
        text_dim: Width of the text embeddings.
        encoder: Identity of the encoder.

    Raises:
        DataError: If the folder does not hold features.
        ValueError: If a number is out of its range.
    """

    def __init__(
        self,
        root: str,
        global_batch_size: int = 256,
        num_workers: int = 0,
        seed: int = 0,
        *,
        unique_groups: bool = False,
        cache: str | None = None,
    ) -> None:
        super().__init__(
            root,
            global_batch_size=global_batch_size,
            num_workers=num_workers,
            seed=seed,
            unique_groups=unique_groups,
            cache=cache,
        )
        if self.info.image_dim is None or self.info.text_dim is None or self.info.encoder is None:
            raise DataError(f"{root} holds {self.info.format}, not features: encode it with `mcmfh predict` first")
        self.image_dim: int = self.info.image_dim
        self.text_dim: int = self.info.text_dim
        self.encoder: Mapping[str, Any] = self.info.encoder

    @property
    def evaluation_batch_size(self) -> int:
        """Items of an evaluation batch on each rank."""
        return EVALUATION_BATCH_SIZE

    def open(self, split: str) -> FeatureShardReader:
        """Open a split."""
        return FeatureShardReader(self.folder, split, self.info)

    def table(self, splits: Sequence[str]) -> FeatureTable:
        """Return splits as one table."""
        readers = [self.reader(split) for split in splits]
        for reader in readers:
            reader.load_columns()  # here, so that workers need not read them each
        return FeatureTable(readers)
