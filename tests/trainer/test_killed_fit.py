"""``kill -9`` ten times, resumed from ``last.ckpt`` each time: the run ends as if nothing had happened."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("killed_fit.py")


@pytest.fixture(scope="module")
def runs(features, tmp_path_factory):
    """A run that was killed ten times, and one that was not; each kill said in a line."""
    folder = tmp_path_factory.mktemp("runs")
    code = f"import killed_fit; killed_fit.drive({str(features)!r}, {str(folder)!r})"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    kills = [line for line in done.stdout.splitlines() if line.startswith("(")]
    assert len(kills) == 10
    assert all("killed" in line for line in kills), kills
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["last", "best"])
def test_checkpoints_are_those_of_the_uninterrupted_run(runs, name):
    whole, killed = (
        torch.load(runs / run / "fit" / "checkpoints" / f"{name}.ckpt", weights_only=True)
        for run in ("whole", "killed")
    )
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "mcmfh"):
        assert _same(whole[part], killed[part]), part
    scores = [
        [state["best_model_score"] for state in run["callbacks"].values() if state.get("monitor")]
        for run in (whole, killed)
    ]
    assert len(scores[0]) == 1
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_metrics_are_those_of_the_uninterrupted_run(runs):
    """Each row once; a kill between a checkpoint and the row that follows it can lose this one row."""
    whole, killed = (_rows(runs / run / "fit" / "metrics.csv") for run in ("whole", "killed"))
    assert [row for row in whole if row in killed] == killed
    lost = [row for row in whole if row not in killed]
    assert all(int(row["step"]) % 3 == 2 and not row.get("val/mAP") for row in lost), lost
    assert len(lost) <= 2


def _same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def _rows(path):
    with path.open(newline="") as file:
        rows = [{k: v for k, v in row.items() if v and k != "train/samples_per_second"} for row in csv.DictReader(file)]
    return [row for row in rows if row.keys() != {"epoch", "step"}]  # those of samples_per_second, which is a time
