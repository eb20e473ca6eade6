"""Every shipped config is parsed, and every experiment runs, through the real command line."""

from pathlib import Path

import pytest
import yaml

from mcmfh_lightning.cli.train import McmfhCLI, main
from mcmfh_lightning.lightning_configs import find_config

CONFIGS = Path(find_config("experiments/demo.yaml")).parents[1]
EXPERIMENTS = sorted(CONFIGS.glob("experiments/*.yaml"))
ENCODER_EXPERIMENTS = [path.name for path in EXPERIMENTS if path.name.startswith("encode_")]
# On pairs: they run in tests/encoders/test_experiments.py.
PAIR_EXPERIMENTS = [path.name for path in EXPERIMENTS if path.name.startswith(("end_to_end_", "tune_"))]
HASHER_EXPERIMENTS = [path.name for path in EXPERIMENTS if path.name not in {*ENCODER_EXPERIMENTS, *PAIR_EXPERIMENTS}]


def test_every_part_is_used_by_an_experiment() -> None:
    """A data, model or trainer file that no experiment includes would be run by no test.

    Launch recipes go on top of an experiment: tests/cluster/test_launch.py.
    """
    used = set()
    pending = [*EXPERIMENTS]
    while pending:
        path = pending.pop()
        for value in _strings(yaml.safe_load(path.read_text())):
            part = (path.parent / value).resolve()
            if value.endswith(".yaml") and part not in used:
                used.add(part)
                pending.append(part)
    parts = (path for kind in ("data", "model", "trainer") for path in CONFIGS.glob(f"{kind}/*.yaml"))
    assert used == {path.resolve() for path in parts if path.stem not in {"cpu", "gpu", "ddp", "slurm"}}


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [found for item in value.values() for found in _strings(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", HASHER_EXPERIMENTS)
def test_hasher_experiment_fits_and_tests(
    name: str, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # an empty folder: nothing may be looked up in the clone
    flags = ["--config", f"experiments/{name}", "--data.root", str(features), "--trainer.fast_dev_run", "true"]
    main(["fit", *flags])
    main(["test", *flags])


@pytest.mark.parametrize("name", ENCODER_EXPERIMENTS)
def test_encoder_experiment_parses(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They run in tests/encoders/test_experiments.py."""
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--config", f"experiments/{name}", "--print_config"])
    assert stop.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["return_predictions"] is False  # otherwise Lightning keeps every embedding in memory
    assert config["model"]["class_path"].endswith("FeatureExtractor")


def test_scheduler_follows_max_epochs(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen = {}
    monkeypatch.setattr(McmfhCLI, "_run_subcommand", lambda cli, subcommand: seen.update(model=cli.model))
    main(["fit", "--config", "experiments/demo.yaml", "--data.root", str(features), "--trainer.max_epochs", "7"])
    schedule = seen["model"].configure_optimizers()["lr_scheduler"]["scheduler"]
    assert schedule.T_max == 7
