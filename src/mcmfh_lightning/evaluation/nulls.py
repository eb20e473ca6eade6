"""Rankings that learn nothing, which every reported number has to beat.

Beside chance (every item tied): one constant ranking for all queries, the method's own codes with shuffled queries
(among all; and among normal and abnormal queries apart, where only what is particular to a query is lost), and random
hyperplanes through the raw embeddings (Charikar, "Similarity estimation techniques from rounding algorithms", STOC
2002).
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from mcmfh_lightning.metrics.functional import pack_signs, share_label, unpack_bits
from mcmfh_lightning.types import FeatureBatch

POPULARITY_LEVELS = 1024
ABNORMAL_POPULARITY = "abnormal popularity"


def derangement(count: int, seed: int) -> Tensor:
    """A seeded random cycle through all items (Sattolo, 1986): no item keeps its place.

    Args:
        count: Number of items, at least 2.
        seed: Seed.

    Returns:
        (count,) int64.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    cycle = torch.empty_like(order)
    cycle[order] = order.roll(1)
    return cycle


def derangement_within(strata: Tensor, seed: int) -> Tensor:
    """A derangement that leaves every item in its stratum; an item alone in its stratum stays.

    Args:
        strata: (N,) bool, on the CPU: which of two strata each item is in.
        seed: Seed.

    Returns:
        (N,) int64.
    """
    taken = torch.arange(len(strata))
    for stratum in (strata, ~strata):
        members = stratum.nonzero()[:, 0]
        taken[members] = members[derangement(len(members), seed)]
    return taken


class RandomHyperplanes:
    """Codes by the sides of random hyperplanes on which the L2-normalised raw embeddings lie.

    Embeddings of equal width share their hyperplanes. A code of both modalities takes the sum of both projections.

    Args:
        num_bits: Number of hyperplanes.
        image_dim: Width of image embeddings.
        text_dim: Width of text embeddings.
        seed: Seed of the hyperplanes.
        device: Where the embeddings are.
    """

    def __init__(self, num_bits: int, image_dim: int, text_dim: int, seed: int, device: torch.device) -> None:
        self._image, self._text = (
            torch.randn(dim, num_bits, generator=torch.Generator().manual_seed(seed)).to(device)
            for dim in (image_dim, text_dim)
        )

    def codes(self, batch: FeatureBatch) -> dict[str, Tensor]:
        """Codes under every name of `EvaluationOutput`.

        Args:
            batch: Embeddings.

        Returns:
            Packed codes, (B, ceil(num_bits / 8)) uint8 each.
        """
        image = normalize(batch["image"].float()) @ self._image
        text = normalize(batch["text"].float()) @ self._text
        both = pack_signs(image + text)
        return {
            "image": pack_signs(image),
            "text": pack_signs(text),
            "case": both,
            "fused_image": both,
            "fused_text": both,
        }


class ConstantRankings:
    """Rankings that ignore the query: items by the popularity of their labels, or normal items first.

    The popularity of an item is the share of training pairs that have a label in common with it, in 1,024 levels. All
    know the true labels of every database item, which no code does. ``abnormal popularity`` (the share of abnormal
    training pairs) is the strongest for abnormal queries where items carry several labels.

    Args:
        training_labels: (N, ceil(num_labels / 8)) uint8, packed label sets of the training split.
        normal_label: Position of the normal label; None leaves out "normals first".
        device: Where the database batches are.
    """

    def __init__(self, training_labels: NDArray[np.uint8], normal_label: int | None, device: torch.device) -> None:
        distinct, counts = np.unique(training_labels, axis=0, return_counts=True)
        self._label_sets = torch.from_numpy(distinct).to(device)
        self._normal_label = normal_label
        self._counts = {"popularity": torch.from_numpy(counts.astype(np.int64)).to(device)}
        if normal_label is not None:
            abnormal = unpack_bits(self._label_sets)[:, normal_label] == 0
            self._counts[ABNORMAL_POPULARITY] = self._counts["popularity"] * abnormal

    @property
    def num_levels(self) -> Mapping[str, int]:
        """Number of levels of each ranking, by name."""
        popularities = dict.fromkeys(self._counts, POPULARITY_LEVELS)
        return popularities if self._normal_label is None else popularities | {"normals first": 2}

    def levels(self, labels: Tensor) -> dict[str, Tensor]:
        """Levels of database items, the best is 0.

        Args:
            labels: (n, ceil(num_labels / 8)) uint8, packed label sets.

        Returns:
            (n,) int64 of each ranking, by name.
        """
        shares = share_label(labels, self._label_sets)  # (n, distinct training label sets)
        levels = {}
        for name, counts in self._counts.items():
            everyone = counts.sum().clamp(min=1)
            levels[name] = (everyone - (shares * counts).sum(1)) * (POPULARITY_LEVELS - 1) // everyone
        if self._normal_label is not None:
            levels["normals first"] = 1 - unpack_bits(labels)[:, self._normal_label].long()
        return levels
