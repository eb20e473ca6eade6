"""Tie-aware ranking metrics of binary codes.

`functional` holds pure functions of tensors; the classes are torchmetrics metrics whose integer states add up over
batches and processes. This package imports nothing else of mcmfh_lightning.
"""

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
from mcmfh_lightning.metrics.levels import CosineHistogram, LevelHistogram
from mcmfh_lightning.metrics.ranking import RankingCounts, RankingMetric, RankingScore

__all__ = [
    "CosineHistogram",
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
    "LevelHistogram",
    "RankingCounts",
    "RankingMetric",
    "RankingScore",
]
