"""Run by test_killed_fit.py: fits through the command line in forked processes, most of which are killed.

Forked, because importing torch takes longer than the whole fit.
"""

import mmap
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

import torch
from lightning.pytorch import Callback

from mcmfh_lightning.cli.train import main

KILLS = 10
FLAGS = (
    *("--config", "experiments/mcmfh.yaml", "--model.d_model", "32", "--data.global_batch_size", "128"),
    *("--trainer.max_epochs", "8", "--trainer.log_every_n_steps", "1", "--last_checkpoint.every_n_train_steps", "3"),
    *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
)
SHARED = mmap.mmap(-1, 8)  # the step, reported by the child that runs


class KillsItself(Callback):
    """Reports the step, and kills its own process at a place that no other process could hit."""

    where, step = "", 0

    def on_train_batch_end(self, trainer, *_):
        SHARED[:] = struct.pack("q", trainer.global_step)

    def on_before_optimizer_step(self, trainer, *_):
        self._die("optimizer", trainer)

    def on_validation_batch_end(self, trainer, *_):
        if not trainer.sanity_checking:
            self._die("validation", trainer)

    def _die(self, where, trainer):
        if (self.where, True) == (where, trainer.global_step >= self.step):
            os.kill(os.getpid(), signal.SIGKILL)


def start(features, run_dir, *more):
    process = os.fork()
    if process == 0:
        sys.argv[1:] = []
        main(["fit", *FLAGS, "--data.root", features, "--run_dir", run_dir, *more])
        os._exit(0)
    return process


def fit(features, run_dir, *more, kill=None, delay=0.0):
    """Fit; returns whether the run was killed."""
    KillsItself.where, KillsItself.step = kill or ("", 0)
    SHARED[:] = bytes(8)
    part = Path(run_dir, "fit", "checkpoints", f"{KillsItself.where}.part")
    part.unlink(missing_ok=True)  # of an earlier kill: it would tell of no write
    process = start(features, run_dir, "--trainer.callbacks+=killed_fit.KillsItself", *more)
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            assert killed or status == 0, f"ended with status {status}"
            return killed
        reached = struct.unpack("q", SHARED[:])[0] >= KillsItself.step
        if reached and KillsItself.where == "step":
            time.sleep(delay)
            os.kill(process, signal.SIGKILL)
        elif reached and KillsItself.where.endswith(".ckpt") and part.exists():
            os.kill(process, signal.SIGKILL)
        time.sleep(1e-4)


def drive(features, folder):
    torch.set_num_threads(1)
    assert not fit(features, f"{folder}/whole")
    draw = random.Random(0)
    places = ["step"] * 4 + ["optimizer"] * 2 + ["validation"] * 2 + ["last.ckpt"] * 2
    draw.shuffle(places)
    steps = sorted(draw.sample(range(2, 25), KILLS - 1))
    # The best is written first, at the end of the first epoch.
    for kill in [("best.ckpt", 0), *zip(places, steps, strict=False)]:
        delay = draw.uniform(0, 0.05)
        killed = fit(features, f"{folder}/killed", "--ckpt_path", "last", kill=kill, delay=delay)
        print(kill, "killed" if killed else "ended", struct.unpack("q", SHARED[:])[0], flush=True)
    assert not fit(features, f"{folder}/killed", "--ckpt_path", "last")
