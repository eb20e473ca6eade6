"""``kill -9`` in the middle of an epoch: from the last checkpoint the epoch's sequence continues, each pair once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mcmfh_lightning.datamodules.order import BatchSequence

SCRIPT = Path(__file__).with_name("killed_run.py")
PAIRS, BATCH, STEPS = 400, 16, 60  # 25 batches an epoch


@pytest.fixture(scope="module")
def folder(write_features, tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("killed"), {"train": PAIRS}, ranks=2, block_pairs=30)


def steps_of(log, ranks):
    """The lines of all ranks: [step, rows] in the order in which they were trained on."""
    return [[json.loads(line) for line in Path(f"{log}-{r}").read_text().splitlines()] for r in range(ranks)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_workers", "unique_groups", "ranks", "kill_after"),
    [
        (2, True, 1, 31),
        (0, False, 1, 8),
        (3, False, 1, 44),
        (0, True, 2, 29),
        (1, False, 2, 13),
    ],
)
def test_what_was_trained_on_before_and_after_is_the_sequence(
    folder, tmp_path, num_workers, unique_groups, ranks, kill_after
):
    def start(log, *checkpoint):
        command = [sys.executable, SCRIPT, folder, tmp_path, log, num_workers, unique_groups, ranks, STEPS, *checkpoint]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        # A session of its own: the kill reaches ranks and workers too.
        return subprocess.Popen(list(map(str, command)), env=environment, start_new_session=True)

    before, after = tmp_path / "before", tmp_path / "after"
    process = start(before)
    first = Path(f"{before}-0")
    deadline = time.monotonic() + 120
    while not (first.exists() and len(first.read_text().splitlines()) >= kill_after):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)

    # The newest may be half-written: a kill does not wait. Lightning writes to a temporary name and renames.
    checkpoint = max(tmp_path.glob("*.ckpt"))
    reached = int(checkpoint.stem.partition("=")[2])
    assert 0 < reached < STEPS
    assert reached % 25, "in the middle of an epoch"
    assert start(after, checkpoint).wait(timeout=180) == 0

    groups = np.arange(PAIRS) // 2 if unique_groups else None
    sequence = BatchSequence(np.arange(PAIRS), groups, seed=0, global_batch_size=BATCH)
    parts = []
    for old, new in zip(steps_of(before, ranks), steps_of(after, ranks), strict=True):
        assert new[0][0] == reached
        parts.append([rows for step, rows in old if step < reached] + [rows for _, rows in new])
    together = [[row for part in step for row in part] for step in zip(*parts, strict=True)]
    assert together == [sequence.batch(number).tolist() for number in range(STEPS)]
    for epoch in (0, 1):
        rows = np.concatenate(together[epoch * 25 : (epoch + 1) * 25])
        assert len(np.unique(rows)) == PAIRS, "each once"
