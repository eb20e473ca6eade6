"""The benchmarks run, and the tables of docs/results/benchmarks.md are those of the committed results."""

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def benchmark(repository: Path, name: str) -> ModuleType:
    """A file of ``benchmarks/``, which is no part of the package."""
    spec = importlib.util.spec_from_file_location(name, repository / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look up the annotations of their fields
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def streaming(repository: Path) -> ModuleType:
    return benchmark(repository, "streaming")


@pytest.mark.parametrize(
    ("name", "results"), [("streaming", "streaming"), ("ranking", "ranking"), ("ranking", "ranking_memory")]
)
def test_the_table_is_that_of_the_committed_file(repository: Path, name: str, results: str) -> None:
    with (repository / "docs" / "results" / f"{results}.csv").open() as stream:
        table = benchmark(repository, name).markdown(list(csv.DictReader(stream)))
    assert table in (repository / "docs" / "results" / "benchmarks.md").read_text()


def test_ranking_is_as_fast_as_the_page_says(repository: Path) -> None:
    """The page's ratios are those of the committed file, and reach what was asked for."""
    ranking = benchmark(repository, "ranking")
    with (repository / "docs" / "results" / "ranking.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert ranking.ratios(rows) in (repository / "docs" / "results" / "benchmarks.md").read_text()
    rates = {row["system"]: int(row["pairs_per_s"]) for row in rows if (row["bits"], row["items"]) == ("64", "1000000")}
    ours = rates["ours, numba, all binary metrics"]
    assert ours >= 5e8
    assert ours >= 30 * rates["(a) usual NumPy evaluator"]
    assert ours >= 150 * rates["(b) torchmetrics RetrievalMAP"]
    assert ours >= 0.4 * rates["(d) floor"]


@pytest.mark.slow
@pytest.mark.parametrize(("option", "column"), [("--csv", "pairs_per_s"), ("--memory", "peak_mb")])
def test_ranking_runs(
    option: str, column: str, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Once, on a small database: every system has a figure."""
    ranking = benchmark(repository, "ranking")
    monkeypatch.setattr(ranking, "REPEATS", 1)
    out = tmp_path / "ranking.csv"
    arguments = ["--bits", "16", "64", "--items", "50000", "--queries", "40", option, str(out)]
    monkeypatch.setattr(sys, "argv", ["ranking.py", *arguments])
    ranking.main()
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 10
    assert all(float(row[column]) > 0 or column == "peak_mb" for row in rows)
    assert "(d) floor" in capsys.readouterr().out


@pytest.mark.slow
def test_streaming_runs(
    streaming: ModuleType, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Once, on a small folder: every measure has a number for every count of workers."""
    monkeypatch.setattr(streaming, "EPOCHS", 1)
    monkeypatch.setattr(streaming, "REPEATS", 1)
    monkeypatch.setattr(streaming, "RECORDS_PER_TAR", 100)  # a tar for each worker at least
    out = tmp_path / "streaming.csv"
    arguments = ["streaming.py", "--features", str(features), "--csv", str(out), "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    streaming.main()
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 5 * 2 + 3
    assert all(float(row["value"]) > 0 for row in rows)
    assert "(a) feature shards" in capsys.readouterr().out
