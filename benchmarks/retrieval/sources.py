"""What the items of the benchmark are drawn around: the outputs of trained hashers, and their mAP."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from generalise.runs import Data, carried, encode_test_split, ranked
from numpy.typing import NDArray
from torch.nn.functional import normalize

from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.stored import load_hasher
from mcmfh_lightning.metrics.functional import average_precision, pack_signs
from mcmfh_lightning.shards import FeatureShardReader
from retrieval.rows import QUALITY

DEPTH = 50
CHUNK = 50_000
SPLITS = ("train", "val", "test")
_BATCH = 512

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """Outputs of a trained hasher for a whole collection."""

    num_bits: int | None
    """None: real-valued embeddings."""
    cases: Floats
    """(M, D) of all pairs of the collection: relaxed codes of the case, or embeddings of length 1."""
    queries: Floats
    """(Q, D) of the images of the test split."""
    quality: Mapping[str, float]
    """By the names of `QUALITY`."""

    @property
    def width(self) -> int:
        """Bits or numbers."""
        return self.cases.shape[1]

    def draw(self, items: int, seed: int) -> Iterator[Floats]:
        """Items around those of the collection: between two of its pairs, nearer to the first.

        The same pairs and shares for every source, so that all systems search the same items. Where two pairs have one
        code, so has what lies between: codes crowd as those of the collection do.

        Args:
            items: How many, in chunks.
            seed: Of the draw.

        Returns:
            (n, D) outputs of each chunk; embeddings have length 1.
        """
        rng = np.random.default_rng(seed)
        first, second = rng.integers(len(self.cases), size=(2, items))
        share = rng.random((items, 1), dtype=np.float32) / 2
        for start in range(0, items, CHUNK):
            part = slice(start, start + CHUNK)
            drawn = self.cases[first[part]] * (1 - share[part]) + self.cases[second[part]] * share[part]
            yield drawn if self.num_bits else drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def source(checkpoint: Path, features: Path) -> Source:
    """Outputs and mAP of a checkpoint."""
    hasher = load_hasher(checkpoint).hasher
    cosine = hasher.distance == "cosine"
    cases = torch.cat([_outputs(hasher, features, split)["case"] for split in SPLITS])
    queries = _outputs(hasher, features, "test")["image"]
    if cosine:
        cases, queries = normalize(cases), normalize(queries)
    return Source(None if cosine else cases.shape[1], cases.numpy(), queries.numpy(), _quality(hasher, features))


def pack(relaxed: Floats) -> NDArray[np.uint8]:
    """Codes of relaxed ones, packed as an archive stores them."""
    packed: NDArray[np.uint8] = pack_signs(torch.from_numpy(relaxed)).numpy()
    return packed


def _outputs(hasher: Hasher, features: Path, split: str) -> dict[str, torch.Tensor]:
    """Outputs for the pairs of a split that have both modalities."""
    reader = FeatureShardReader(features, split)
    places = np.flatnonzero(reader.present.all(axis=1))
    parts = []
    with torch.inference_mode():
        for start in range(0, len(places), _BATCH):
            rows = reader.gather(places[start : start + _BATCH])
            parts.append(hasher.evaluate({name: torch.from_numpy(array) for name, array in rows.items()}))
    return {name: torch.cat([part[name] for part in parts]).float() for name in ("image", "case")}


def _quality(hasher: Hasher, features: Path) -> dict[str, float]:
    """Tie-aware mAP of the test split against itself, other groups only: unimodal, abnormal queries if there are."""
    data = Data("test", features)
    encoded = encode_test_split(hasher, data)
    values = []
    for query, database in (("image", "text"), ("text", "image")):
        counts = ranked(hasher, encoded.items(encoded.codes[query]), encoded.items(encoded.codes[database]))
        chosen = torch.ones(len(encoded.labels), dtype=torch.bool)
        if data.module.normal_label is not None:
            chosen = ~carried(encoded.labels, data.module.label_vocabulary.index(data.module.normal_label))
        for depth in (None, DEPTH):
            precisions = average_precision(counts.total, counts.relevant, depth)
            values.append(float(precisions[chosen & ~precisions.isnan()].mean()))
    i2t, i2t_50, t2i, t2i_50 = values
    return dict(zip(QUALITY, (i2t, t2i, i2t_50, t2i_50), strict=True))
