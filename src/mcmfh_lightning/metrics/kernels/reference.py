"""The kernels in plain torch: any device, any width, and what the fast ones are compared with.

Memory is bounded by chunks of the database.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from mcmfh_lightning.metrics.functional.histogram import (
    count_levels,
    database_chunks,
    hamming_distances,
    share_label,
    shared_labels,
)
from mcmfh_lightning.metrics.kernels.counts import GradedCounts


def hamming_histogram_torch(
    query_codes: Tensor,
    codes: Tensor,
    query_labels: Tensor,
    labels: Tensor,
    query_groups: Tensor,
    groups: Tensor,
    num_bits: int,
) -> tuple[Tensor, Tensor]:
    """Ranking histogram; arguments and result are those of `hamming_histogram`."""
    total, hits = (_zeros(query_codes, num_bits + 1) for _ in range(2))
    for part, levels, valid in _compared(query_codes, codes, query_groups, groups):
        counts = count_levels(levels, share_label(query_labels, labels[part]), valid, num_bits + 1)
        total += counts[0]
        hits += counts[1]
    return total, hits


def graded_histogram_torch(
    query_codes: Tensor,
    codes: Tensor,
    query_labels: Tensor,
    labels: Tensor,
    query_groups: Tensor,
    groups: Tensor,
    num_bits: int,
    max_shared: int,
) -> GradedCounts:
    """Graded ranking histogram; arguments and result are those of `graded_histogram`."""
    total, relevant, gains = (_zeros(query_codes, num_bits + 1) for _ in range(3))
    shared = _zeros(query_codes, max_shared + 1)
    for part, levels, valid in _compared(query_codes, codes, query_groups, groups):
        grades = shared_labels(query_labels, labels[part])
        counts = count_levels(levels, grades > 0, valid, num_bits + 1)
        total += counts[0]
        relevant += counts[1]
        gains.scatter_add_(1, levels.long(), grades * valid)
        shared.scatter_add_(1, grades, valid.long())
    return GradedCounts(total, relevant, gains, shared)


def _compared(
    query_codes: Tensor, codes: Tensor, query_groups: Tensor, groups: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Chunks of the database, with the distances of their pairs and which of them count."""
    for part in database_chunks(len(query_codes), len(codes)):
        yield part, hamming_distances(query_codes, codes[part]), query_groups[:, None] != groups[None, part]


def _zeros(query_codes: Tensor, num_levels: int) -> Tensor:
    return torch.zeros(len(query_codes), num_levels, dtype=torch.int64, device=query_codes.device)
