"""What the README shows runs as written; `make demo` and `make test` are run by test_demo.py and by CI."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mcmfh_lightning.datasets.phantom.write import write_phantom


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
    assert programs == ["make demo", "make test", "mcmfh-data openi", "mcmfh-archive build", "mcmfh-data manifest"]


def test_links_lead_somewhere(repository: Path) -> None:
    for document in (repository / "README.md", *(repository / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), (document, target)


def _run_as_written(repository: Path, folder: Path, first: str) -> str:
    """Run the shell block of the README that begins so, in a folder; returns what it prints."""
    (commands,) = (block for block in _blocks(repository, "bash") if block.startswith(first))
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(["bash", "-euc", commands], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_four_commands_run_as_written_and_then_the_archive(repository: Path, tmp_path: Path) -> None:
    """On a phantom under the names of the Open-i files, in an empty folder."""
    write_phantom(tmp_path, 400, 0, Console(quiet=True))
    (tmp_path / "reports.tgz").rename(tmp_path / "NLMCXR_reports.tgz")
    _run_as_written(repository, tmp_path, "mcmfh-data openi")
    assert (tmp_path / "runs" / "openi" / "test" / "ranking.csv").is_file()
    found = _run_as_written(repository, tmp_path, "mcmfh-archive build")
    assert found.count("CXR") >= 5
    assert "Research use, not diagnosis" in found


@pytest.mark.slow
def test_own_collection_runs_as_written(repository: Path, tmp_path: Path) -> None:
    """On a phantom's films, under a table of a row each."""
    write_phantom(tmp_path, 12, 0, Console(quiet=True))
    # Studies 13 and above are the phantom's warts.
    films = [film for n in range(1, 13) for film in (tmp_path / "images").glob(f"CXR{n}_*")]
    (tmp_path / "images").rename(tmp_path / "films")
    rows = ["id,image,text,labels,group"]
    rows += [f"{n},{film.name},Film number {n}.,label{n % 2},{film.stem.split('_')[0]}" for n, film in enumerate(films)]
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    _run_as_written(repository, tmp_path, "mcmfh-data manifest")
    assert (tmp_path / "stats" / "stats.json").is_file()


@pytest.mark.parametrize("name", ["openi_mcmfh_16.csv", "roco_mcmfh_16.csv"])
def test_result_table_is_that_of_the_committed_file(repository: Path, name: str) -> None:
    """They hold the mAP rows of the ranking.csv that the README's commands wrote."""
    script = repository / "benchmarks" / "results_table.py"
    results = repository / "docs" / "results" / name
    done = subprocess.run([sys.executable, script, results], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in (repository / "README.md").read_text()


def test_comparisons_are_those_of_the_rendered_page(repository: Path) -> None:
    """Which is what the committed results render to: tests/benchmarks/test_table_committed.py."""
    page = (repository / "docs" / "results" / "comparison" / "table.md").read_text()
    tables = re.findall(r"(?:^\|.*\n)+", (repository / "README.md").read_text(), re.MULTILINE)
    compared = [table for table in tables if table.startswith("| system |")]
    assert len(compared) == 4  # two collections: the systems, and MCMFH against each
    assert all(table in page for table in compared)
