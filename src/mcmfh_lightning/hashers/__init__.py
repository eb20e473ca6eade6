"""Hashing methods as LightningModules, one a file."""

from mcmfh_lightning.hashers.base import Codes, Hasher, Objective
from mcmfh_lightning.hashers.contrastive import ContrastiveHasher, HashingLoss
from mcmfh_lightning.hashers.mcmfh import MCMFH
from mcmfh_lightning.hashers.two_tower import TwoTower

__all__ = ["MCMFH", "Codes", "ContrastiveHasher", "Hasher", "HashingLoss", "Objective", "TwoTower"]
