"""Lines of progress where the output is not a terminal."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mcmfh_lightning.callbacks import logs
from mcmfh_lightning.cli.train import main

Flags = Callable[[str], list[str]]


@pytest.fixture
def flags(make_features: Callable[..., Path], quick_config: Path, tmp_path: Path) -> Flags:
    """Options of a small run, in two steps an epoch, whose config leaves the bar to the command."""
    features = make_features(tmp_path / "features", train=64, evaluated=20)
    small = ["--config", "experiments/mcmfh.yaml", "--config", str(quick_config), "--data.root", str(features)]
    small += ["--trainer.enable-progress-bar", "null", "--model.d-model", "32", "--data.global-batch-size", "32"]
    return lambda name: [*small, "--run-dir", str(tmp_path / name)]


def test_lines_take_the_place_of_bars(
    flags: Flags, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["fit", *flags("run"), "--trainer.max-epochs=1"])
    shown = capsys.readouterr().out
    assert "━" not in shown.replace("━┯", "").partition("chosen: ")[2]
    assert "epoch 0" not in shown.partition("chosen: ")[0]  # a short run prints no line
    monkeypatch.setattr(logs, "SECONDS", 0.0)
    main(["predict", *flags("run")])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "batch" in line] == [
        f"{split}: batch 1 of 1" for split in ("train", "val", "test")
    ]
    main(["fit", *flags("again"), "--trainer.max-epochs=2"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 4
    assert lines[0].startswith("epoch 0 of 0 to 1, step 1 of 2, train/loss ")
    assert "val/mAP " in lines[2]


def test_a_bar_that_is_asked_for_is_drawn(flags: Flags, tmp_path: Path) -> None:
    bar = "--trainer.callbacks+=lightning.pytorch.callbacks.RichProgressBar"
    main(["fit", *flags("run"), "--trainer.max-epochs=1", "--trainer.limit-val-batches=1", bar])
    assert (tmp_path / "run" / "fit" / "checkpoints" / "last.ckpt").is_file()
