"""The page from table to search, followed by the letter; the README shows a part of the same commands."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mcmfh_lightning.archive import Archive
from mcmfh_lightning.cli.data import main as mcmfh_data
from mcmfh_lightning.cli.main import main as mcmfh

PARTS = (
    "python3 -m venv", "pip install", "mcmfh init", "mcmfh-data manifest", "mcmfh-data verify", "mcmfh predict",
    "mcmfh fit", "mcmfh test", "mcmfh-archive build", "mcmfh-archive search",
    "mcmfh-archive add", "mcmfh-archive delete", "mcmfh-bench rank",
)  # fmt: skip


@pytest.fixture(scope="module")
def commands(repository: Path, code_blocks) -> list[str]:
    """The lines that a reader pastes, in their order."""
    page = (repository / "docs" / "start" / "own_data.md").read_text()
    return "".join(code_blocks(page, "bash")).splitlines()


def test_has_25_steps_from_install_to_export(commands: list[str]) -> None:
    assert len(commands) >= 25
    firsts = [next((at for at, line in enumerate(commands) if line.startswith(part)), -1) for part in PARTS]
    assert -1 not in firsts
    assert firsts == sorted(firsts)


def test_readme_has_the_same_commands(repository: Path, code_blocks, commands: list[str]) -> None:
    """So they are run where the page is."""
    readme = (repository / "README.md").read_text()
    (block,) = (block for block in code_blocks(readme, "bash") if block.startswith("mcmfh init"))
    shown = block.splitlines()
    assert len(shown) >= 6
    assert [line for line in commands if line in shown] == shown


def test_table_of_the_page_is_read(
    repository: Path, code_blocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (repository / "docs" / "start" / "own_data.md").read_text()
    (table,) = code_blocks(page, "csv")
    (tmp_path / "pairs.csv").write_text(table)
    films = tmp_path / "films"
    films.mkdir()
    for row in csv.DictReader(table.splitlines()):
        Image.new("L", (8, 8)).save(films / row["image"])
    mcmfh(["init", "--manifest", "pairs.csv", "--images", "films"])
    mcmfh_data(["manifest"])
    assert (tmp_path / "data" / "pairs" / "dataset.json").is_file()


@pytest.mark.slow
def test_page_runs_as_written(
    repository: Path, code_blocks, run_as_written, own_table, commands: list[str], tmp_path: Path
) -> None:
    """The new environment borrows the dependencies of this one (they are gigabytes); the README's Python comes last."""
    wheels, folder = tmp_path / "wheels", tmp_path / "folder"
    folder.mkdir()
    own_table(folder)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, repository], check=True)
    installed = next(at for at, line in enumerate(commands) if line.startswith("pip install")) + 1
    offline = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PYTHONPATH": ""}
    run_as_written("\n".join(commands[:installed]), folder, **offline)
    (own,) = (folder / "env").glob("lib/python*/site-packages")
    dependencies = next(path for path in sys.path if path.endswith("site-packages"))
    (own / "dependencies.pth").write_text(dependencies + "\n")
    rest = ["source env/bin/activate", 'test "$(command -v mcmfh)" = "$PWD/env/bin/mcmfh"', *commands[installed:]]
    printed = run_as_written("\n".join(rest), folder, PYTHONPATH="")

    assert "Research use, not diagnosis" in printed
    with (folder / "runs" / "pairs" / "test" / "ranking.csv").open() as file:
        assert {"model", "chance"} <= {row["system"] for row in csv.DictReader(file)}
    with (folder / "pairs.csv").open() as first, (folder / "new.csv").open() as second:
        rows = [*csv.DictReader(first), *csv.DictReader(second)]
    archive = Archive.open(folder / "archive")
    assert len(archive) == sum(row["group"] != "P-0001" for row in rows)
    hits = json.loads((folder / "hits.json").read_text())["hits"]
    assert hits
    assert not {hit["item"]["id"] for hit in hits} & {row["id"] for row in rows if row["group"] == "P-0001"}
    assert "Research use, not diagnosis" in (folder / "hits.html").read_text()

    _, search, _ = code_blocks((repository / "README.md").read_text(), "python")
    done = subprocess.run([sys.executable, "-c", search], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\d+ \d+ [FN]\d{4}", done.stdout, re.MULTILINE)) == 5
