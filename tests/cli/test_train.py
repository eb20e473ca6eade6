"""The command line: one folder a run, and errors of one line."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mcmfh_lightning.cli.options import ordered
from mcmfh_lightning.cli.train import main
from mcmfh_lightning.cli.train_parser import read_arguments
from mcmfh_lightning.lightning_configs import find_config, find_configs

FLAGS = ["--config", "experiments/mcmfh.yaml", "--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false"]
FLAGS += ["--model.d_model", "32", "--data.global_batch_size", "32"]


@pytest.fixture(scope="module")
def features(make_features: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_features(tmp_path_factory.mktemp("small") / "features", train=64, evaluated=20)


@pytest.fixture(scope="module")
def finished(features: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run of a fit and a test, and the warnings that these show with all of them on."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # without the filters of the tests
        patch.setattr("sys.argv", ["mcmfh"])  # Lightning warns of arguments from two places
        for command in ("fit", "test"):
            main([command, *FLAGS, "--data.root", str(features), "--run_dir", str(folder)])
    # Python hides deprecations.
    return folder, [str(one.message) for one in caught if not issubclass(one.category, DeprecationWarning)]


@pytest.fixture
def run(finished: tuple[Path, list[str]]) -> Path:
    return finished[0]


@pytest.fixture
def checkpoint(run: Path) -> Path:
    return run / "fit" / "checkpoints" / "best.ckpt"


def _fails(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a command that must end in one line on standard error; returns the line."""
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("mcmfh: error: ")
    return line


def test_run_folder_holds_everything(run: Path, checkpoint: Path) -> None:
    assert checkpoint.is_file()
    assert (run / "fit" / "config.yaml").is_file()
    assert (run / "fit" / "metrics.csv").is_file()  # the test has not written over it
    assert {"metrics.json", "ranking.csv"} <= {path.name for path in (run / "test").iterdir()}
    assert len(list((run / "test").glob("*.png"))) >= 3  # precision-recall, precision at N, expert utilisation
    assert json.loads((run / "test" / "metrics.json").read_text())


def test_a_fit_and_a_test_show_no_warning_of_a_library(finished: tuple[Path, list[str]]) -> None:
    """On planted features: what remains is what this package says."""
    assert [message for message in finished[1] if "have collapsed" not in message] == []


def test_checkpoint_needs_no_unpickling(checkpoint: Path) -> None:
    stored = torch.load(checkpoint, weights_only=True)
    assert stored["mcmfh"]["num_bits"] == 16
    assert stored["mcmfh"]["encoder"] == {"name": "planted"}


def test_features_of_another_encoder_are_refused(
    run: Path, checkpoint: Path, make_features: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_features(tmp_path / "features", encoder="another")
    flags = ["--data.root", str(other), "--run_dir", str(run), "--ckpt_path", str(checkpoint)]
    line = _fails(["test", *FLAGS, *flags], capsys)
    assert "planted" in line
    assert "another" in line


def test_shipped_configs_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_config("experiments/hash.yaml")
    assert Path(found).is_absolute()
    assert find_configs(["fit", "--config=experiments/hash.yaml", "-c", "experiments/hash.yaml"]) == [
        "fit",
        f"--config={found}",
        "-c",
        found,
    ]
    mine = tmp_path / "experiments" / "hash.yaml"
    mine.parent.mkdir()
    mine.write_text("{}")
    assert find_config("experiments/hash.yaml") == "experiments/hash.yaml"  # the user's own file wins


def test_options_may_have_hyphens_and_come_before_the_config(
    features: Path, quick_config: Path, tmp_path: Path
) -> None:
    before = [
        "--data.root",
        str(features),
        "--run-dir",
        str(tmp_path),
        "--trainer.max-epochs=1",
        "--model.d-model",
        "32",
    ]
    configs = ["--config", "experiments/mcmfh.yaml", "--config", str(quick_config)]
    main(["fit", *before, *configs, "--data.global-batch-size=32"])
    stored = torch.load(tmp_path / "fit" / "checkpoints" / "last.ckpt", weights_only=True)
    assert stored["mcmfh"]["architecture"]["d_model"] == 32
    assert stored["epoch"] == 0
    assert stored["FeatureDataModule"]["global_batch_size"] == 32


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        # What comes before the first config follows the last one; between configs the order is the user's.
        ("fit --a 1 -c x --b=2 --config y --c 3", "fit -c x --b=2 --config y --a 1 --c 3"),
        ("fit --a 1 --model.k 2 --model M --config=x", "fit --config=x --model M --a 1 --model.k 2"),
        ("fit --model.h.n 8 --model.h m.yaml --model M", "fit --model M --model.h m.yaml --model.h.n 8"),
        ("fit --model.init_args.h.n 8 --model.h m", "fit --model.h m --model.init_args.h.n 8"),
        ("fit --trainer.l.p a --trainer.l f", "fit --trainer.l f --trainer.l.p a"),
        ("fit --t.c A --t.c.x 1 --t.c B --t.c.x 2", "fit --t.c A --t.c.x 1 --t.c B --t.c.x 2"),  # a list
        ("fit --data.root -1", "fit --data.root -1"),
        ("fit", "fit"),
    ],
)
def test_order_of_options(args: str, expected: str) -> None:
    once = ordered(args.split())
    assert once == expected.split()
    assert ordered(once) == once  # as in the processes of other devices


def test_an_option_of_a_part_may_come_before_the_part(features: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", "experiments/end_to_end_mcmfh.yaml", "--data.root", str(features), "--print-config"]
    parts = (
        (["--model.hasher.num-bits", "8"], ["--model.hasher", "model/ddbh.yaml"]),
        (["--trainer.logger.save-dir", "mine"], ["--trainer.logger", "logger/csv.yaml"]),
    )
    for first, second in ((0, 1), (1, 0)):
        with pytest.raises(SystemExit) as stop:
            main(["fit", *config, *(word for part in parts for one in (first, second) for word in part[one])])
        assert stop.value.code == 0
        shown = capsys.readouterr().out
        assert "num_bits: 8" in shown
        assert "save_dir: mine" in shown


def test_composed_experiments_are_read_the_same_again() -> None:
    args = ["fit", "--run-dir", "r", "--config", "experiments/ddbh.yaml", "--config", "experiments/encode_roco.yaml"]
    once = read_arguments(args)
    assert read_arguments(once) == once
    assert once.index("--model") < once.index(find_config("experiments/encode_roco.yaml"))  # which overrides it
    assert once[-2:] == ["--run_dir", "r"]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_every_command_ends_well_in_any_terminal(
    encoding: str, make_features: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_features(
        tmp_path / "Zoë", vocabulary=("normal", "Épanchement", "Größe", "心臓"), train=128, evaluated=40
    )
    flags = [
        "--config",
        "experiments/mcmfh.yaml",
        "--data.root",
        root,
        "--run-dir",
        tmp_path / "é心",
        "--model.d-model=32",
    ]
    small = ["--data.global-batch-size=64", "--trainer.enable-progress-bar=true", "--trainer.max-epochs=1"]
    code = (
        "import sys\nfrom mcmfh_lightning.cli.main import main\n"
        "for command in ('fit', 'test', 'validate', 'predict'):\n    main([command, *sys.argv[1:]])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *flags, *small],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert len(list((tmp_path / "é心").iterdir())) == 4  # a folder of each command


def test_words_that_are_not_text_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    line = _fails(["fit", *FLAGS, "--data.root", "Zo\udcc3\udcab"], capsys)
    assert "is not text in this locale: set LC_ALL=C.UTF-8, or PYTHONUTF8=1" in line
