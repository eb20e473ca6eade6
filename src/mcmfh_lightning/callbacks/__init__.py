"""Callbacks: evaluation by ranking, expert utilisation, writing of features."""

from mcmfh_lightning.callbacks.expert_utilisation import ExpertUtilisation
from mcmfh_lightning.callbacks.feature_writer import FeatureWriter
from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking

__all__ = ["ExpertUtilisation", "FeatureWriter", "HammingRanking"]
