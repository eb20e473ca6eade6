"""The benchmarks run, and the tables of docs/benchmarks.md are those of the committed results."""

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def streaming(repository: Path) -> ModuleType:
    """``benchmarks/streaming.py``, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("streaming", repository / "benchmarks" / "streaming.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_streaming_is_that_of_the_committed_file(repository: Path, streaming: ModuleType) -> None:
    with (repository / "docs" / "results" / "streaming.csv").open() as stream:
        table = streaming.markdown(list(csv.DictReader(stream)))
    assert table in (repository / "docs" / "benchmarks.md").read_text()


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
