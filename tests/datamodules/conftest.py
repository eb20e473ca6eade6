"""Small shard folders, and the training runs that read them."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.shards import (
    DatasetInfo,
    FeatureShardWriter,
    Pair,
    PairShardWriter,
    merge_feature_parts,
    pack_bits,
)

VOCABULARY = ("normal", "opacity", "effusion")


def _picture(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (8, 8), color=number % 256).save(stream, format="PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def make_pair() -> Callable[..., Pair]:
    """Pair number i: its picture is a plain grey of value i, its text names i; ``lacks`` leaves one of them out."""

    def make(number: int, prefix: str = "pair", lacks: Literal["image", "text"] | None = None) -> Pair:
        return Pair(
            id=f"{prefix}-{number}",
            image=None if lacks == "image" else _picture(number),
            image_format=None if lacks == "image" else "png",
            text=None if lacks == "text" else f"Finding {number}: naïve\ttext.",
            labels=(VOCABULARY[number % 3],),
            group=number // 2,
            group_name=f"study {number // 2}",
            date=None if number % 2 else "2012-03-16",
            source="https://example.org",
            licence="CC0-1.0",
        )

    return make


@pytest.fixture(scope="session")
def pair_writer() -> Callable[..., PairShardWriter]:
    """A writer with every argument given; keywords replace some."""

    def make(folder: Path, **changes: object) -> PairShardWriter:
        arguments = {
            "name": "tiny",
            "source": "https://example.org",
            "licence": "CC0-1.0",
            "settings": {"seed": 0, "sizes": (8, 8)},
            "label_vocabulary": VOCABULARY,
            "normal_label": "normal",
            "pairs_per_shard": 4,
        }
        return PairShardWriter(folder, **(arguments | changes))

    return make


@pytest.fixture(scope="session")
def feature_info() -> DatasetInfo:
    """Entry of a feature folder, without splits: 11 labels, so that labels take two bytes."""
    return DatasetInfo(
        format="mcmfh-features",
        name="tiny",
        source="https://example.org",
        licence="CC0-1.0",
        settings={},
        label_vocabulary=tuple(f"label{i}" for i in range(11)),
        normal_label=None,
        splits={},
        encoder={"kind": "counting"},
        image_dim=3,
        text_dim=2,
    )


@pytest.fixture(scope="session")
def feature_rows() -> Callable[..., dict[str, object]]:
    """Arguments of ``FeatureShardWriter.write`` for rows that can be told apart: image (i, -i, 0.5), text (2i, 1)."""

    def make(split: str, begin: int, end: int) -> dict[str, object]:
        numbers = np.arange(begin, end)
        # Half precision counts to 2048; beyond that image[:, 2] carries the thousands.
        low, high = numbers % 1000, numbers // 1000
        return {
            "ids": [f"{split}-{i}" for i in numbers],
            "image": np.stack([low, -low, high], axis=1).astype(np.float32),
            "text": np.stack([low, high], axis=1).astype(np.float32),
            "labels": pack_bits(numbers[:, None] % 11 == np.arange(11)),
            "groups": numbers // 2,
            "group_names": [f"study {i // 2}" for i in numbers],
            "text_hashes": -numbers,
        }

    return make


@pytest.fixture(scope="session")
def write_features(feature_info: DatasetInfo, feature_rows: Callable[..., dict[str, object]]) -> Callable[..., Path]:
    """Write a folder of features of so many pairs a split, by so many ranks."""

    def write(folder: Path, sizes: Mapping[str, int], ranks: int = 1, block_pairs: int = 1024) -> Path:
        for rank in range(ranks):
            writer = FeatureShardWriter(folder, rank=rank, block_pairs=block_pairs)
            for split, size in sizes.items():
                begin, end = size * rank // ranks, size * (rank + 1) // ranks
                for at in range(begin, end, 700):
                    writer.write(split, **feature_rows(split, at, min(at + 700, end)))
            writer.close()
        ids = {split: [f"{split}-{i}" for i in range(size)] for split, size in sizes.items()}
        merge_feature_parts(folder, feature_info, ranks, expected_ids=ids)
        return folder

    return write
