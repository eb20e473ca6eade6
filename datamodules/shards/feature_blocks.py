"""The record of a feature shard: a block of pairs as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcmfh_lightning.datamodules.shards.members import encode_json, encode_npy
from mcmfh_lightning.errors import DataError

BLOCK_PAIRS = 1024
"""Pairs of a whole block: large enough that a header a block costs nothing, small enough to be shuffled as one."""

ARRAYS: Mapping[str, np.dtype[np.generic]] = {
    "image.npy": np.dtype("<f2"),
    "text.npy": np.dtype("<f2"),
    "labels.npy": np.dtype("u1"),
    "groups.npy": np.dtype("<i8"),
    "texts.npy": np.dtype("<i8"),
}
"""Array members of a block with their types; all have one row a pair, the first three two dimensions."""

IDS = "ids.json"

FLOAT16_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class FeatureRows:
    """Features of n pairs, as they are written.

    Attributes:
        ids: n names.
        image: (n, image_dim) floats.
        text: (n, text_dim) floats.
        labels: (n, ceil(num_labels / 8)) uint8, packed.
        groups: (n,) int64.
        text_hashes: (n,) int64.
    """

    ids: Sequence[str]
    image: NDArray[np.floating]
    text: NDArray[np.floating]
    labels: NDArray[np.uint8]
    groups: NDArray[np.int64]
    text_hashes: NDArray[np.int64]

    def __post_init__(self) -> None:
        rows = len(self.ids)
        shapes = {
            "image": (self.image, 2),
            "text": (self.text, 2),
            "labels": (self.labels, 2),
            "groups": (self.groups, 1),
            "text_hashes": (self.text_hashes, 1),
        }
        for name, (array, dimensions) in shapes.items():
            if array.ndim != dimensions or len(array) != rows:
                raise ValueError(
                    f"{name} has shape {array.shape}; {rows} ids need {dimensions} dimensions, {rows} rows"
                )
        if self.labels.dtype != np.uint8:
            raise ValueError(f"labels are {self.labels.dtype}; pack them into uint8 with pack_labels()")

    def to_members(self) -> dict[str, bytes]:
        """Turn the rows into the members of a record, by extension.

        Raises:
            DataError: If an embedding is NaN, infinite or too large for half precision.
        """
        arrays: dict[str, NDArray[np.generic]] = {
            "image.npy": self._halved("image", self.image),
            "text.npy": self._halved("text", self.text),
            "labels.npy": self.labels,
            "groups.npy": self.groups,
            "texts.npy": self.text_hashes,
        }
        members = {name: encode_npy(array.astype(ARRAYS[name])) for name, array in arrays.items()}
        return {**members, IDS: encode_json(list(self.ids))}

    def _halved(self, name: str, array: NDArray[np.floating]) -> NDArray[np.float16]:
        # Written so that NaN fails too: every comparison with it is false.
        fits = (np.abs(array) <= FLOAT16_MAX).all(axis=1)
        if not fits.all():
            raise DataError(
                f"pair {self.ids[int(np.argmin(fits))]}: its {name} embedding is not finite or exceeds"
                f" {FLOAT16_MAX:.0f}, the largest half-precision number; check the encoder's weights and its precision"
            )
        return array.astype(np.float16)
