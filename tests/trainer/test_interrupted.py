"""A fit that a signal ends is unfinished, and says so; the same command with ``last`` completes it."""

import os
import signal

import pytest

from mcmfh_lightning.hashers import MCMFH


def test_sigterm_ends_with_another_exit_code_than_0_and_the_fit_can_be_completed(run, tmp_path, monkeypatch, capsys):
    def stop(module, batch, batch_idx):
        if module.trainer.global_step == 5:  # in the second epoch
            os.kill(os.getpid(), signal.SIGTERM)

    short = ["--trainer.max_epochs", 2]
    monkeypatch.setattr(MCMFH, "on_train_batch_start", stop)
    with pytest.raises(SystemExit) as stopped:
        run("fit", tmp_path, *short)
    monkeypatch.undo()
    assert stopped.value.code == 128 + signal.SIGTERM
    assert "--ckpt-path last" in capsys.readouterr().err

    run("fit", tmp_path, *short, "--ckpt_path", "last")
    checkpoints = tmp_path / "fit" / "checkpoints"
    finished = {path.name: path.read_bytes() for path in checkpoints.iterdir()}
    assert finished.keys() == {"best.ckpt", "last.ckpt"}
    capsys.readouterr()

    run("fit", tmp_path, *short, "--ckpt_path", "last")  # what a Makefile runs again has nothing left to do
    assert {path.name: path.read_bytes() for path in checkpoints.iterdir()} == finished
