"""Every batch arrives once and in order, or an error names the loader and says what to do."""

import errno
import os
import re
import signal
import time
from contextlib import nullcontext
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.multiprocessing import ProcessRaisedException
from torch.utils.data import get_worker_info
from torch.utils.data._utils import signal_handling

from mcmfh_lightning import shared_memory
from mcmfh_lightning.cli.train import main
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.datamodules.loader import BatchLoader, worker_errors
from mcmfh_lightning.datamodules.streams import BatchStream, EvaluationStream, Parcel
from mcmfh_lightning.datamodules.tables import FeatureTable
from mcmfh_lightning.errors import DataError


class Rows:
    """A table whose batches are their rows; ``make`` replaces batch number 2, of ten."""

    def __init__(self, make=None):
        self.make = make

    def batch(self, rows):
        if self.make is not None and rows[0] == 2:
            return self.make()
        return {"index": torch.from_numpy(rows)}


def rows_loader(make=None, num_workers=0):
    return BatchLoader(EvaluationStream(Rows(make), np.arange(10), 1), "test/query", num_workers=num_workers)


def numbers(loader):
    return [int(batch["index"]) for batch in loader]


@pytest.fixture
def arrives_as(monkeypatch):
    """Change what streams give on its way: ``arrives_as(f)`` calls f with the list of all numbers."""

    def arrives_as(change):
        def altered(self):
            numbers = change(list(self.numbers()))
            pack = Parcel if get_worker_info() else lambda *numbered: numbered
            return (pack(number, self.batch(number)) for number in numbers)

        monkeypatch.setattr(BatchStream, "__iter__", altered)

    return arrives_as


LOST = {
    "one is lost": (lambda all_: [all_[0], *all_[2:]], r"batch 2 of \d+ did not arrive \(batch 3 came in its place\)"),
    "the last is lost": (lambda all_: all_[:-1], r"\d+ of \d+ batches arrived, the others are lost"),
    "none arrives": (lambda _: [], r"0 of \d+ batches arrived"),
    "one comes twice": (lambda all_: [*all_[:2], *all_[1:]], r"batch 2 of \d+ came twice"),
    "two change places": (lambda all_: [all_[1], all_[0], *all_[2:]], r"batch 1 of \d+ did not arrive"),
}


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("kind", LOST)
def test_a_lost_or_doubled_batch_is_an_error(kind, num_workers, arrives_as):
    change, message = LOST[kind]
    arrives_as(change)
    fix = "--data.num-workers 0" if num_workers else "please report"
    with pytest.raises(DataError, match=rf"loader test/query: .*{message}.*{fix}"):
        numbers(rows_loader(num_workers=num_workers))


def test_a_batch_too_many_is_an_error(arrives_as):
    arrives_as(lambda all_: [*all_, 10])
    with pytest.raises(DataError, match="more than the 10 announced batches"):
        numbers(rows_loader())


ENDED = r"loader test/query: (its worker process \d+ |a batch could not be fetched from a worker).*--data.num-workers 0"


def cannot_be_pickled():
    return {"index": torch.zeros(1), "what": lambda: "cannot be pickled"}


def test_a_batch_that_a_worker_cannot_send_ends_the_worker(capfd):
    """Torch alone loses it in silence, or waits forever."""
    begin = time.monotonic()
    with pytest.raises(DataError, match=ENDED):
        numbers(rows_loader(cannot_be_pickled, num_workers=2))
    assert time.monotonic() - begin < 30
    assert "could not hand over a batch" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGBUS, signal.SIGKILL])
def test_a_killed_worker_is_an_error(number):
    with pytest.raises(DataError, match=ENDED):
        numbers(rows_loader(lambda: os.kill(os.getpid(), number), num_workers=2))


def test_a_worker_killed_while_the_main_process_is_busy(monkeypatch):
    # Torch sets its handler once; a trainer of an earlier test has put back the one before (Lightning's teardown).
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)

    def killed_later():
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)

    batches = iter(rows_loader(killed_later, num_workers=1))
    next(batches)
    line = r"loader test/query: its worker process \d+ is killed by signal: Killed: .*--data.num-workers 0"
    with pytest.raises(DataError, match=line), worker_errors():
        time.sleep(30)  # a training step


def test_other_errors_of_a_training_step_are_left_alone():
    with pytest.raises(RuntimeError, match="out of memory"), worker_errors():
        raise RuntimeError("CUDA out of memory")


def refuse(number):
    raise OSError(number, os.strerror(number))


def test_a_worker_without_memory_is_an_error(monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: refuse(errno.ENOMEM))
    with pytest.raises(
        DataError,
        match=r"^loader test/query: a worker process has no memory .*\(num_workers=0, --data.num-workers 0\)$",
    ):
        numbers(rows_loader(num_workers=1))


def no_memory():
    raise MemoryError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: refuse(errno.EACCES), r"^loader test/query: \[Errno 13\] Permission denied$"),
        (no_memory, "^loader test/query: MemoryError$"),
        (lambda: torch.empty(2**60), "^loader test/query: .*can't allocate memory"),
    ],
)
def test_errors_of_the_system_in_a_worker_are_one_line(make, message):
    with pytest.raises(DataError, match=message):
        numbers(rows_loader(make, num_workers=1))


@pytest.mark.filterwarnings("error:Exception ignored in:pytest.PytestUnraisableExceptionWarning")  # torch half-made one
def test_workers_that_cannot_start_are_an_error(monkeypatch):
    monkeypatch.setattr(torch.multiprocessing, "Queue", lambda: refuse(errno.ENOSPC))
    full = SimpleNamespace(f_frsize=4096, f_bavail=0, f_blocks=2**14)
    monkeypatch.setattr(shared_memory.os, "statvfs", lambda _: full)
    line = (
        r"loader test/query: 2 worker processes cannot be started \(No space left on device\): /dev/shm has 0 KiB"
        r" left of 64.0 MiB; give it more \(docker run --shm-size=8g\), or use no worker processes"
    )
    with pytest.raises(DataError, match=line):
        numbers(rows_loader(num_workers=2))


@pytest.mark.slow
def test_a_slow_worker_is_waited_for():
    def slow():
        time.sleep(6)  # longer than torch waits before it looks whether workers live
        return {"index": torch.tensor([2])}

    assert numbers(rows_loader(slow, num_workers=1)) == list(range(10))


# --- with a trainer -------------------------------------------------------------------------------------------------


class Line(pl.LightningModule):
    """Trains a line and counts what it sees, by stage and loader."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(3, 1)
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append("train")
        return self.line(batch["image"] / 100).mean()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.seen.append(f"validate {dataloader_idx}")

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        self.seen.append(f"test {dataloader_idx}")

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        self.seen.append(f"predict {dataloader_idx}")
        return batch_idx  # Lightning warns of None

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


class Predicted(FeatureDataModule):
    """Predicts from features, as `PairDataModule` does from pairs."""

    def predict_dataloader(self):
        return [self.loader(EvaluationStream(self.table(self.reader("train")), np.arange(70), 8), "predict/train")]


@pytest.fixture(scope="module")
def folder(write_features, tmp_path_factory):
    return str(write_features(tmp_path_factory.mktemp("features"), {"train": 70, "val": 20, "test": 30}))


@pytest.fixture
def run(folder, tmp_path, monkeypatch):
    """Runs a stage and returns what the module saw; batches of 16 pairs in training, of 8 elsewhere."""
    monkeypatch.setattr(FeatureDataModule, "evaluation_batch_size", 8)

    def run(stage, num_workers=0, **settings):
        trainer = pl.Trainer(
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            **({"max_epochs": 2} | settings),
        )
        module = Line()
        getattr(trainer, stage)(module, datamodule=Predicted(folder, 16, num_workers))
        return module.seen

    return run


@pytest.mark.parametrize(
    ("stage", "loader", "settings"),
    [
        ("fit", "train", {"limit_val_batches": 0}),
        ("fit", "validate/query", {"num_sanity_val_steps": 0, "limit_train_batches": 1}),
        ("validate", "validate/query", {}),
        ("test", "test/query", {}),
        ("predict", "predict/train", {}),
    ],
)
@pytest.mark.parametrize("kind", ["the last is lost", "one comes twice"])
def test_every_stage_ends_when_a_batch_is_lost(kind, stage, loader, settings, run, arrives_as):
    change, message = LOST[kind]
    arrives_as(change)
    with pytest.raises(DataError, match=rf"loader {loader}: .*{message}"):
        run(stage, **settings)


@pytest.mark.parametrize(
    ("stage", "num_workers", "settings", "seen"),
    [
        ("fit", 1, {}, "v0 v0 v1 v1 " + 2 * (4 * "t " + 3 * "v0 " + 3 * "v1 ")),
        ("fit", 2, {"limit_train_batches": 3, "limit_val_batches": 0}, 6 * "t "),
        ("fit", 0, {"limit_train_batches": 0.5, "limit_val_batches": 0.4}, "v0 v1 " + 2 * "t t v0 v1 "),
        ("fit", 0, {"overfit_batches": 2}, "v0 v0 v1 v1 " + 2 * "t t v0 v0 v1 v1 "),
        ("fit", 0, {"fast_dev_run": 2}, 2 * "t " + 2 * "v0 " + 2 * "v1 "),
        ("fit", 2, {"max_steps": 6, "max_epochs": -1, "limit_val_batches": 0}, 6 * "t "),
        ("fit", 0, {"max_time": {"seconds": 0}, "max_epochs": -1, "num_sanity_val_steps": 0}, ""),
        ("validate", 2, {"limit_val_batches": 2}, 2 * "v0 " + 2 * "v1 "),
        ("test", 0, {"limit_test_batches": 0.5}, 2 * "e0 " + 2 * "e1 " + 6 * "e2 "),
        ("predict", 2, {"limit_predict_batches": 3}, 3 * "p0 "),
    ],
)
@pytest.mark.filterwarnings("ignore:You requested to overfit:UserWarning")  # streams have an order of their own
def test_stopping_early_is_not_a_loss(stage, num_workers, settings, seen, run):
    names = {"t": "train", "v": "validate ", "e": "test ", "p": "predict "}
    assert run(stage, num_workers, **settings) == [names[word[0]] + word[1:] for word in seen.split()]


def test_the_command_ends_with_one_line_when_a_worker_is_killed(features, tmp_path, monkeypatch, capsys):
    plain = FeatureTable.batch

    def killed(self, rows):
        if get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, rows)

    monkeypatch.setattr(FeatureTable, "batch", killed)
    run = ["--config", "experiments/mcmfh.yaml", "--data.root", str(features), "--run_dir", str(tmp_path)]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.num_sanity_val_steps", "0"]
    with pytest.raises(SystemExit) as stop:
        main(["fit", *run, *quiet, "--data.num_workers", "1"])
    assert stop.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(r"mcmfh: error: loader train: its worker process \d+ .*--data.num-workers 0", last)


class Counts(pl.LightningModule):
    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.log("rows", float(len(batch["index"])), reduce_fx="sum", sync_dist=True)


class Lossy(FeatureDataModule):
    """A worker of the second rank loses a batch."""

    def val_dataloader(self):
        loaders = super().val_dataloader()
        if self.rank == 1:
            stream = loaders[1].stream
            plain = stream.batch
            stream.batch = lambda number: plain(number) if number != 0 else {"index": lambda: "cannot be sent"}
        return loaders


@pytest.mark.slow
def test_two_ranks_end_when_one_loses_a_batch(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(FeatureDataModule, "evaluation_batch_size", 8)
    quiet = {"logger": False, "enable_progress_bar": False, "default_root_dir": tmp_path}
    for kind, ends in (
        (FeatureDataModule, nullcontext()),
        (Lossy, pytest.raises(ProcessRaisedException, match="loader validate/unseen: ")),
    ):
        trainer = pl.Trainer(accelerator="cpu", devices=2, strategy="ddp_fork", **quiet)
        with ends:
            trainer.validate(Counts(), kind(folder, num_workers=2), verbose=False)
