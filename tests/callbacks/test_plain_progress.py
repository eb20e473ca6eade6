"""Lines of progress where the output is not a terminal."""

from pathlib import Path

import pytest

from mcmfh_lightning.callbacks import logs
from mcmfh_lightning.cli.train import main

SMALL = ("--config", "experiments/mcmfh.yaml", "--model.d-model", "32", "--data.global-batch-size", "256")


def test_lines_take_the_place_of_bars(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*SMALL, "--data.root", str(features), "--run-dir", str(tmp_path)]
    main(["fit", *flags, "--trainer.max-epochs=1"])
    shown = capsys.readouterr().out
    assert "━" not in shown.replace("━┯", "").partition("chosen: ")[2]
    assert "epoch 0" not in shown.partition("chosen: ")[0]  # a short run prints no line
    monkeypatch.setattr(logs, "SECONDS", 0.0)
    main(["predict", *flags])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "batch" in line] == [
        f"{split}: batch 1 of 1" for split in ("train", "val", "test")
    ]
    main(["fit", *flags[:-1], str(tmp_path / "again"), "--trainer.max-epochs=2"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 4
    assert lines[0].startswith("epoch 0 of 0 to 1, step 1 of 2, train/loss ")
    assert "val/mAP " in lines[2]


def test_a_bar_that_is_asked_for_is_drawn(features: Path, tmp_path: Path) -> None:
    flags = [*SMALL, "--data.root", str(features), "--run-dir", str(tmp_path)]
    bar = "--trainer.callbacks+=lightning.pytorch.callbacks.RichProgressBar"
    main(["fit", *flags, "--trainer.max-epochs=1", "--trainer.limit-val-batches=1", bar])
    assert (tmp_path / "fit" / "checkpoints" / "last.ckpt").is_file()
