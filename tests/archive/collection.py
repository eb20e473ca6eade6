"""A small collection as pair and feature shards, some items of one modality, and hashers for it."""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mcmfh_lightning.hashers import MCMFH
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY
from mcmfh_lightning.shards import (
    DatasetInfo,
    FeatureShardWriter,
    Pair,
    PairShardWriter,
    merge_feature_parts,
    pack_labels,
    text_hash,
)

IMAGE_DIM, TEXT_DIM = 12, 9
ENCODER = {"name": "planted"}
LABELS = ("normal", "opacity", "effusion")


@cache
def make_pair(number: int) -> Pair:
    """Every seventh lacks its image, every fifth of the others its text."""
    stream = io.BytesIO()
    shade = np.add.outer(np.arange(300) * number, np.arange(400)).astype(np.uint8)
    Image.fromarray(shade).save(stream, format="PNG", compress_level=1)
    no_image = number % 7 == 6
    return Pair(
        id=f"pair {number:03d}",
        image=None if no_image else stream.getvalue(),
        image_format=None if no_image else "png",
        text=f"Finding {number} of O'Hara: naïve." if no_image or number % 5 else None,
        labels=() if number % 4 == 3 else (LABELS[number % 3],),
        group=number // 2,
        group_name=f"P-{number // 2:03d}",
        date=None if number % 3 == 2 else f"2012-03-{number % 28 + 1:02d}",
        source="made up",
        licence="CC0-1.0" if number % 2 else "CC-BY-4.0",
    )


def write_pairs(folder: Path, numbers: Sequence[int], labels: Sequence[str] = LABELS) -> Path:
    """Pair shards: the last fifth is the test split."""
    writer = PairShardWriter(
        folder,
        name="made up",
        source="tests",
        licence="CC0-1.0",
        settings={},
        label_vocabulary=labels,
        normal_label="normal",
        pairs_per_shard=16,
    )
    for place, number in enumerate(numbers):
        writer.write(_split(place, len(numbers)), make_pair(number))
    writer.close()
    return folder


def write_features(
    folder: Path, numbers: Sequence[int], labels: Sequence[str] = LABELS, encoder: dict[str, Any] | None = None
) -> Path:
    """Feature shards of the same items: embeddings drawn by number."""
    writer = FeatureShardWriter(folder, rank=0, block_pairs=32)
    ids: dict[str, list[str]] = {}
    for split in ("train", "test"):
        pairs = [make_pair(number) for place, number in enumerate(numbers) if _split(place, len(numbers)) == split]
        ids[split] = [pair.id for pair in pairs]
        drawn = [np.random.default_rng(int(pair.id.split()[1])).normal(size=IMAGE_DIM + TEXT_DIM) for pair in pairs]
        writer.write(
            split,
            ids[split],
            np.array(drawn)[:, :IMAGE_DIM],
            np.array(drawn)[:, IMAGE_DIM:],
            pack_labels([pair.labels for pair in pairs], labels),
            np.array([pair.group for pair in pairs]),
            np.array([0 if pair.text is None else text_hash(pair.text) for pair in pairs]),
            np.array([(pair.image is not None, pair.text is not None) for pair in pairs]),
            [pair.group_name for pair in pairs],
        )
    writer.close()
    info = DatasetInfo(
        format="mcmfh-features",
        name="made up",
        source="tests",
        licence="CC0-1.0",
        settings={},
        label_vocabulary=tuple(labels),
        normal_label="normal",
        splits={},
        encoder=encoder or ENCODER,
        image_dim=IMAGE_DIM,
        text_dim=TEXT_DIM,
    )
    merge_feature_parts(folder, info, 1, expected_ids=ids)
    return folder


def write_checkpoint(
    path: Path, num_bits: int = 16, seed: int = 0, encoder: dict[str, Any] | None = None, hasher: Hasher | None = None
) -> Path:
    """A hasher with drawn weights, as if it had been fitted on features of the encoder."""
    torch.manual_seed(seed)
    hasher = hasher or MCMFH(num_bits, IMAGE_DIM, TEXT_DIM, d_model=16)
    stored: dict[str, Any] = {"state_dict": hasher.state_dict()}
    hasher.on_save_checkpoint(stored)
    stored[CHECKPOINT_KEY] |= {"encoder": encoder or ENCODER, "label_vocabulary": list(LABELS)}
    torch.save(stored, path)
    return path


def _split(place: int, count: int) -> str:
    return "train" if place < count - count // 5 else "test"
