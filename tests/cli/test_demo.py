"""``mcmfh demo``, run by ``make demo`` as a newcomer does: what it prints, and what its numbers have to show."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.cli import demo as command
from mcmfh_lightning.cli.main import main


@pytest.fixture(scope="module")
def demo(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Run ``make demo``; everything that it prints, and the folder that it names."""
    runs = tmp_path_factory.mktemp("demo")
    environment = Path(sys.executable).parents[1]
    command = ["make", "demo", f"RUNS={runs}", f"VENV={environment}", f"STAMP={runs / 'installed'}"]
    (runs / "installed").touch()
    env = os.environ | {"COLUMNS": "160", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=repository, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout, runs / "demo" / "run" / "test"


def test_a_used_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--out", str(tmp_path)])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"mcmfh: error: {tmp_path} is not an empty folder: delete it, or pass another --out"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_missing_packages_are_named_with_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda module: None if module == "lancedb" else object())
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--out", str(tmp_path)])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install 'mcmfh-lightning[archive]'")


def test_a_failed_step_ends_the_demo_with_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_STEPS", ["mcmfh-data verify nothing", "mcmfh-data no"])
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--out", str(tmp_path)])
    assert stop.value.code == 2
    printed = capfd.readouterr()
    assert printed.out.splitlines()[-1] == "$ mcmfh-data verify nothing"  # the next one is not begun
    assert printed.err.startswith("mcmfh-data: error: nothing is not a folder")  # shown, as the step failed


def test_warnings_of_a_step_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said = "import sys, warnings; sys.stderr.write('Seed set to 0\\n'); warnings.warn('the codes have collapsed')"
    (tmp_path / "step.py").write_text(f"def main():\n    {said}\n")
    monkeypatch.setitem(command._MODULES, "mcmfh-warns", "step")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(command, "_STEPS", ["mcmfh-warns"])
    main(["demo", "--out", str(tmp_path / "demo")])
    printed = capfd.readouterr()
    assert "warning: the codes have collapsed" in printed.out.splitlines()
    assert "Seed" not in printed.out + printed.err


@pytest.mark.slow
def test_prints_the_table_and_the_folder_of_plots(demo: tuple[str, Path]) -> None:
    stdout, folder = demo
    assert "mAP@all" in stdout
    assert "chance" in stdout
    assert "Research use, not diagnosis" in stdout
    assert str(folder) in stdout
    assert len(list(folder.glob("*.png"))) >= 3


@pytest.mark.slow
def test_it_fits_a_screen_or_two_and_prints_each_command(demo: tuple[str, Path]) -> None:
    stdout, folder = demo
    stdout = stdout.replace(str(folder.parents[1]), "runs/demo")  # that of a test may be longer than a line
    lines = stdout.partition("$ mkdir")[2].splitlines()  # before it make prints its own command
    assert len(lines) <= 80, stdout
    assert max(map(len, lines)) <= 100, stdout
    shown = [line for line in stdout.replace("\\\n", "").splitlines() if line.startswith("$ mcmfh")]
    expected = [shlex.split(line.removeprefix("$ "), comments=True) for line in shown]
    assert expected == [shlex.split(step, comments=True) for step in command._STEPS]
    assert len(shown) == 9


@pytest.mark.slow
def test_ends_with_three_searches_of_its_test_split(demo: tuple[str, Path]) -> None:
    stdout, folder = demo
    archive = folder.parents[1] / "archive"
    for query in ("enlarged heart with pleural effusion", "curvature of the spine", "CXR1_IM-1817-1001.png"):
        assert query in stdout
    assert f"mcmfh-archive serve {archive}" in stdout
    with (folder.parents[1] / "phantom" / "splits.csv").open() as file:
        unseen = {row["image_id"] for row in csv.DictReader(file) if row["split"] == "test"}
    hits = re.findall(r"CXR\d+_IM-\d+-\d+(?!\S*\.png)", stdout[stdout.index("enlarged heart") :])
    assert len(hits) >= 6
    assert set(hits) <= unseen | {"CXR1_IM-1817-1001"}
    assert len(Archive.open(archive)) == len(unseen)


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["i2t", "t2i"])
def test_unimodal_beats_every_null_and_is_not_too_good(demo: tuple[str, Path], direction: str) -> None:
    with (demo[1] / "ranking.csv").open() as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["protocol"], row["database"], row["queries"], row["direction"], row["metric"])
            == ("unimodal", "unseen", "all", direction, "mAP@all")
        ]
    values = {row["system"]: float(row["value"]) for row in rows}
    model = values.pop("model")
    assert len(values) >= 4  # chance, constant ranking, shuffled queries, random hyperplanes
    assert all(model >= null + 0.10 for null in values.values()), (model, values)
    assert model < 0.95


@pytest.mark.slow
def test_untrained_model_is_at_chance_on_the_phantom(demo, chance_leads, at_chance):
    features = demo[1].parents[1] / "features"
    leads = chance_leads(lambda seed: features, 0)
    assert at_chance(leads), leads


@pytest.mark.slow
def test_shuffled_pairs_are_at_chance_on_the_phantom(demo, shuffle_images, chance_leads, at_chance, tmp_path):
    features = demo[1].parents[1] / "features"
    leads = chance_leads(lambda seed: shuffle_images(features, tmp_path / str(seed), seed), 4)
    assert at_chance(leads), leads
