"""benchmarks/ranking.py and benchmarks/streaming.py run, and ranking is as fast as was asked for."""

import sys
from pathlib import Path

import pytest


def test_ranking_is_as_fast_as_the_page_says(repository: Path, benchmark_file) -> None:
    rows = benchmark_file("measurements").read(repository / "docs" / "results" / "ranking.csv")
    rates = rows.query("bits == 64 and items == 1_000_000").set_index("system")["pairs_per_s"]
    ours = rates["ours, numba, all binary metrics"]
    assert ours >= 5e8
    assert ours >= 30 * rates["(a) usual NumPy evaluator"]
    assert ours >= 150 * rates["(b) torchmetrics RetrievalMAP"]
    assert ours >= 0.4 * rates["(d) floor"]


@pytest.mark.slow
@pytest.mark.parametrize(("option", "column"), [("--csv", "pairs_per_s"), ("--memory", "peak_mb")])
def test_ranking_runs(
    option: str, column: str, benchmark_file, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Once, on a small database: every system has a figure."""
    ranking = benchmark_file("ranking")
    monkeypatch.setattr(ranking, "REPEATS", 1)
    out = tmp_path / "ranking.csv"
    arguments = ["--bits", "16", "64", "--items", "50000", "--queries", "40", option, str(out)]
    monkeypatch.setattr(sys, "argv", ["ranking.py", *arguments])
    ranking.main()
    rows = benchmark_file("measurements").read(out)
    assert len(rows) == 2 * 10
    assert column == "peak_mb" or (rows[column] > 0).all()
    assert all("faiss-cpu" in where for where in rows["machine"])
    assert "(d) floor" in capsys.readouterr().out


@pytest.mark.slow
def test_streaming_runs(
    benchmark_file, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Once, on a small folder: every measure has a number for every count of workers."""
    streaming = benchmark_file("streaming")
    monkeypatch.setattr(streaming, "EPOCHS", 1)
    monkeypatch.setattr(streaming, "REPEATS", 1)
    monkeypatch.setattr(streaming, "RECORDS_PER_TAR", 100)  # a tar for each worker at least
    out = tmp_path / "streaming.csv"
    arguments = ["streaming.py", "--features", str(features), "--csv", str(out), "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    streaming.main()
    rows = benchmark_file("measurements").read(out)
    assert len(rows) == 5 * 2 + 3
    assert (rows["value"] > 0).all()
    assert "(a) feature shards" in capsys.readouterr().out


def test_the_start_of_a_command_is_measured_and_cheaper_than_torch(benchmark_file) -> None:
    startup = benchmark_file("startup")
    assert 0 < startup.cpu_seconds("main --help") < startup.cpu_seconds("torch")
    assert len(list(startup.COMMANDS)) == 7
