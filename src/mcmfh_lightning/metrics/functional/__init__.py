"""Pure functions of tensors: packing, counting, and the closed forms that follow from the counts."""

from mcmfh_lightning.metrics.functional.average_precision import average_precision, average_precision_bounds
from mcmfh_lightning.metrics.functional.averages import mean_over_queries
from mcmfh_lightning.metrics.functional.bootstrap import bootstrap_means, bootstrap_weights, percentile_interval
from mcmfh_lightning.metrics.functional.chance import chance_average_precision, tie_all
from mcmfh_lightning.metrics.functional.curves import (
    expected_hits,
    precision_at,
    precision_recall_by_radius,
    recall_at,
)
from mcmfh_lightning.metrics.functional.harmonic import harmonic_difference
from mcmfh_lightning.metrics.functional.histogram import (
    count_levels,
    hamming_distances,
    hamming_histogram,
    level_histogram,
    share_label,
)
from mcmfh_lightning.metrics.functional.packing import pack_bits, pack_signs, packed_width, unpack_bits
from mcmfh_lightning.metrics.functional.radius import precision_within_radius

__all__ = [
    "average_precision",
    "average_precision_bounds",
    "bootstrap_means",
    "bootstrap_weights",
    "chance_average_precision",
    "count_levels",
    "expected_hits",
    "hamming_distances",
    "hamming_histogram",
    "harmonic_difference",
    "level_histogram",
    "mean_over_queries",
    "pack_bits",
    "pack_signs",
    "packed_width",
    "percentile_interval",
    "precision_at",
    "precision_recall_by_radius",
    "precision_within_radius",
    "recall_at",
    "share_label",
    "tie_all",
    "unpack_bits",
]
