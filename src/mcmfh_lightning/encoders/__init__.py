"""Pretrained encoders, and the module that turns pairs into features with them."""

from mcmfh_lightning.encoders.base import Encoder
from mcmfh_lightning.encoders.extractor import FeatureExtractor
from mcmfh_lightning.encoders.open_clip import OpenCLIPEncoder
from mcmfh_lightning.encoders.tuning import ImageTowerTuning
from mcmfh_lightning.encoders.two_towers import PACKAGED_TOWERS, TwoTowerEncoder

__all__ = ["PACKAGED_TOWERS", "Encoder", "FeatureExtractor", "ImageTowerTuning", "OpenCLIPEncoder", "TwoTowerEncoder"]
