"""Tiny encoders as the specifications that commands read, and checkpoints of hashers of their embeddings."""

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from mcmfh_lightning import encoders
from mcmfh_lightning.hashers import TwoTower
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY

TEXTS = (
    "heart size is normal .",
    "  No acute\tcardiopulmonary ABNORMALITY, the lungs are clear; na\u00efve \u80ba &amp; 12.5 cm ",
    "mild",
    "severe opacity and large left pleural effusion " * 20,
)


def two_towers(image_weights: Path, text_folder: Path, **more: Any) -> dict[str, Any]:
    """The specification of timm's ``test_vit`` and a BERT of two layers."""
    towers = {"image_model": "test_vit", "image_weights": str(image_weights), "text_model": str(text_folder)}
    arguments = {**towers, "text_pooling": "mean", **more}
    return {"class_path": "mcmfh_lightning.encoders.TwoTowerEncoder", "init_args": arguments}


def open_clip_model(folder: Path, **more: Any) -> dict[str, Any]:
    """The specification of a model in a folder."""
    arguments = {"model": f"local-dir:{folder}", **more}
    return {"class_path": "mcmfh_lightning.encoders.OpenCLIPEncoder", "init_args": arguments}


def build(spec: dict[str, Any]) -> encoders.Encoder:
    """The encoder of a specification."""
    encoder: encoders.Encoder = getattr(encoders, spec["class_path"].rpartition(".")[2])(**spec["init_args"])
    return encoder


def write_spec(file: Path, spec: dict[str, Any]) -> Path:
    """The file that ``--encoder`` names."""
    file.write_text(yaml.safe_dump(spec))
    return file


def checkpoint_of(path: Path, encoder: encoders.Encoder) -> Path:
    """A hasher with drawn weights, as if it had been fitted on embeddings by the encoder: the quickest to export."""
    torch.manual_seed(0)
    hasher = TwoTower(11, encoder.image_dim, encoder.text_dim, d_model=16, query_heads=True)
    return save_hasher(path, hasher, json.loads(json.dumps(encoder.identity)))


def save_hasher(path: Path, hasher: Hasher, encoder: dict[str, Any]) -> Path:
    """A checkpoint of a hasher as it is."""
    stored: dict[str, Any] = {"state_dict": hasher.state_dict()}
    hasher.on_save_checkpoint(stored)
    stored[CHECKPOINT_KEY] |= {"encoder": encoder, "label_vocabulary": ["normal", "opacity"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(stored, path)
    return path
