"""Files of codes, and reports on them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mcmfh_lightning.cli.bench import main

BITS, LABELS = 12, 10
QUERIES, ITEMS = 30, 80


def random_items(seed: int, count: int, bits: int = BITS, labels: int = LABELS) -> dict[str, np.ndarray]:
    """Codes that know a little of the labels; three items a group; some items without a label."""
    rng = np.random.default_rng(seed)
    hot = rng.random((count, labels)) < 0.15
    planes = np.random.default_rng(99).normal(size=(labels, bits))
    signs = np.where(hot @ planes + rng.normal(size=(count, bits)) >= 0, 1.0, -1.0)
    names = np.array([f"{seed}-{number}" for number in range(count)])
    return {"codes": signs, "labels": hot, "groups": rng.integers(0, 40, count), "ids": names}


def save(path: Path, items: dict[str, np.ndarray]) -> Path:
    """Write a file as its name says."""
    if path.suffix == ".npz":
        np.savez(path, **items)
    else:
        columns = {key: list(array) if array.ndim == 2 else array for key, array in items.items()}
        pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def items() -> dict[str, dict[str, np.ndarray]]:
    return {"query": random_items(1, QUERIES), "database": random_items(2, ITEMS)}


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without their figures, which take longest."""
    monkeypatch.setattr("mcmfh_lightning.evaluation.rank.ranking_figures", lambda *_: {})


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs `mcmfh-bench rank` on items of both sides; gives results.json, the rest is in ``tmp_path/out``."""

    def run(items: dict[str, dict[str, np.ndarray]], *flags: str, suffix: str = ".npz") -> dict[str, Any]:
        paths = [str(save(tmp_path / f"{side}{suffix}", items[side])) for side in ("query", "database")]
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        main(["rank", "--query", paths[0], "--database", paths[1], "--out", str(out), *flags])
        return json.loads((out / "results.json").read_text())

    return run
