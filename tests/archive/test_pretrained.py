"""Codes from Python are those of an archive, and a shared hasher makes the same archive as its checkpoint."""

from pathlib import Path

import numpy as np
import pytest

import mcmfh_lightning
from mcmfh_lightning.archive import Archive
from mcmfh_lightning.archive.info import ArchiveInfo
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.pretrained import PairHasher
from mcmfh_lightning.shards import PairShardReader, decode_image

from .phantom_archive import build_archive

COLUMNS = ["id", "has_image", "has_text", "image_code", "text_code", "case_code"]


@pytest.fixture(scope="module")
def hasher(phantom_pairs: Path, phantom_archive: Path) -> PairHasher:
    return mcmfh_lightning.load(phantom_pairs.parent / "hasher.ckpt")


def test_codes_are_those_of_the_archive(hasher: PairHasher, phantom_pairs: Path, phantom_archive: Path) -> None:
    rows = {row["id"]: row for row in ItemTable.open(phantom_archive).select(COLUMNS).to_pylist()}
    every = [pair for split in ("train", "val", "test") for pair in PairShardReader(phantom_pairs, split)]
    pairs = [pair for place, pair in enumerate(every) if place % 4 == 0 or None in (pair.image, pair.text)]
    images = [None if pair.image is None else decode_image(pair.image) for pair in pairs]
    texts = [pair.text for pair in pairs]
    assert None in images
    assert None in texts
    codes = hasher.encode_pairs(images, texts)
    assert [code.tobytes() for code in codes] == [rows[pair.id]["case_code"] for pair in pairs]
    for given, encode, side in ((images, hasher.encode_images, "image"), (texts, hasher.encode_texts, "text")):
        codes = encode([one for one in given if one is not None])
        due = [rows[pair.id][f"{side}_code"] for pair, one in zip(pairs, given, strict=True) if one is not None]
        assert [code.tobytes() for code in codes] == due
    text = "There is a small pleural effusion."
    found = Archive.open(phantom_archive).search(text=text, match="codes", against="image", k=24, rerank=0).hits
    items = [row for row in sorted(rows.values(), key=lambda row: row["id"]) if row["has_image"]]
    stored = np.stack([np.frombuffer(row["image_code"], np.uint8) for row in items])
    nearest = hasher.nearest(hasher.encode_texts(text, search="t2i"), stored, k=24)
    assert [items[row]["id"] for row in nearest.rows[0]] == [hit.item.id for hit in found]
    assert nearest.distances[0].tolist() == [hit.distance for hit in found]


def test_an_archive_of_a_shared_hasher(
    hasher: PairHasher, phantom_pairs: Path, phantom_features: Path, tmp_path: Path
) -> None:
    hasher.save_pretrained(tmp_path / "shared")
    ours, theirs = (
        build_archive(tmp_path / f"by {checkpoint.name}", phantom_pairs, checkpoint, features=phantom_features)
        for checkpoint in (tmp_path / "shared", phantom_pairs.parent / "hasher.ckpt")
    )
    assert ArchiveInfo.load(ours).weights_sha256 == ArchiveInfo.load(theirs).weights_sha256
    built, due = (ItemTable.open(folder).select(COLUMNS).sort_by("id") for folder in (ours, theirs))
    assert built.equals(due)
