"""Raw pairs for encoders."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader

from mcmfh_lightning.datamodules.base import BatchStream, ShardDataModule, shard_rows
from mcmfh_lightning.datamodules.shards import SPLITS, DatasetInfo, PairShardReader, decode_image
from mcmfh_lightning.errors import DataError

Preprocess = Callable[[Image], Tensor]
Tokenize = Callable[[Sequence[str]], Tensor | dict[str, Tensor]]


class PairStream(BatchStream):
    """Rows of a split in the order of the shards, as ``PairBatch``.

    Args:
        reader: The split.
        rows: (N,) int64 rows.
        batch_size: Pairs of a batch; the last may be a smaller one.
        preprocess: Makes a (3, H, W) tensor of a picture.
        tokenize: Makes a tensor, or several by name, of texts.
    """

    def __init__(
        self,
        reader: PairShardReader,
        rows: NDArray[np.int64],
        *,
        batch_size: int,
        preprocess: Preprocess,
        tokenize: Tokenize,
    ) -> None:
        self.reader = reader
        self.rows = rows
        self.batch_size = batch_size
        self.preprocess = preprocess
        self.tokenize = tokenize

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def batch(self, number: int) -> dict[str, Any]:
        """Make a batch.

        Raises:
            DataError: If a record or a picture is damaged; the message names shard and id.
        """
        rows = self.rows[number * self.batch_size : (number + 1) * self.batch_size]
        pairs = [self.reader[int(row)] for row in rows]
        images = [self._image(int(row), pair.image) for row, pair in zip(rows, pairs, strict=True)]
        return {
            "image": torch.stack(images),
            "text": self.tokenize([pair.text for pair in pairs]),
            "index": torch.from_numpy(rows),
        }

    def _image(self, row: int, data: bytes) -> Tensor:
        try:
            image = decode_image(data)
        except DataError as error:
            raise DataError(f"{self.reader.where(row)}: {error}; convert the collection again") from error
        return self.preprocess(image)


class _HasTransforms(Protocol):
    preprocess: Preprocess
    tokenize: Tokenize


class PairDataModule(ShardDataModule):
    """Every pair of a folder of pair shards exactly once, for ``predict``.

    One loader a split; each rank has a contiguous part of each split. Pictures and texts are prepared by the encoder of
    the attached LightningModule (``lightning_module.encoder.preprocess`` and ``.tokenize``).

    Args:
        root: The folder that a converter wrote.
        batch_size: Pairs of a batch on each rank.
        num_workers: Processes per loader that read ahead; 0 reads in the main process.

    Attributes:
        info: Content of ``dataset.json``.

    Raises:
        DataError: If the folder does not hold pairs.
        ValueError: If a number is out of its range.
    """

    def __init__(self, root: str, batch_size: int = 32, num_workers: int = 0) -> None:
        super().__init__(root, num_workers)
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        self.batch_size = batch_size
        self.info = DatasetInfo.load(root)
        if self.info.format != "mcmfh-pairs":
            raise DataError(f"{root} holds {self.info.format}, not pairs: give the folder that a converter wrote")
        self._readers: dict[str, PairShardReader] = {}

    @property
    def splits(self) -> list[str]:
        """The splits that have pairs, in the order of the loaders."""
        return [split for split in SPLITS if self.info.split(split).pairs]

    def split_of(self, dataloader_idx: int) -> str:
        """Return the split of a loader."""
        return self.splits[dataloader_idx]

    def reader(self, split: str) -> PairShardReader:
        """Return the pairs of a split."""
        if split not in self._readers:
            self._readers[split] = PairShardReader(self.root, split)
        return self._readers[split]

    def predict_dataloader(self) -> list[DataLoader[Mapping[str, Any]]]:
        """Return one loader a split.

        Raises:
            ValueError: If no module with an encoder is attached.
        """
        encoder = self._encoder()
        return [
            self.loader(
                PairStream(
                    self.reader(split),
                    shard_rows(len(self.reader(split)), self.rank, self.world_size),
                    batch_size=self.batch_size,
                    preprocess=encoder.preprocess,
                    tokenize=encoder.tokenize,
                )
            )
            for split in self.splits
        ]

    def _encoder(self) -> _HasTransforms:
        encoder = None if self.trainer is None else getattr(self.trainer.lightning_module, "encoder", None)
        if encoder is None:
            raise ValueError("pairs are prepared by an encoder: run Trainer.predict with a module that has one")
        found: _HasTransforms = encoder
        return found
