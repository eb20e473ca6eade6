"""Ranking metrics of binary codes by Hamming distance, tie-aware and exact under any sharding of the database."""

from mcmfh_lightning.metrics.hamming.base import HammingMetric
from mcmfh_lightning.metrics.hamming.collection import HammingMetricCollection
from mcmfh_lightning.metrics.hamming.instance import (
    HammingInstanceHistogram,
    HammingInstanceMetric,
    HammingInstanceRecall,
    HammingMedianRank,
)
from mcmfh_lightning.metrics.hamming.metrics import (
    HammingACG,
    HammingHistogram,
    HammingMeanAveragePrecision,
    HammingNDCG,
    HammingPrecision,
    HammingRadiusPrecision,
    HammingRecall,
)

__all__ = [
    "HammingACG",
    "HammingHistogram",
    "HammingInstanceHistogram",
    "HammingInstanceMetric",
    "HammingInstanceRecall",
    "HammingMeanAveragePrecision",
    "HammingMedianRank",
    "HammingMetric",
    "HammingMetricCollection",
    "HammingNDCG",
    "HammingPrecision",
    "HammingRadiusPrecision",
    "HammingRecall",
]
