"""benchmarks/search_sizes.py and archive_size.py: they run, and notice an index that finds something else."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch


@pytest.fixture(scope="module")
def bench(benchmark_file) -> SimpleNamespace:
    files = {"sizes": "search_sizes", "names": "search_tables", "engines": "search_engines", "archive": "archive_size"}
    return SimpleNamespace(**{name: benchmark_file(file) for name, file in files.items()})


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_it_runs(bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Once, on few items: every system has its times with every kind of codes."""
    options = {"--items": ("2e3", "3e3"), "--bits": ("16",), "--real": ("500",), "--turns": ("1",), "--queries": ("4",)}
    given = [word for option, values in options.items() for word in (option, *values)]
    monkeypatch.setattr(sys, "argv", ["search_sizes.py", *given, "--csv", str(tmp_path / "sizes.csv")])
    bench.sizes.main()
    rows = bench.sizes.pd.read_csv(tmp_path / "sizes.csv", keep_default_na=False)
    values = dict(zip(rows[bench.sizes.KEYS].itertuples(index=False, name=None), rows["value"], strict=True))
    names = bench.names
    for system in (names.HASH, names.FLAT, names.FAISS_FLAT, names.FAISS_HASH):
        for data in bench.sizes.DATA:
            assert 0 < values[system, data, 3000, 16, names.ONE] <= values[system, data, 3000, 16, bench.sizes.MOST]
    assert values[names.HASH, bench.sizes.UNIFORM, 2000, 16, bench.sizes.BEYOND] == 4
    assert values[names.REAL, bench.sizes.UNIFORM, 500, 512, names.ONE] > 0
    shown = capsys.readouterr().out
    assert "| 16 bits, crowded, query far from all | 3,000 |" in shown
    assert "| `HashIndex` | `FlatIndex` | (b) faiss `IndexBinaryFlat` | faiss `IndexBinaryHash` |" in shown


@pytest.mark.parametrize("wrong", ["a row", "a distance", "the order"])
def test_it_notices_an_index_that_finds_something_else(bench, tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "codes.npy"
    bench.sizes.save_codes(path, bench.sizes.CROWDED, 2000, 16)
    bench.engines.save_table(path, 16)
    queries = bench.sizes.draw(bench.sizes.CROWDED, 3, 16, 0)
    engine = bench.engines.ours(bench.engines.HashIndex, path, 16, queries)
    bench.sizes.check(engine, path)
    bench.sizes.check(bench.engines.faiss_hash(path, 16, queries), path)

    def search(query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distances, rows = (found.copy() for found in engine.search(query))
        if wrong == "a row":
            rows[-1] += 1
        elif wrong == "a distance":
            distances[-1] += 1
        else:
            rows[:2] = rows[1::-1]
        return distances, rows

    with pytest.raises(AssertionError):
        bench.sizes.check(replace(engine, search=search), path)


@pytest.mark.slow
def test_an_archive_is_built_added_to_and_searched(bench, tmp_path: Path, capfd) -> None:
    """On few items, which a scan finds."""
    bench.archive.build(tmp_path, 3000, 1000, 16)
    bench.archive.search(tmp_path)
    shown = capfd.readouterr().out
    assert "build: 3,000 items in" in shown
    assert "add: 1,000 items in" in shown
    assert "4,000 items; resident" in shown
    assert "one label:" in shown
