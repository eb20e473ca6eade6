"""Tie-aware ranking metrics of binary codes.

`functional` holds pure functions of tensors; the classes are torchmetrics metrics whose integer states add up over
batches and processes. This package imports nothing else of mcmfh_lightning.
"""

from mcmfh_lightning.metrics.hamming import (
    HammingHistogram,
    HammingMeanAveragePrecision,
    HammingMetric,
    HammingPrecision,
    HammingRadiusPrecision,
)
from mcmfh_lightning.metrics.ranking import LevelHistogram, RankingCounts, RankingMetric

__all__ = [
    "HammingHistogram",
    "HammingMeanAveragePrecision",
    "HammingMetric",
    "HammingPrecision",
    "HammingRadiusPrecision",
    "LevelHistogram",
    "RankingCounts",
    "RankingMetric",
]
