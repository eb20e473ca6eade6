"""Trained hashers with their encoders: use them from Python, share them, load those of others."""

from mcmfh_lightning.pretrained.loading import load
from mcmfh_lightning.pretrained.model import Nearest, PairHasher

__all__ = ["Nearest", "PairHasher", "load"]
