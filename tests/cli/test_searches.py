"""The searches that a run asks for, from the command line."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mcmfh_lightning.cli.train import main

FLAGS = ["--config", "experiments/mcmfh.yaml", "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]
FLAGS += ["--model.d_model", "32", "--data.global_batch_size", "32"]


def test_a_fit_chooses_by_the_searches_it_is_asked_for(
    make_features: Callable[..., Path], quick_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a test of its weights says which search no loss asked for, though its own config asks for all."""
    features = make_features(tmp_path / "features", train=64, evaluated=20)
    quick = ["--config", str(quick_config), "--trainer.callbacks.protocols", "[unimodal,asymmetric]"]
    flags = [*FLAGS, *quick, "--data.root", str(features), "--run_dir", str(tmp_path)]
    with pytest.warns(UserWarning, match="t2t is not learned"):
        main(["fit", *flags, "--searches", "i2t", "t2case", "--model.t2t-weight", "0"])
    with (tmp_path / "fit" / "metrics.csv").open() as file:
        (row,) = [row for row in csv.DictReader(file) if row["val/mAP"]]
    names = [name for name in row if name.startswith("val/") and "/abnormal/" in name and name.endswith("/mAP@all")]
    asked = [name for name in names if name.split("/")[4] in ("i2t", "t2case")]
    assert len(asked) == 2
    assert float(row["val/mAP"]) == pytest.approx(sum(float(row[name]) for name in asked) / 2, abs=1e-6)
    config = yaml.safe_load((tmp_path / "fit" / "config.yaml").read_text())
    assert config["searches"] == ["i2t", "t2case"]
    capsys.readouterr()
    main(["validate", *flags, "--config", str(tmp_path / "fit" / "config.yaml")])
    assert "the mean over i2t, t2case," in " ".join(capsys.readouterr().out.split())
    main(["test", *flags])
    note = "t2t: not learned, its weight was 0; its queries have the codes of items"
    assert note in " ".join(capsys.readouterr().out.split())
    assert note in json.loads((tmp_path / "test" / "metrics.json").read_text())["notes"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--searches", "i2t", "i2c"], "searches"),
        (["--searches", "i2t", "--trainer.callbacks", "CodeMonitor"], "--searches is for the callback HammingRanking"),
    ],
)
def test_searches_that_cannot_be_are_refused(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", *FLAGS, "--data.root", str(features), "--run_dir", str(tmp_path), *more])
    assert stop.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("mcmfh: error: ")
    assert message in line
    assert not (tmp_path / "fit").exists()
