"""What is kept of a run, and that resuming it is exact."""

import csv
from math import nan

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from mcmfh_lightning.callbacks import BestCheckpoint, LastCheckpoint, RunFolder
from mcmfh_lightning.hashers import MCMFH
from mcmfh_lightning.trainer.loggers import ResumableCSVLogger


class Scored(pl.LightningModule):
    """Scores its epochs as given; stops at a batch, counted over all epochs, or in a validation."""

    def __init__(self, scores, stop_at=None):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
        self.scores, self.stop_at, self.validated = scores, stop_at, []

    def training_step(self, batch, batch_idx):
        if self.trainer.fit_loop.total_batch_idx == self.stop_at:
            raise InterruptedError
        self.log("loss", float(self.global_step))
        return self.line(batch).mean()

    def validation_step(self, batch, batch_idx):
        score = self.scores[self.current_epoch]
        if score is InterruptedError:
            raise score
        self.validated.append(self.current_epoch)
        self.log("score", score)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture
def fit():
    """Fits epochs of 4 batches; returns the module."""

    def fit(folder, scores, *, ckpt_path=None, stop_at=None, every=None, logger=False, **options):
        module = Scored(scores, stop_at)
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=len(scores),
            logger=logger,
            log_every_n_steps=1,
            callbacks=[
                RunFolder(folder),
                BestCheckpoint(monitor="score", mode="max", filename="best", enable_version_counter=False),
                LastCheckpoint(every),
            ],
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            **options,
        )
        loader = DataLoader(torch.ones(4, 1))
        try:
            trainer.fit(module, loader, DataLoader(torch.ones(1, 1)), ckpt_path=ckpt_path, weights_only=True)
        except InterruptedError:
            assert stop_at is not None
        else:
            assert stop_at is None
        return module

    return fit


def _step(path):
    return torch.load(path, weights_only=True)["global_step"]


def test_last_is_of_the_last_epoch_and_best_of_the_best(fit, tmp_path):
    fit(tmp_path, [0.5, 0.9, 0.1])
    assert _step(tmp_path / "checkpoints" / "last.ckpt") == 12
    assert _step(tmp_path / "checkpoints" / "best.ckpt") == 8


def test_an_undefined_score_is_never_the_best(fit, tmp_path):
    fit(tmp_path / "some", [nan, 0.2, nan])
    assert _step(tmp_path / "some" / "checkpoints" / "best.ckpt") == 8
    fit(tmp_path / "none", [nan, nan])
    assert [path.name for path in (tmp_path / "none" / "checkpoints").iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("moved", [False, True])
def test_resumed_run_does_not_replace_the_best_by_a_worse_one(fit, tmp_path, moved):
    folder = tmp_path / "run"
    fit(folder, [0.9, 0.1, 0.2, 0.3], stop_at=5)
    if moved:
        folder = folder.rename(tmp_path / "moved")
    fit(folder, [0.9, 0.1, 0.2, 0.3], ckpt_path=folder / "checkpoints" / "last.ckpt")
    assert _step(folder / "checkpoints" / "best.ckpt") == 4


def test_resumed_run_finds_a_better_one(fit, tmp_path):
    fit(tmp_path, [0.1, 0.2], stop_at=5)
    fit(tmp_path, [0.1, 0.2], ckpt_path=tmp_path / "checkpoints" / "last.ckpt")
    assert _step(tmp_path / "checkpoints" / "best.ckpt") == 8


@pytest.mark.parametrize(
    ("stop_at", "found", "options"),
    [
        (3, 2, {}),
        (5, 4, {}),
        (7, 6, {}),
        (3, 0, {"val_check_interval": 2}),  # at batch 2 a validation follows: see the next test
        (
            3,
            2,
            {"accumulate_grad_batches": 2},
        ),  # a gradient is kept since: the step that is in the file ends at batch 2
    ],
)
def test_last_within_an_epoch(fit, tmp_path, stop_at, found, options):
    every = 1 if "accumulate_grad_batches" in options else 2
    fit(tmp_path, [0.5, 0.4], stop_at=stop_at, every=every, **options)
    path = tmp_path / "checkpoints" / "last.ckpt"
    progress = torch.load(path, weights_only=True)["loops"]["fit_loop"]["epoch_loop.batch_progress"] if found else None
    assert path.exists() == (found > 0)
    assert progress is None or progress["total"]["ready"] == found


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch:UserWarning")  # it is
def test_run_stopped_in_a_validation_validates_again(fit, tmp_path):
    """Lightning would leave it out after a checkpoint that was written between the epoch's last step and it."""
    fit(tmp_path, [0.5, InterruptedError], stop_at=-1, every=2)
    path = tmp_path / "checkpoints" / "last.ckpt"
    assert _step(path) == 6
    assert fit(tmp_path, [0.5, 0.7], ckpt_path=path, every=2).validated == [1]
    assert _step(tmp_path / "checkpoints" / "best.ckpt") == 8


def test_metrics_of_a_resumed_run_are_those_of_the_whole(fit, tmp_path):
    def logger(folder, *, resume=False):
        logger = ResumableCSVLogger(folder, name="", version="fit")
        logger.resume = resume
        return logger

    scores = [0.5, 0.4, 0.6]
    whole, stopped = tmp_path / "whole" / "fit", tmp_path / "stopped" / "fit"
    fit(whole, scores, logger=logger(whole.parent))
    fit(stopped, scores, stop_at=6, logger=logger(stopped.parent))
    assert len(_rows(stopped)) == 7  # six steps and a validation: two steps more than the checkpoint has
    last = stopped / "checkpoints" / "last.ckpt"
    fit(stopped, scores, ckpt_path=last, logger=logger(stopped.parent, resume=True))
    assert len(_rows(whole)) == 15
    assert _rows(stopped) == _rows(whole)


def _rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_checkpoint_of_the_command_line_loads_in_python(run, tmp_path):
    """With the arguments that were linked, not given: sizes of the data and the length of the schedule."""
    run("fit", tmp_path, "--trainer.max_epochs", 2, "--trainer.limit_val_batches", 0, "--seed_everything", 5)
    path = tmp_path / "fit" / "checkpoints" / "last.ckpt"
    model = MCMFH.load_from_checkpoint(path, weights_only=True)
    stored = torch.load(path, weights_only=True)
    assert all(torch.equal(weights, stored["state_dict"][name]) for name, weights in model.state_dict().items())
    assert model.configure_optimizers()["lr_scheduler"]["scheduler"].T_max == 2
    assert model.hparams["seed"] == 5
