"""A fit that a signal ends is unfinished, and says so; the same command with ``last`` completes it."""

import json
import os
import signal

import pytest

from mcmfh_lightning.hashers import MCMFH

SHORT = ["--trainer.max_epochs", 2]


@pytest.fixture
def stopped(request, run, tmp_path, monkeypatch, capsys):
    """A fit that a signal has stopped in its second epoch."""
    number, name = request.param

    def stop(module, batch, batch_idx):
        if module.trainer.global_step == 5:
            os.kill(os.getpid(), number)

    # Ignored where the tests run in the background of a shell.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(MCMFH, "on_train_batch_start", stop)
    with pytest.raises(SystemExit) as stopped:
        run("fit", tmp_path, *SHORT)
    monkeypatch.undo()
    signal.signal(signal.SIGINT, handler)  # Lightning ignores it from then on
    assert stopped.value.code == 128 + number
    *_, line = capsys.readouterr().err.splitlines()
    assert line == f"mcmfh: stopped by {name} before the end; `fit` resumes with --ckpt-path last"


@pytest.mark.parametrize("stopped", [(signal.SIGINT, "Ctrl-C")], indirect=True)
@pytest.mark.usefixtures("stopped")
def test_a_fit_that_is_stopped_from_the_keyboard_can_be_resumed(tmp_path):
    assert (tmp_path / "fit" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("stopped", [(signal.SIGTERM, "SIGTERM")], indirect=True)
@pytest.mark.usefixtures("stopped")
def test_a_stopped_fit_is_named_as_such_until_it_is_completed(run, tmp_path, capsys):
    checkpoints = tmp_path / "fit" / "checkpoints"
    said = "the fit of these weights has not ended"
    run("test", tmp_path)
    notes = json.loads((tmp_path / "test" / "metrics.json").read_bytes())["notes"]
    assert [note for note in notes if note.startswith(said)] == notes[-1:]
    assert said in capsys.readouterr().out
    run("validate", tmp_path)
    assert said in capsys.readouterr().out

    run("fit", tmp_path, *SHORT, "--ckpt_path", "last")
    finished = {path.name: path.read_bytes() for path in checkpoints.iterdir()}
    assert finished.keys() == {"best.ckpt", "last.ckpt"}
    capsys.readouterr()
    run("test", tmp_path / "again", "--ckpt-path", checkpoints / "best.ckpt")
    assert said not in capsys.readouterr().out

    run("fit", tmp_path, *SHORT, "--ckpt_path", "last")  # what a Makefile runs again has nothing left to do
    assert {path.name: path.read_bytes() for path in checkpoints.iterdir()} == finished
