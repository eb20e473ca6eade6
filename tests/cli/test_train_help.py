"""Help of ``mcmfh fit`` and the others: one screen; all options where asked for."""

import inspect
from pathlib import Path

import pytest

from mcmfh_lightning.cli.main import main
from mcmfh_lightning.cli.options import class_options
from mcmfh_lightning.cli.train_help import COMMANDS, LINES
from mcmfh_lightning.encoders import FeatureExtractor
from mcmfh_lightning.hashers import MCMFH, EndToEnd, FusionLoss, list_methods
from mcmfh_lightning.tables import WIDTH

CONFIGS = [f"experiments/{method.name}.yaml" for method in list_methods()]


def _help(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    main(args)
    return capsys.readouterr().out


@pytest.mark.parametrize("command", list(COMMANDS))
@pytest.mark.parametrize(
    "config", [None, *CONFIGS, "experiments/end_to_end_mcmfh.yaml", "experiments/encode_tuned.yaml"]
)
def test_help_fits_a_screen(command: str, config: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    lines = _help([command, *(["--config", config] if config else []), "--help"], capsys).splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= WIDTH
    assert lines[0] == f"usage: mcmfh {command} --config FILE [--OPTION VALUE ...]"
    assert any(line.startswith("Options of ") for line in lines) or config == "experiments/label_classifier.yaml"


def test_help_shows_the_options_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--model.query-heads True" in _help(["fit", "--help"], capsys)  # of what the guides train
    assert "--model.num-experts 4" in _help(["fit", "--config=experiments/mcmfh.yaml", "--help"], capsys)
    shown = _help(["fit", "--config=experiments/ddbh.yaml", "--help"], capsys)
    assert "Options of DDBH" in shown
    assert "--model.num-experts" not in shown
    assert "Options of UCMFH" in _help(["fit", "--help", "--model", "UCMFH"], capsys)
    assert "Options of FeatureExtractor" in _help(["predict", "--help"], capsys)


def test_help_follows_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.yaml").write_text("class_path: TwoTower\ninit_args: {num_bits: 77}")
    (tmp_path / "mine.yaml").write_text("model: model.yaml")
    shown = _help(["fit", "--config", str(tmp_path / "mine.yaml"), "-h"], capsys)
    assert "Options of TwoTower" in shown
    assert "--model.num-bits 77" in shown
    (tmp_path / "mine.yaml").write_text("model: {class_path: mine.Method}")
    assert "Options of Method: mcmfh fit --model.help mine.Method" in _help(
        ["fit", "--config", str(tmp_path / "mine.yaml"), "-h"], capsys
    )


@pytest.mark.parametrize(
    "kind", [*dict.fromkeys(method.hasher for method in list_methods()), EndToEnd, FeatureExtractor]
)
def test_options_read_from_the_source_are_those_of_the_class(kind: type) -> None:
    parameters = dict(inspect.signature(kind).parameters)
    others = [name for name, one in parameters.items() if one.kind is one.VAR_KEYWORD]
    options = {option.name: option for option in class_options(kind.__name__) or ()}
    assert set(options) >= {name for name in parameters if name not in others}
    assert all(option.text for option in options.values())
    if kind is MCMFH:
        assert set(options) >= set(inspect.signature(FusionLoss).parameters)


@pytest.mark.parametrize("words", [["--help", "all"], ["--help=all"], ["-h", "all"]])
def test_all_options_are_those_of_the_model_its_parts_and_the_data(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", "experiments/end_to_end_ddbh.yaml", *words])
    assert stop.value.code == 0
    shown = capsys.readouterr().out.splitlines()
    for option in (
        "--model.micro-batch-size",
        "--model.hasher.num-bits 16",
        "--model.hasher.optimizer.lr 0.001",
        "--data.root",
        "--data.batch-size",
        "--data.global-batch-size",
        "--trainer.max-epochs",
    ):
        assert any(line.strip().startswith(option) for line in shown), option


def test_help_names_the_learning_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--model.optimizer.lr X" in _help(["fit", "--help"], capsys)


def test_all_options_have_hyphens(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--help", "all"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--trainer.gradient-clip-val", "--model.bit-balance-weight", "--run-dir", "--trainer.max-epochs"):
        assert option in shown
    assert "--run_dir" not in shown
