"""Data without any label: what trains on pairs can be trained, what learns from labels refuses them."""

import json
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch import Trainer

from mcmfh_lightning.callbacks import HammingRanking
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.hashers import MCMFH, list_methods
from mcmfh_lightning.shards import DatasetInfo, FeatureShardWriter, merge_feature_parts

WIDTH = 12


@pytest.fixture(scope="module")
def unlabeled(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unlabeled") / "features"
    rng = np.random.default_rng(0)
    writer = FeatureShardWriter(folder, rank=0)
    ids, first = {}, 0
    for split, pairs in (("train", 64), ("val", 16), ("test", 16)):
        ids[split] = [f"{split}{i}" for i in range(pairs)]
        image, text = rng.normal(size=(2, pairs, WIDTH))
        numbers = first + np.arange(pairs)
        writer.write(split, ids[split], image, text, np.zeros((pairs, 0), np.uint8), numbers, numbers)
        first += pairs
    writer.close()
    info = DatasetInfo(
        "mcmfh-features", "x", "s", "l", {}, (), None, {}, encoder={"name": "p"}, image_dim=WIDTH, text_dim=WIDTH
    )
    merge_feature_parts(folder, info, 1, expected_ids=ids)
    return folder


def trainer(folder: Path) -> Trainer:
    return Trainer(
        accelerator="cpu",
        max_epochs=1,
        default_root_dir=folder,
        logger=False,
        callbacks=[HammingRanking(protocols=("unimodal",))],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def test_training_on_pairs_and_a_test_that_says_what_is_undefined(unlabeled, tmp_path, capsys):
    data = FeatureDataModule(str(unlabeled), global_batch_size=32)
    model = MCMFH(16, WIDTH, WIDTH, d_model=16, supervision="pairs")
    before = [parameter.clone() for parameter in model.parameters()]
    run = trainer(tmp_path)
    run.fit(model, datamodule=data)
    assert any(not (old == new).all() for old, new in zip(before, model.parameters(), strict=True))
    run.test(model, datamodule=data, verbose=False)
    assert "mAP is undefined: no query of the headline has a relevant item" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "labels.csv").exists()
    assert "mAP@all" in (tmp_path / "ranking.csv").read_text()
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert "mAP is undefined" in json.dumps(report["notes"])


@pytest.mark.parametrize(
    "method", [one for one in list_methods() if "labels" in one.learns_from], ids=lambda one: one.name
)
def test_methods_that_learn_from_labels_refuse(unlabeled, tmp_path, method):
    sizes = {"num_bits": 16, "image_dim": WIDTH, "text_dim": WIDTH, "num_labels": 1}
    accepted = signature(method.hasher).parameters
    model = method.hasher(**{name: size for name, size in sizes.items() if name in accepted})
    data = FeatureDataModule(str(unlabeled), global_batch_size=32)
    with pytest.raises(DataError, match=f"no labels, and {type(model).__name__} learns from them") as error:
        trainer(tmp_path).fit(model, datamodule=data)
    assert ("supervision='pairs' (--model.supervision pairs)" in str(error.value)) is ("pairs" in method.learns_from)


def test_other_methods_need_no_labels():
    assert all(one.hasher.supervision == "pairs" for one in list_methods() if one.learns_from == "pairs")
