"""Datamodules for a Lightning Trainer: batches from shards; installed as ``mcmfh_lightning.datamodules``."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcmfh_lightning.datamodules.features import FeatureDataModule
    from mcmfh_lightning.datamodules.pairs import PairDataModule
    from mcmfh_lightning.datamodules.roco import RocoDataModule

if __name__ != "mcmfh_lightning.datamodules":
    # From a clone, the bare name would import a second copy of every class.
    raise ImportError("import mcmfh_lightning.datamodules instead: this folder is installed under that name")

__all__ = ["FeatureDataModule", "PairDataModule", "RocoDataModule"]

_MODULES = {"FeatureDataModule": "features", "PairDataModule": "pairs", "RocoDataModule": "roco"}


def __getattr__(name: str) -> object:
    # The datamodules need Lightning, which takes seconds to import; worker processes that are spawned do without.
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
