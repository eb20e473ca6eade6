"""Hashing methods as LightningModules, one a file; `list_methods` lists them."""

from mcmfh_lightning.hashers.base import Codes, Hasher, Objective
from mcmfh_lightning.hashers.cca_itq import CCAITQ
from mcmfh_lightning.hashers.dchmt import DCHMT
from mcmfh_lightning.hashers.ddbh import DDBH
from mcmfh_lightning.hashers.dscph import DScPH
from mcmfh_lightning.hashers.end_to_end import EndToEnd, MakeHasher
from mcmfh_lightning.hashers.label_classifier import LabelClassifier
from mcmfh_lightning.hashers.mcmfh import MCMFH, FusionLoss
from mcmfh_lightning.hashers.real_valued import RealValued
from mcmfh_lightning.hashers.registry import Method, get_method, list_methods
from mcmfh_lightning.hashers.tripah import TriPAH
from mcmfh_lightning.hashers.two_tower import HashTowers, Towers, TwoTower
from mcmfh_lightning.hashers.ucmfh import UCMFH, Views

__all__ = [
    "CCAITQ",
    "DCHMT",
    "DDBH",
    "MCMFH",
    "UCMFH",
    "Codes",
    "DScPH",
    "EndToEnd",
    "FusionLoss",
    "HashTowers",
    "Hasher",
    "LabelClassifier",
    "MakeHasher",
    "Method",
    "Objective",
    "RealValued",
    "Towers",
    "TriPAH",
    "TwoTower",
    "Views",
    "get_method",
    "list_methods",
]
