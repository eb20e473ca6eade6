"""A datamodule of features, for hashers."""

from collections.abc import Mapping
from typing import Any

from mcmfh_lightning.datamodules.base import ShardDataModule
from mcmfh_lightning.datamodules.tables import FeatureTable
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import FeatureShardReader


class FeatureDataModule(ShardDataModule[FeatureShardReader]):
    """Batches from a folder of feature shards; see `mcmfh_lightning.datamodules.base.ShardDataModule`.

    Args:
        root: The folder that `predict` wrote: a local path, or a URL that fsspec opens (``s3://``, ``https://`` ...).
        global_batch_size: Pairs of a training step, of all ranks together; None fits it to the collection.
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

    # It changes no result, so it is not an option: large enough to keep the kernels busy, small enough for any hasher.
    evaluation_batch_size = 1024

    def __init__(
        self,
        root: str,
        global_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        *,
        unique_groups: bool = False,
        cache: str | None = None,
    ) -> None:
        super().__init__(root, global_batch_size, num_workers, seed, unique_groups=unique_groups, cache=cache)
        if self.info.image_dim is None or self.info.text_dim is None or self.info.encoder is None:
            raise DataError(f"{root} holds {self.info.format}, not features: encode it with `mcmfh predict` first")
        self.image_dim: int = self.info.image_dim
        self.text_dim: int = self.info.text_dim
        self.encoder: Mapping[str, Any] = self.info.encoder

    def open(self, splits: tuple[str, ...]) -> FeatureShardReader:
        """Open one or more splits."""
        return FeatureShardReader(self.folder, splits, self.info)

    def table(self, reader: FeatureShardReader) -> FeatureTable:
        """Return the table that makes batches of what a reader reads."""
        reader.load_columns()  # here, so that workers need not read them each
        return FeatureTable(reader)
