"""Pure functions of tensors: packing, counting, and the closed forms that follow from the counts."""

import warnings

from mcmfh_lightning.metrics.functional.average_precision import (
    average_precision,
    average_precision_bounds,
    chance_average_precision,
    mean_over_queries,
    tie_all,
)
from mcmfh_lightning.metrics.functional.bit_statistics import BitStatistics, bit_statistics
from mcmfh_lightning.metrics.functional.bootstrap import (
    bootstrap_means,
    bootstrap_weights,
    mean_by_label,
    percentile_interval,
)
from mcmfh_lightning.metrics.functional.curves import (
    expected_hits,
    precision_at,
    precision_recall_by_radius,
    precision_within_radius,
    recall_at,
)
from mcmfh_lightning.metrics.functional.gain import average_cumulative_gain, ndcg
from mcmfh_lightning.metrics.functional.histogram import (
    count_levels,
    count_ones,
    hamming_distances,
    level_histogram,
    relevant_first,
    relevant_last,
    share_label,
    shared_labels,
)
from mcmfh_lightning.metrics.functional.instance import first_positive_rank, instance_recall, median_rank
from mcmfh_lightning.metrics.functional.legacy import (
    legacy_first_hits_mean_average_precision,
    legacy_mean_average_precision,
)
from mcmfh_lightning.metrics.functional.packing import pack_bits, pack_signs, packed_width, unpack_bits
from mcmfh_lightning.metrics.functional.retrieval import Ball, Neighbors, nearest, within_radius
from mcmfh_lightning.metrics.functional.sums import discount_difference, harmonic_difference
from mcmfh_lightning.metrics.kernels.dispatch import graded_histogram, hamming_histogram
from mcmfh_lightning.metrics.kernels.reference import GradedCounts

__all__ = [
    "Ball",
    "BitStatistics",
    "GradedCounts",
    "Neighbors",
    "average_cumulative_gain",
    "average_precision",
    "average_precision_bounds",
    "bit_statistics",
    "bootstrap_means",
    "bootstrap_weights",
    "chance_average_precision",
    "count_levels",
    "count_ones",
    "discount_difference",
    "expected_hits",
    "first_positive_rank",
    "graded_histogram",
    "hamming_distances",
    "hamming_histogram",
    "harmonic_difference",
    "instance_recall",
    "legacy_first_hits_mean_average_precision",
    "legacy_mean_average_precision",
    "level_histogram",
    "mean_by_label",
    "mean_over_queries",
    "median_rank",
    "ndcg",
    "nearest",
    "pack_bits",
    "pack_signs",
    "packed_width",
    "percentile_interval",
    "precision_at",
    "precision_recall_by_radius",
    "precision_within_radius",
    "recall_at",
    "relevant_first",
    "relevant_last",
    "share_label",
    "shared_labels",
    "tie_all",
    "unpack_bits",
    "within_radius",
]


def __getattr__(name: str) -> object:
    """Return `Neighbors` by its former name, with a warning."""
    if name != "Neighbours":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{__name__}.{name} is now Neighbors; the next release drops the old name", DeprecationWarning, 2)
    return Neighbors
