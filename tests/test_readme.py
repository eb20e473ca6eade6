"""What the README shows runs as written; `make demo` and `make test` are run by test_demo.py and by CI."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


def _blocks(repository: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)


def test_python_example_runs(repository: Path, tmp_path: Path) -> None:
    (example,) = _blocks(repository, "python")
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 0 < float(re.search(r"[\d.]+", done.stdout)[0]) < 1


def test_every_command_is_known(repository: Path) -> None:
    """Each shell block is one of those that a test or CI runs."""
    programs = [re.match(r"\S+(?: \S+)?", block)[0] for block in _blocks(repository, "bash")]
    assert programs == ["make demo", "make test", "mcmfh-data openi"]


def test_links_lead_somewhere(repository: Path) -> None:
    for document in (repository / "README.md", *(repository / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), (document, target)


@pytest.mark.slow
def test_four_commands_run_as_written(repository: Path, tmp_path: Path) -> None:
    """On a phantom under the names of the Open-i files, in an empty folder."""
    (commands,) = (block for block in _blocks(repository, "bash") if block.startswith("mcmfh-data openi"))
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    phantom = "mcmfh-data phantom --out . --studies 400 && mv reports.tgz NLMCXR_reports.tgz"
    for script in (phantom, commands):
        done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "runs" / "openi" / "test" / "ranking.csv").is_file()


@pytest.mark.parametrize("name", ["openi_mcmfh_16.csv", "openi_two_tower_16.csv"])
def test_result_table_is_that_of_the_committed_file(repository: Path, name: str) -> None:
    """They hold the mAP rows of the ranking.csv that the README's commands wrote."""
    script = repository / "benchmarks" / "results_table.py"
    results = repository / "docs" / "results" / name
    done = subprocess.run([sys.executable, script, results], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in (repository / "README.md").read_text()
