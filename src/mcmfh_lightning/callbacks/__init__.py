"""Callbacks: evaluation by ranking, state of codes and experts, throughput, example queries, writing of features."""

from mcmfh_lightning.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from mcmfh_lightning.callbacks.code_monitor import CodeMonitor
from mcmfh_lightning.callbacks.example_gallery import ExampleGallery, log_figure
from mcmfh_lightning.callbacks.expert_utilization import ExpertUtilisation
from mcmfh_lightning.callbacks.feature_writer import FeatureWriter
from mcmfh_lightning.callbacks.fit_report import FitReport
from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking
from mcmfh_lightning.callbacks.throughput import CompileLayers, Throughput
from mcmfh_lightning.trainer.run_files import RunFolder, run_folder

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
