"""``kill -9`` in the middle of an epoch: from the last checkpoint the epoch's sequence continues, each pair once."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.datamodules.order import BatchSequence

PAIRS, BATCH, STEPS = 400, 16, 60  # 25 batches an epoch
EVERY = 3


class Recorder(pl.LightningModule):
    """Writes down the rows of every step."""

    def __init__(self, log):
        super().__init__()
        self.line = torch.nn.Linear(3, 1)
        self.log_path = log

    def training_step(self, batch, batch_idx):
        line = json.dumps([self.global_step, batch["index"].tolist()]) + "\n"
        # One write to a file opened for appending: a line is complete or absent, whenever the kill comes.
        descriptor = os.open(f"{self.log_path}-{self.global_rank}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)
        time.sleep(0.01)  # so that the kill finds the run in mid-epoch
        return self.line(batch["image"] / 100).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


def train(data, ranks, out, log, checkpoint=None):
    """Train and save a checkpoint every few steps, in a session of its own: the kill reaches ranks and workers too."""
    os.setsid()
    trainer = pl.Trainer(
        accelerator="cpu",
        strategy="auto" if ranks == 1 else "ddp_fork",
        devices=ranks,
        max_steps=STEPS,
        max_epochs=-1,
        limit_val_batches=0,
        callbacks=[ModelCheckpoint(out, filename="{step:03d}", every_n_train_steps=EVERY, save_top_k=-1)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=out,
    )
    trainer.fit(Recorder(log), data, ckpt_path=checkpoint, weights_only=True)


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
        (0, True, 2, 29),
        (1, False, 2, 13),
    ],
)
def test_what_was_trained_on_before_and_after_is_the_sequence(
    folder, tmp_path, request, monkeypatch, num_workers, unique_groups, ranks, kill_after
):
    # A test before may have asked torch for CUDA. Lightning forks ranks here from a process that is a fork itself.
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: False)

    def start(*where):
        data = FeatureDataModule(str(folder), BATCH, num_workers, unique_groups=unique_groups)
        process = multiprocessing.get_context("fork").Process(target=train, args=(data, ranks, tmp_path, *where))
        process.start()
        request.addfinalizer(process.kill)
        return process

    before, after = tmp_path / "before", tmp_path / "after"
    killed = start(before)
    first = Path(f"{before}-0")
    deadline = time.monotonic() + 120
    while not (first.exists() and len(first.read_text().splitlines()) >= kill_after):
        assert killed.is_alive(), "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL

    # The newest may be half-written: a kill does not wait. Lightning writes to a temporary name and renames.
    checkpoint = max(tmp_path.glob("*.ckpt"))
    reached = int(checkpoint.stem.partition("=")[2])
    assert 0 < reached < STEPS
    assert reached % 25, "in the middle of an epoch"
    resumed = start(after, checkpoint)
    resumed.join(180)
    assert resumed.exitcode == 0

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
