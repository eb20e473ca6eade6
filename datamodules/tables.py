"""Splits of a folder as tables that make batches of any of their rows."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import FeatureShardReader, PairShardReader, decode_image, pack_labels, text_hash

Preprocess = Callable[[Image], Tensor]
Tokenize = Callable[[Sequence[str]], Tensor | dict[str, Tensor]]


class FeatureTable:
    """Features; makes `mcmfh_lightning.types.FeatureBatch`.

    Args:
        reader: Where the rows are.
    """

    def __init__(self, reader: FeatureShardReader) -> None:
        self._reader = reader

    def batch(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Make a batch of some rows, in their order.

        Raises:
            DataError: If one of them is damaged; the message names shard and pair.
        """
        # Embeddings as stored: torch has an instruction to convert them, NumPy takes some twenty times as long.
        batch = {name: torch.from_numpy(column) for name, column in self._reader.gather(rows, np.float16).items()}
        return batch | {"image": batch["image"].float(), "text": batch["text"].float()}


class PairTable:
    """Pictures and texts as an encoder wants them; makes `mcmfh_lightning.types.PairBatch`.

    Args:
        reader: Where the rows are.
        preprocess: Makes a (3, H, W) tensor of a picture.
        tokenize: Makes a tensor, or several by name, of texts.
    """

    def __init__(self, reader: PairShardReader, preprocess: Preprocess, tokenize: Tokenize) -> None:
        self._reader = reader
        self._preprocess = preprocess
        self._tokenize = tokenize

    def batch(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Make a batch of some rows, in their order.

        Raises:
            DataError: If one of them is damaged; the message names shard and pair.
        """
        pairs = [self._reader[row] for row in rows.tolist()]
        images = [
            self._image(row, pair.image)
            for row, pair in zip(rows.tolist(), pairs, strict=True)
            if pair.image is not None
        ]
        texts = [pair.text for pair in pairs if pair.text is not None]
        vocabulary = self._reader.info.label_vocabulary
        return {
            "image": torch.stack(images) if images else torch.empty(0, 3, 0, 0),
            "text": self._tokenize(texts) if texts else {},
            "present": torch.tensor([(pair.image is not None, pair.text is not None) for pair in pairs]),
            "labels": torch.from_numpy(pack_labels([pair.labels for pair in pairs], vocabulary)),
            "group": torch.tensor([pair.group for pair in pairs]),
            "text_hash": torch.tensor([0 if pair.text is None else text_hash(pair.text) for pair in pairs]),
            "index": torch.from_numpy(rows),
        }

    def _image(self, row: int, data: bytes) -> Tensor:
        try:
            image = decode_image(data)
        except DataError as error:
            raise DataError(f"{self._reader.where(row)}: {error}; convert the collection again") from error
        return self._preprocess(image)


Table = FeatureTable | PairTable
