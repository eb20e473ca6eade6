"""Loggers through the command line: one folder a run, and no folder of the host where a server may see it."""

import csv
import importlib
import sys
from pathlib import Path

import pytest
import yaml

from mcmfh_lightning.cli.train import main
from mcmfh_lightning.lightning_configs import find_config
from mcmfh_lightning.trainer import loggers
from mcmfh_lightning.trainer.loggers import without_folders

FLAGS = ["--config", "experiments/mcmfh.yaml", "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/ann/openi/features", "features"),
        ("local-dir:/data/models/tower", "local-dir:tower"),
        ("file:///data/models/tower", "tower"),
        ("tower=/data/a.bin, other=/data/b.bin", "tower=a.bin, other=b.bin"),
        ("hf-hub:microsoft/BiomedCLIP", "hf-hub:microsoft/BiomedCLIP"),
        ("s3://bucket/openi/features", "s3://bucket/openi/features"),
        ("https://host/openi/features", "https://host/openi/features"),
        ("runs/openi/features", "runs/openi/features"),
        ("image/text", "image/text"),
        (Path("/home/ann/x"), "x"),
        ([{"root": "/home/ann/x"}, 1, None, True, 0.5], [{"root": "x"}, 1, None, True, 0.5]),
    ],
)
def test_absolute_paths_are_logged_by_their_last_part(value: object, shown: object) -> None:
    assert without_folders(value) == shown


def test_wandb_knows_the_settings_that_we_ship() -> None:
    """It refuses names it does not know, and some of these may go in a later release."""
    wandb = pytest.importorskip("wandb")
    shipped = yaml.safe_load(Path(find_config("logger/wandb.yaml")).read_text())["init_args"]["settings"]
    settings = wandb.Settings(**shipped)
    assert {name: getattr(settings, name) for name in shipped} == shipped


@pytest.mark.parametrize("package", ["wandb", "tensorboard"])
def test_a_logger_that_is_not_installed_names_the_extra(
    package: str, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mcmfh_lightning.trainer.loggers.find_spec", lambda name: None)
    flags = ["--data.root", str(features), "--run_dir", str(tmp_path), "--trainer.logger", f"logger/{package}.yaml"]
    with pytest.raises(SystemExit) as stop:
        main(["fit", *FLAGS, *flags])
    assert stop.value.code == 2
    assert f"pip install 'mcmfh-lightning[{package}]'" in capsys.readouterr().err.strip().splitlines()[-1]


def test_from_an_empty_folder_everything_goes_below_the_run_folder(
    small_features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With TensorBoard; test_wandb_run.py has all loggers, and tests after fits."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.chdir(tmp_path)
    flags = ["--data.root", str(small_features), "--run_dir", "run", "--trainer.logger", "logger/tensorboard.yaml"]
    main(["fit", *FLAGS, *flags, "--model.d-model=32", "--data.global-batch-size=32"])
    assert [path.name for path in Path().iterdir()] == ["run"]
    assert [path.name for path in Path("run").iterdir()] == ["fit"]
    assert Path("run/fit/checkpoints/best.ckpt").is_file()
    config = yaml.safe_load(Path("run/fit/config.yaml").read_text())
    assert config["trainer"]["logger"]["class_path"] == "lightning.pytorch.loggers.TensorBoardLogger"
    logged = events.EventAccumulator("run/fit")
    logged.Reload()
    assert set(logged.Tags()["images"]) == {"expert_utilisation", "code_statistics"}
    assert {f"{name}.png" for name in logged.Tags()["images"]} == {path.name for path in Path("run/fit").glob("*.png")}
    assert {"val/mAP", "train/samples_per_second", "val/bits/image/balance"} <= set(logged.Tags()["scalars"])


@pytest.mark.parametrize(("module", "name"), [("loggers", "PrivateWandbLogger"), ("csv_logger", "ResumableCSVLogger")])
def test_the_former_places_of_the_loggers_still_work(module: str, name: str) -> None:
    """Configurations of earlier runs name them."""
    sys.modules.pop(f"mcmfh_lightning.{module}", None)
    with pytest.warns(DeprecationWarning, match=r"mcmfh_lightning\.trainer\.loggers"):
        former = importlib.import_module(f"mcmfh_lightning.{module}")
    assert getattr(former, name) is getattr(loggers, name)


@pytest.mark.parametrize(("epochs", "steps"), [(1, [3]), (3, [9])])
def test_a_short_fit_has_its_losses_in_the_file(epochs, steps, run, tmp_path):
    """Four steps an epoch, every tenth of them is logged."""
    run("fit", tmp_path, "--trainer.limit-val-batches=0", f"--trainer.max-epochs={epochs}")
    with (tmp_path / "fit" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [int(row["step"]) for row in rows] == steps
