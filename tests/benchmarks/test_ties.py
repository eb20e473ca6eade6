"""benchmarks/ties.py: claims of docs/concepts/ties.md hold in the committed files; the evaluators do what they say."""

import itertools
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.hashers import TwoTower
from mcmfh_lightning.metrics.functional import average_precision, hamming_histogram, pack_bits


@pytest.fixture(scope="module")
def ties(benchmark_file) -> ModuleType:
    return benchmark_file("ties")


def test_what_the_page_claims_holds_in_the_committed_files(repository: Path, ties: ModuleType) -> None:
    rows = ties.read(repository / "docs" / "results" / "ties.csv")
    assert set(rows["codes"]) == {"TwoTower, 16 bits"}
    for _, of_direction in rows.groupby("direction"):
        assert len(of_direction) == ties.ORDERS + 2
        assert of_direction["tie_aware"].nunique() == 1  # to the last digit
        by_position = of_direction["by_position"].iloc[: ties.ORDERS]
        assert by_position.min() < of_direction["tie_aware"].iloc[0] < by_position.max()
    ranking = ties.read(repository / "docs" / "results" / "openi_mcmfh_16.csv")
    shown = ranking.query("protocol == 'unimodal' and database == 'unseen' and metric == 'mAP@all'")
    value = shown.set_index(["queries", "direction", "system"])["value"].astype(float)
    for direction in ("i2t", "t2i"):
        assert value["all", direction, "constant"] > value["all", direction, "model"]
        assert value["normal", direction, "constant"] == 1
        assert value["abnormal", direction, "constant"] < value["abnormal", direction, "chance"]
        assert value["abnormal", direction, "model"] > value["abnormal", direction, "chance"]


def test_ties_by_position_average_to_the_tie_aware_value(ties: ModuleType) -> None:
    """Over all orders of a small gallery, not ten: (b) in the mean is (c)."""
    rng = np.random.default_rng(0)
    bits, hot = torch.from_numpy(rng.random((6, 2)) < 0.5), torch.from_numpy(rng.random((6, 3)) < 0.4)
    codes, labels, groups = pack_bits(bits), pack_bits(hot), torch.tensor([0, 0, 1, 1, 2, 3])
    values = []
    for order in itertools.permutations(range(6)):
        places = torch.tensor(order)
        counts = ties.one_item_a_level(codes, codes[places], labels, labels[places], groups, groups[places])
        values.append(average_precision(*counts, k=ties.K))
    expected = average_precision(*hamming_histogram(codes, codes, labels, labels, groups, groups, 2), k=ties.K)
    torch.testing.assert_close(torch.stack(values).mean(0), expected, equal_nan=True)
    assert torch.stack(values).std(0).nan_to_num().max() > 0.05  # the gallery has ties to break


@pytest.mark.parametrize("trained", [False, True])
def test_it_runs(ties: ModuleType, features: Path, tmp_path: Path, monkeypatch, capsys, *, trained: bool) -> None:
    flags = ["--csv", str(tmp_path / "ties.csv"), "--plot", str(tmp_path / "images" / "ties.svg")]
    if trained:
        data = FeatureDataModule(str(features))
        trainer = Trainer(
            accelerator="cpu", max_epochs=1, limit_train_batches=1, limit_val_batches=0, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(TwoTower(12, data.image_dim, data.text_dim, d_model=16), datamodule=data)
        trainer.save_checkpoint(tmp_path / "best.ckpt")
        flags += ["--checkpoint", str(tmp_path / "best.ckpt")]
    monkeypatch.setattr(sys, "argv", ["ties.py", "--features", str(features), *flags])
    ties.main()
    rows = ties.read(tmp_path / "ties.csv")
    assert set(rows["codes"]) == {"TwoTower, 12 bits" if trained else "random hyperplanes, 16 bits"}
    assert len(rows) == 2 * (ties.ORDERS + 2)
    assert ties.tables(rows)["ties"] in capsys.readouterr().out
    first = (tmp_path / "images" / "ties.svg").read_bytes()
    ties.main()
    assert (tmp_path / "images" / "ties.svg").read_bytes() == first
