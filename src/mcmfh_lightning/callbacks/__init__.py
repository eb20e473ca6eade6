"""Callbacks: evaluation by ranking, state of codes and experts, speed, examples, and writers of features and codes."""

import warnings

from mcmfh_lightning.callbacks.checkpoints import BestCheckpoint, FitReport, LastCheckpoint
from mcmfh_lightning.callbacks.code_monitor import CodeMonitor
from mcmfh_lightning.callbacks.code_writer import CodeWriter
from mcmfh_lightning.callbacks.evaluation import log_figure
from mcmfh_lightning.callbacks.example_gallery import ExampleGallery
from mcmfh_lightning.callbacks.expert_utilization import ExpertUtilization
from mcmfh_lightning.callbacks.feature_writer import FeatureWriter
from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking
from mcmfh_lightning.callbacks.logs import MonitorCheck, PlainProgress
from mcmfh_lightning.callbacks.throughput import CompileLayers, Throughput
from mcmfh_lightning.trainer.run_files import RunFolder, run_folder

__all__ = [
    "BestCheckpoint",
    "CodeMonitor",
    "CodeWriter",
    "CompileLayers",
    "ExampleGallery",
    "ExpertUtilization",
    "FeatureWriter",
    "FitReport",
    "HammingRanking",
    "LastCheckpoint",
    "MonitorCheck",
    "PlainProgress",
    "RunFolder",
    "Throughput",
    "log_figure",
    "run_folder",
]


def __getattr__(name: str) -> type[ExpertUtilization]:
    """Give the name of the release before, with a warning."""
    if name == "ExpertUtilisation":
        warnings.warn("ExpertUtilisation is now ExpertUtilization", DeprecationWarning, stacklevel=2)
        return ExpertUtilization
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
