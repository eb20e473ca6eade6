"""Mean average precision as in published tables, only for comparison with them.

Both rank tied items by their position in the database, so the value changes with the order of the database (a published
evaluation with an unstable sort changes with the machine as well); both know no groups, so a query may find itself; and
a query that finds nothing counts 0. `average_precision` does none of this.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.histogram import PAIRS_PER_CHUNK, hamming_distances, share_label


def legacy_mean_average_precision(
    query_codes: Tensor, codes: Tensor, query_labels: Tensor, labels: Tensor, k: int = 50
) -> Tensor:
    """UCMFH's mAP@k: the sum of the precisions at the hits among the first k, divided by the number of these hits.

    The divisor rewards rankings that find little: one hit in all, at the top, is a perfect 1 (the evaluation of Xia et
    al., "When CLIP meets Cross-modal Hashing Retrieval", Information Fusion 2023).

    Args:
        query_codes: (Q, W) uint8, packed codes.
        codes: (n, W) uint8; the order of the rows breaks the ties.
        query_labels: (Q, V) uint8, packed label sets.
        labels: (n, V) uint8.
        k: Depth.

    Returns:
        Scalar float64: the mean over all queries; NaN without queries.

    Raises:
        ValueError: If k is less than 1.

    Example:
        >>> codes = torch.tensor([[0b0], [0b0], [0b1]], dtype=torch.uint8)
        >>> labels = torch.tensor([[2], [1], [1]], dtype=torch.uint8)
        >>> legacy_mean_average_precision(codes[:1], codes, labels[1:2], labels, k=2)
        tensor(0.5000, dtype=torch.float64)
    """
    _check_depth(k)
    rankings = _stable_rankings(query_codes, codes, query_labels, labels)
    return torch.cat([_average_precision(hits[:, :k]) for hits in rankings]).mean()


def legacy_first_hits_mean_average_precision(
    query_codes: Tensor, codes: Tensor, query_labels: Tensor, labels: Tensor, k: int
) -> Tensor:
    """QinLab's mAP "at k": average precision over the first k hits, wherever they rank (DScPH, DDBH and others).

    Args:
        query_codes: (Q, W) uint8, packed codes.
        codes: (n, W) uint8; the order of the rows breaks the ties.
        query_labels: (Q, V) uint8, packed label sets.
        labels: (n, V) uint8.
        k: Number of hits; as many as there are items for mAP@all.

    Returns:
        Scalar float64: the mean over all queries; NaN without queries.

    Raises:
        ValueError: If k is less than 1.

    Example:
        >>> codes = torch.tensor([[0b0], [0b0], [0b1]], dtype=torch.uint8)
        >>> labels = torch.tensor([[2], [1], [1]], dtype=torch.uint8)
        >>> legacy_first_hits_mean_average_precision(codes[:1], codes, labels[1:2], labels, k=2)
        tensor(0.5833, dtype=torch.float64)
    """
    _check_depth(k)
    rankings = _stable_rankings(query_codes, codes, query_labels, labels)
    return torch.cat([_average_precision(hits & (hits.cumsum(1) <= k)) for hits in rankings]).mean()


def _stable_rankings(query_codes: Tensor, codes: Tensor, query_labels: Tensor, labels: Tensor) -> Iterator[Tensor]:
    """Relevance of all items from first to last, (q, n) bool, for a few queries at a time."""
    step = max(1, PAIRS_PER_CHUNK // max(1, len(codes)))
    for some_codes, some_labels in zip(torch.split(query_codes, step), torch.split(query_labels, step), strict=True):
        order = hamming_distances(some_codes, codes).argsort(dim=1, stable=True)
        yield share_label(some_labels, labels).gather(1, order)


def _average_precision(hits: Tensor) -> Tensor:
    """Average of the precisions at the hits of a ranking, (q,); 0 where there are none."""
    places = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    precisions = hits.cumsum(1).double() / places
    return (precisions * hits).sum(1) / hits.sum(1).clamp(min=1)


def _check_depth(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
