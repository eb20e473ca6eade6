"""benchmarks/gpu.py: rows are appended, errors are rows and an exit code, and a kernel that miscounts is found."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mcmfh_lightning.metrics.kernels import cuda
from mcmfh_lightning.metrics.kernels.cpu import graded_histogram_numba, hamming_histogram_numba
from tests.benchmarks.test_pages import read_page

MADE_UP = """
import os
from gpu_sections import Measured

def refuse():
    yield Measured("before", "", [1.0], "s")
    raise ValueError("no memory\\nis left")

def rows():
    yield Measured("slow", "K = 16", [2.0, 4.0, 3.0], "s", floor=1.5, floor_of="bytes", goal="value <= 1", run=dict)
    yield Measured("quick", "K = 32", [10.0], "steps/s", floor=40.0, goal="share >= 0.2", run=dict)

def failing(device, folder):
    return [("refuse", refuse), ("rows", rows)]

def stopped(device, folder):
    return [("end", lambda: os._exit(9))]

def fine(device, folder):
    return [("rows", rows)]
"""


@pytest.fixture(scope="module")
def bench(benchmark_file) -> SimpleNamespace:
    names = ("gpu", "gpu_device", "gpu_encoding", "gpu_fit", "gpu_ranking", "gpu_sections", "gpu_suite", "measurements")
    return SimpleNamespace(**{name: benchmark_file(name) for name in names})


@pytest.fixture
def device(bench):
    return bench.gpu_device.Device("cpu", "a CPU", "none")


def test_errors_are_rows_and_an_exit_code_and_what_follows_is_measured(
    bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The command with sections that are made up, each in a process of its own."""
    (tmp_path / "made_up_sections.py").write_text(MADE_UP)
    monkeypatch.syspath_prepend(str(tmp_path))  # processes that are spawned get the path too
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # as the command sets it, and put back
    sections = {name: (f"made_up_sections:{name}", 0.5) for name in ("failing", "stopped")}
    monkeypatch.setattr(bench.gpu, "SECTIONS", sections)
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--minutes", "8", "--out", str(out)])
    with pytest.raises(SystemExit, match="2 sections have errors") as ended:
        bench.gpu.main()
    assert ended.value.code != 0
    rows = bench.measurements.read(out / "gpu.csv")
    assert rows["what"].to_list() == ["before", "refuse", "slow", "quick", "all"]
    assert rows["error"].to_list()[1] == "ValueError: no memory"
    assert "ended with code 9" in rows["error"].to_list()[4]
    assert rows.loc[2, ["value", "low", "high", "turns", "share"]].astype(float).to_list() == [3, 2, 4, 3, 0.5]
    assert float(rows.loc[3, "share"]) == 0.25
    assert (rows[["device", "driver", "torch", "run"]] != "").all(axis=None)
    titles = [line for line in (out / "profiles.txt").read_text().splitlines() if line.startswith("==")]
    assert titles == ["== failing: slow, K = 16"]  # the other reaches its goal
    assert "failed: ValueError: no memory" in capsys.readouterr().out


def test_waiting_that_misses_its_goal_is_profiled_where_batches_are_read(bench, device, tmp_path: Path) -> None:
    (found,) = bench.gpu_fit.loading(16, 0, device, tmp_path)
    late = found._replace(values=[0.5])
    assert late.missed
    bench.gpu_sections.write_profile(tmp_path, late.what, late.run, device)
    assert "(gather)" in (tmp_path / "profiles.txt").read_text()


def test_rows_are_appended_and_the_last_run_is_shown(bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_up_sections.py").write_text(MADE_UP)
    monkeypatch.syspath_prepend(str(tmp_path))
    measure = partial(bench.gpu_sections.measure, out=tmp_path)
    assert measure("ranking", "made_up_sections:failing", time.time() + 60, started="2026-01-01") == 1
    first = (tmp_path / "gpu.csv").read_text()
    assert measure("ranking", "made_up_sections:fine", time.time() + 60, started="2026-01-02") == 0
    assert measure("training", "made_up_sections:fine", 0, started="2026-01-01") == 0  # its time is up
    assert measure("tests", "no_such_section:steps", time.time() + 60, started="2026-01-01") == 1
    assert (tmp_path / "gpu.csv").read_text().startswith(first)
    rendered = bench.gpu.tables(bench.measurements.read(tmp_path / "gpu.csv"))
    assert list(rendered) == ["summary", "ranking", "training", "tests"]
    assert "failed" not in rendered["ranking"]
    assert "| slow | K = 16 | 3 s (2 to 4) | 1.5 | bytes | 50 % |" in rendered["ranking"]
    assert "not measured: the time was up" in rendered["training"]
    assert "failed: ModuleNotFoundError: No module named 'no_such_section'" in rendered["tests"]


def one_moved(counts: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Count one item of the last query at a neighboring distance: all sums stay what they are."""
    total = counts[0].clone()
    level = int(total[-1].argmax())
    total[-1, level] -= 1
    total[-1, level - 1] += 1
    return total, *counts[1:]


def test_a_kernel_that_miscounts_one_item_is_an_error(
    bench, device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiled CPU kernels in the place of Triton's: as they are, and with one item in a wrong bin."""
    pytest.importorskip("triton", reason="without it the backend is refused")
    steps = [(str(bits), partial(bench.gpu_ranking.compare, bits, 2, 600, device)) for bits in (16, 256)]
    monkeypatch.setitem(sys.modules, "two_widths", SimpleNamespace(steps=lambda device, folder: steps))
    monkeypatch.setattr(cuda, "hamming_histogram_triton", hamming_histogram_numba)
    monkeypatch.setattr(cuda, "graded_histogram_triton", graded_histogram_numba)
    measure = partial(bench.gpu_sections.measure, "ranking", "two_widths:steps", time.time() + 60)
    assert measure(tmp_path, "now") == 0
    rows = bench.measurements.read(tmp_path / "gpu.csv")
    assert rows["value"].astype(float).iloc[0] == 2 * 2 * 17
    assert len(rows) == 4
    monkeypatch.setattr(cuda, "hamming_histogram_triton", lambda *words: one_moved(hamming_histogram_numba(*words)))
    (tmp_path / "broken").mkdir()
    assert measure(tmp_path / "broken", "now") == 2
    rows = bench.measurements.read(tmp_path / "broken" / "gpu.csv")
    assert (rows["value"] == "").all()
    assert all("does not count what the reference counts: binary, K =" in error for error in rows["error"])
    assert "2 of total" in rows["error"].iloc[0]


def test_texts_that_are_padded_are_the_same_texts(bench, device) -> None:
    """As long as the page says, and shorter than the context if they are cut to the longest."""
    count = bench.gpu_encoding.BATCHES["cuda"]["texts"]
    draw = partial(bench.gpu_encoding.random_tokens, count, 100, device)
    (short, given), (long, same) = draw(padded=False), draw(padded=True)
    assert long.shape == (count, 256)
    assert short.shape[1] == int(given.sum(1).max()) < 256
    assert torch.equal(given.sum(1), same.sum(1))
    assert 40 < given.sum(1).median() < 50
    assert torch.equal(short > 0, given)


def test_all_tests_that_need_a_gpu_are_found(bench, repository: Path) -> None:
    found = {path.name for path in bench.gpu_suite.marked()}
    assert found == {"test_kernel_triton.py", "test_retrieval.py"}
    needing = [path for path in (repository / "tests").rglob("test_*.py") if "not torch.cuda" in path.read_text()]
    assert {path.name for path in needing} - {Path(__file__).name} == found


def test_the_page_has_the_summary_of_the_committed_rehearsal(bench, repository: Path) -> None:
    rows = bench.gpu.latest(bench.measurements.read(repository / "docs" / "results" / "gpu_rehearsal.csv"))
    assert set(rows["section"]) == set(bench.gpu.SECTIONS)
    assert (rows["error"] == "").all()
    assert (rows["value"] != "").all()  # nothing was left out
    assert (rows["goal"] == "").all()  # no goal counts on a CPU
    assert rows["what"].str.contains("equal to the reference").sum() == 10
    page = read_page(repository, "benchmarks")
    rendered = bench.gpu.tables(rows)
    assert bench.measurements.fill(page, "gpu", {"summary": rendered["summary"]}) == page


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: run the command")
def test_the_command_is_rehearsed_on_a_cpu(bench, repository: Path, tmp_path: Path) -> None:
    script: list[str | Path] = [sys.executable, repository / "benchmarks" / "gpu.py"]
    done = subprocess.run([*script, "--minutes", "12", "--out", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = bench.measurements.read(tmp_path / "gpu.csv")
    assert set(rows["section"]) == set(bench.gpu.SECTIONS)
    assert (rows["error"] == "").all()
    assert "a rehearsal at small sizes" in done.stdout
