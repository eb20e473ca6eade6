"""Rankings that learn nothing, which every reported number has to beat.

Next to chance (every item tied) these are: one constant ranking for all queries, the method's own codes with shuffled
queries (among all; and among normal and abnormal queries apart, which keeps what all abnormal queries share), and
random hyperplanes through the raw embeddings (Charikar, "Similarity estimation techniques from rounding algorithms",
STOC 2002).
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from mcmfh_lightning.metrics.functional import hamming_histogram, pack_signs, share_label, unpack_bits
from mcmfh_lightning.types import FeatureBatch

POPULARITY_LEVELS = 1024
ABNORMAL_POPULARITY = "abnormal popularity"
LEVELS = 256
PAIRS, SAMPLE = 1 << 30, 4096
DATABASE_CONSTANTS: Mapping[str, str] = {
    "popularity": f"items by the share of the database that has a label in common with them, in up to {LEVELS} levels",
    "most frequent first": "items that carry the most frequent label of the database, then the others",
}
"""The constant rankings of `database_levels`, and what each is."""


def derangement(count: int, seed: int) -> Tensor:
    """Draw a seeded random cycle through all items (Sattolo, 1986): no item keeps its place.

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
    """Draw a derangement that leaves every item in its stratum; an item alone in its stratum stays.

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
    """Codes that say on which side of random hyperplanes the L2-normalized raw embeddings are.

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
        """Compute codes under every name of `EvaluationOutput`.

        Args:
            batch: Embeddings.

        Returns:
            Packed codes, (B, ceil(num_bits / 8)) uint8 each.
        """
        image = normalize(batch["image"].float()) @ self._image  # (B, num_bits)
        text = normalize(batch["text"].float()) @ self._text
        codes = {"image": pack_signs(image), "text": pack_signs(text)}
        return codes | dict.fromkeys(("case", "fused_image", "fused_text"), pack_signs(image + text))


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
        """Compute levels of database items, the best is 0.

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


def database_levels(labels: Tensor) -> dict[str, Tensor]:
    """Compute the constant rankings of a database whose labels alone are known, without training data.

    Args:
        labels: (n, W) uint8, packed label sets of the database.

    Returns:
        (n,) int64 of each of `DATABASE_CONSTANTS`, by name; the best level is 0.
    """
    rows = np.ascontiguousarray(labels.numpy())
    keys = rows.view(np.dtype((np.void, rows.shape[1])))[:, 0]  # compared byte by byte; faster than rows
    _, first, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    distinct = labels[torch.from_numpy(first)], torch.from_numpy(counts)
    of_item = torch.from_numpy(inverse)
    return {
        "popularity": popularity_levels(*distinct)[of_item],
        "most frequent first": most_frequent_first(*distinct)[of_item],
    }


def popularity_levels(label_sets: Tensor, counts: Tensor) -> Tensor:
    """Compute levels by the number of items that share a label, the most popular first.

    Beyond some 10^9 pairs of a label set and an item, the items are a sample, spread evenly over the sorted database,
    of 4,096 at least.

    Args:
        label_sets: (D, W) uint8, distinct packed label sets in ascending order.
        counts: (D,) int64, items of each.

    Returns:
        (D,) int64 in [0, 256).

    Example:
        >>> popularity_levels(torch.tensor([[1], [2], [3]], dtype=torch.uint8), torch.tensor([5, 2, 1]))
        tensor([1, 2, 0])
    """
    everyone = int(counts.sum())
    number = min(everyone, max(SAMPLE, PAIRS // len(label_sets)))
    places = torch.linspace(0, everyone - 1, number, dtype=torch.float64).round().long()
    sampled = label_sets[torch.searchsorted(counts.cumsum(0), places, right=True)]  # (number, W)
    # Equal codes and foreign groups: the kernel that counts fastest then counts the items that share a label.
    codes = torch.zeros(len(label_sets), 1, dtype=torch.uint8), torch.zeros(number, 1, dtype=torch.uint8)
    groups = torch.zeros(len(label_sets), dtype=torch.int64), torch.ones(number, dtype=torch.int64)
    _, relevant = hamming_histogram(*codes, label_sets, sampled, *groups, num_bits=1)  # (D, 2)
    distinct, order = np.unique(relevant.sum(1).numpy(), return_inverse=True)
    steps = len(distinct)
    return torch.from_numpy((steps - 1 - order) * LEVELS // max(LEVELS, steps))


def most_frequent_first(label_sets: Tensor, counts: Tensor) -> Tensor:
    """Compute level 0 for label sets with the label that most items carry (the first of equals), 1 for the others.

    Args:
        label_sets: (D, W) uint8, distinct packed label sets.
        counts: (D,) int64, items of each.

    Returns:
        (D,) int64.

    Example:
        >>> most_frequent_first(torch.tensor([[1], [2], [3]], dtype=torch.uint8), torch.tensor([5, 2, 1]))
        tensor([0, 1, 0])
    """
    bits = unpack_bits(label_sets).long()  # (D, 8 W)
    return 1 - bits[:, int((bits * counts[:, None]).sum(0).argmax())]
