"""What the statistics of a split are made of: its columns, without pictures and texts themselves."""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from mcmfh_lightning.datamodules.shards import (
    DatasetInfo,
    FeatureShardReader,
    Pair,
    PairShardReader,
    unpack_bits,
)
from mcmfh_lightning.datamodules.shards.folder import ShardFolder


@dataclass(frozen=True)
class SplitTable:
    """Columns of the N items of a split.

    Attributes:
        labels: (N, ceil(num_labels / 8)) uint8, packed.
        groups: (N,) int64.
        present: (N, 2) bool: whether an item has an image, a text.
        words: Number of words of each text; None for features, which do not hold texts.
        sizes: (pictures, 2) width and height in pixels; None for features.
    """

    labels: NDArray[np.uint8]
    groups: NDArray[np.int64]
    present: NDArray[np.bool_]
    words: NDArray[np.int64] | None = None
    sizes: NDArray[np.int64] | None = None

    def hot(self, num_labels: int) -> NDArray[np.bool_]:
        """Labels as (N, num_labels) bool."""
        return unpack_bits(self.labels, num_labels)


def read_split(folder: ShardFolder, info: DatasetInfo, split: str, console: Console) -> SplitTable:
    """Read the columns of a split.

    Args:
        folder: A folder of pair or feature shards.
        info: Content of its ``dataset.json``.
        split: A split that the folder has.
        console: Where progress is shown.

    Raises:
        DataError: If the folder is damaged; ``mcmfh-data verify`` says all that is.
    """
    if info.format == "mcmfh-features":
        features = FeatureShardReader(folder, split)
        return SplitTable(features.labels, features.groups, features.present)
    pairs = PairShardReader(folder, split)
    steps = track(range(len(pairs)), f"reading {split}", console=console)
    words, sizes = _measure(pairs[position] for position in steps)
    return SplitTable(pairs.labels, pairs.groups, pairs.present, words, sizes)


def _measure(pairs: Iterable[Pair]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    words, sizes = [], []
    for pair in pairs:
        if pair.text is not None:
            words.append(len(pair.text.split()))
        if pair.image is not None:
            with Image.open(io.BytesIO(pair.image)) as image:  # the header only
                sizes.append(image.size)
    return np.array(words, dtype=np.int64), np.array(sizes, dtype=np.int64).reshape(-1, 2)
