"""Hashing methods as LightningModules, one a file."""

from mcmfh_lightning.hashers.base import Codes, Hasher, Objective
from mcmfh_lightning.hashers.cca_itq import CCAITQ
from mcmfh_lightning.hashers.contrastive import ContrastiveHasher, HashingLoss
from mcmfh_lightning.hashers.ddbh import DDBH
from mcmfh_lightning.hashers.dscph import DScPH
from mcmfh_lightning.hashers.end_to_end import EndToEnd, MakeHasher
from mcmfh_lightning.hashers.label_classifier import LabelClassifier
from mcmfh_lightning.hashers.mcmfh import MCMFH
from mcmfh_lightning.hashers.real_valued import RealValued
from mcmfh_lightning.hashers.two_tower import Towers, TwoTower
from mcmfh_lightning.hashers.ucmfh import UCMFH, Views

__all__ = [
    "CCAITQ",
    "DDBH",
    "MCMFH",
    "UCMFH",
    "Codes",
    "ContrastiveHasher",
    "DScPH",
    "EndToEnd",
    "Hasher",
    "HashingLoss",
    "LabelClassifier",
    "MakeHasher",
    "Objective",
    "RealValued",
    "Towers",
    "TwoTower",
    "Views",
]
