"""Splits of a folder as tables that make batches of any of their rows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import FeatureShardReader, PairShardReader, decode_image, pack_labels, text_hash

Preprocess = Callable[[Image], Tensor]
Tokenize = Callable[[Sequence[str]], Tensor | dict[str, Tensor]]
Reader = TypeVar("Reader", FeatureShardReader, PairShardReader)


class Table(ABC, Generic[Reader]):
    """One or more splits as one table; rows are counted through all of them.

    Args:
        readers: The splits.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self.readers: Sequence[Reader] = readers
        self._starts = np.cumsum([0, *map(len, readers)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def whole(self) -> NDArray[np.int64]:
        """Rows that have both an image and a text, ascending."""
        return np.flatnonzero(np.concatenate([reader.present for reader in self.readers]).all(axis=1))

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) int64 group of each row."""
        return np.concatenate([reader.groups for reader in self.readers])

    @abstractmethod
    def batch(self, rows: NDArray[np.int64]) -> Mapping[str, Any]:
        """Make a batch of some rows, in their order.

        Raises:
            DataError: If one of them is damaged; the message names shard and pair.
        """

    def _locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the number of the reader of each row, and the row's position there."""
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        return numbers, rows - self._starts[numbers]


class FeatureTable(Table[FeatureShardReader]):
    """Features; makes `mcmfh_lightning.types.FeatureBatch`."""

    def batch(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Make a batch."""
        numbers, positions = self._locate(rows)
        # Embeddings as stored: torch has an instruction to convert them, NumPy takes some twenty times as long.
        parts = [self.readers[number].gather(positions[numbers == number], np.float16) for number in np.unique(numbers)]
        # Back from the order of the splits to that of the rows.
        inverse = np.argsort(np.argsort(numbers, kind="stable"))
        batch = {}
        for name in parts[0]:
            column = parts[0][name] if len(parts) == 1 else np.concatenate([part[name] for part in parts])[inverse]
            batch[name] = torch.from_numpy(column)
        return batch | {"image": batch["image"].float(), "text": batch["text"].float(), "index": torch.from_numpy(rows)}


class PairTable(Table[PairShardReader]):
    """Pictures and texts as an encoder wants them; makes `mcmfh_lightning.types.PairBatch`.

    Args:
        readers: The splits.
        preprocess: Makes a (3, H, W) tensor of a picture.
        tokenize: Makes a tensor, or several by name, of texts.
    """

    def __init__(self, readers: Sequence[PairShardReader], preprocess: Preprocess, tokenize: Tokenize) -> None:
        super().__init__(readers)
        self._preprocess = preprocess
        self._tokenize = tokenize

    def batch(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Make a batch."""
        numbers, positions = self._locate(rows)
        places = list(zip(numbers.tolist(), positions.tolist(), strict=True))
        pairs = [self.readers[number][position] for number, position in places]
        images = [
            self._image(place, pair.image) for place, pair in zip(places, pairs, strict=True) if pair.image is not None
        ]
        texts = [pair.text for pair in pairs if pair.text is not None]
        vocabulary = self.readers[0].info.label_vocabulary
        return {
            "image": torch.stack(images) if images else torch.empty(0, 3, 0, 0),
            "text": self._tokenize(texts) if texts else {},
            "present": torch.tensor([(pair.image is not None, pair.text is not None) for pair in pairs]),
            "labels": torch.from_numpy(pack_labels([pair.labels for pair in pairs], vocabulary)),
            "group": torch.tensor([pair.group for pair in pairs]),
            "text_hash": torch.tensor([0 if pair.text is None else text_hash(pair.text) for pair in pairs]),
            "index": torch.from_numpy(rows),
        }

    def _image(self, place: tuple[int, int], data: bytes) -> Tensor:
        try:
            image = decode_image(data)
        except DataError as error:
            number, position = place
            raise DataError(f"{self.readers[number].where(position)}: {error}; convert the collection again") from error
        return self._preprocess(image)
