"""Callbacks: evaluation by ranking, state of codes and experts, throughput, example queries, writing of features."""

from mcmfh_lightning.callbacks.best_checkpoint import BestCheckpoint
from mcmfh_lightning.callbacks.code_monitor import CodeMonitor
from mcmfh_lightning.callbacks.compile_layers import CompileLayers
from mcmfh_lightning.callbacks.example_gallery import ExampleGallery
from mcmfh_lightning.callbacks.expert_utilisation import ExpertUtilisation
from mcmfh_lightning.callbacks.feature_writer import FeatureWriter
from mcmfh_lightning.callbacks.figures import log_figure
from mcmfh_lightning.callbacks.fit_report import FitReport
from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking
from mcmfh_lightning.callbacks.last_checkpoint import LastCheckpoint
from mcmfh_lightning.callbacks.run_folder import RunFolder, run_folder
from mcmfh_lightning.callbacks.throughput import Throughput

__all__ = [
    "BestCheckpoint",
    "CodeMonitor",
    "CompileLayers",
    "ExampleGallery",
    "ExpertUtilisation",
    "FeatureWriter",
    "FitReport",
    "HammingRanking",
    "LastCheckpoint",
    "RunFolder",
    "Throughput",
    "log_figure",
    "run_folder",
]
