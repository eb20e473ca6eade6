"""What a user gets wrong ends in one line and exit code 2; a traceback comes when asked for."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mcmfh_lightning.cli.train import main
from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.trainer.checkpoint_io import AtomicCheckpointIO


@pytest.fixture(scope="module")
def finished(run, tmp_path_factory):
    """The folder of a finished run of two epochs."""
    folder = tmp_path_factory.mktemp("finished")
    # No validation: no checkpoint is the best, and it would take time.
    run("fit", folder, "--trainer.max_epochs", 2, "--trainer.limit_val_batches", 0)
    return folder


@pytest.fixture
def last(finished):
    return finished / "fit" / "checkpoints" / "last.ckpt"


# What is given, and what the line must say.
COMMAND_LINES = {
    "unknown option": (["--model.color", "red"], "MCMFH has no option --model.color"),
    "option of a part that the model does not have": (
        ["--model.hasher.num-bits", "8"],
        "MCMFH has no option --model.hasher.num-bits",
    ),
    "one of two classes": (
        ["--model.lr-scheduler", "ReduceLROnPlateau"],
        "--model.lr-scheduler: pass lightning.pytorch.cli.ReduceLROnPlateau, and what it watches: "
        "--model.lr-scheduler.monitor train/loss",
    ),
    "a schedule that does not say what it watches": (
        ["--model.lr-scheduler", "torch.optim.lr_scheduler.ReduceLROnPlateau"],
        "pass lightning.pytorch.cli.ReduceLROnPlateau, and what it watches: --model.lr-scheduler.monitor train/loss",
    ),
    "unknown option of the trainer": (["--trainer.color", "red"], "there is no option --trainer.color"),
    "wrong type of the trainer": (
        ["--trainer.max-epochs", "two"],
        "--trainer.max-epochs: expected a whole number, got two",
    ),
    "unknown optimizer": (
        ["--model.optimizer", "AdmW"],
        "--model.optimizer: there is no class AdmW; did you mean 'AdamW'",
    ),
    "length of a schedule, which is that of the fit": (
        ["--model.lr-scheduler.init-args.T-max", "4"],
        "--model.lr-scheduler.init-args.T-max is the length of the fit: pass --trainer.max-epochs",
    ),
    "unknown data": (
        ["--data", "FeatureDataModul"],
        "there is no class FeatureDataModul; did you mean 'FeatureDataModule'",
    ),
    "unknown callback": (
        ["--trainer.callbacks+", "Earlystoping"],
        "--trainer.callbacks: there is no class Earlystoping; did you mean 'EarlyStopping'?",
    ),
    "no such part": (["--trainer", "trainer/cpus.yaml"], "did you mean 'trainer/cpu.yaml'"),
    "pairs for a hasher of features": (
        ["--data", "PairDataModule"],
        "MCMFH takes features, and PairDataModule gives pairs",
    ),
    "value that does not fit": (["--model.num_heads", "7"], "--model.num-heads=7 does not divide the token width 32"),
    "ranks that do not divide": (
        ["--trainer.devices", "3"],
        "global_batch_size (--data.global-batch-size) is 32, which cannot be divided over 3 ranks",
    ),
    "more ranks than rows": (
        ["--trainer.devices", "200"],
        "global_batch_size (--data.global-batch-size) is 32, which cannot be divided over 200 ranks",
    ),
    "unknown strategy": (
        ["--trainer.strategy", "dpp"],
        "--trainer.strategy: there is no dpp; choose auto, ddp or fsdp",
    ),
    "unknown accelerator": (["--trainer.accelerator", "cpuu"], "there is no cpuu; choose among auto, cpu, gpu"),
    "unknown precision": (["--trainer.precision", "b16-mixed"], "did you mean 'bf16-mixed' or '16-mixed'"),
    "logger that is not installed": (["--trainer.logger", "MLFlowLogger"], "pip install mlflow, or choose"),
}


SLOW = (
    *("unknown option of the trainer", "value that does not fit", "more ranks than rows", "unknown strategy"),
    *(
        "wrong type of the trainer",
        "unknown optimizer",
        "unknown data",
        "no such part",
    ),
    *("unknown accelerator", "logger that is not installed"),
)
"""Left to `make test-slow`: each takes a second, and a similar one is fast."""


def _cases(table, slow):
    return [pytest.param(*row, id=name, marks=[pytest.mark.slow] * (name in slow)) for name, row in table.items()]


@pytest.mark.parametrize(("more", "said"), _cases(COMMAND_LINES, SLOW))
def test_wrong_command_line(fails, tmp_path, more, said):
    assert said in fails("fit", tmp_path, "--trainer.accelerator", "cpu", *more)
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "trainer: {max_epoch: 3}",
            "a config sets what is not an option: --trainer.max-epoch; did you mean '--trainer.max-epochs'",
        ),
        ("model: {init_args: {d_mode: 3}}", "MCMFH has no option --model.d-mode; did you mean '--model.d-model'?"),
    ],
)
def test_misspelled_key_of_a_config(fails, tmp_path, content, said):
    config = tmp_path / "mine.yaml"
    config.write_text(content)
    assert said in fails("fit", tmp_path, "--config", config)


@pytest.mark.parametrize(
    "args",
    [
        ["--trainer.callbacks+", "EarlyStopping", "--trainer.callbacks.monitor", "val/mapp"],
        ["--trainer.callbacks+", "BestCheckpoint", "--trainer.callbacks.monitor", "val/mapp"],
        [
            "--model.lr_scheduler",
            "lightning.pytorch.cli.ReduceLROnPlateau",
            "--model.lr_scheduler.monitor",
            "val/mapp",
        ],
    ],
)
def test_misspelled_monitor_is_found_before_training(fails, tmp_path, args):
    line = fails("fit", tmp_path, *args)
    assert "monitor 'val/mapp' is not a value of this fit" in line
    assert "did you mean 'val/mAP'" in line
    assert not list(tmp_path.rglob("*.ckpt"))


def test_misspelled_monitor_of_training_is_found_after_a_step(fails, tmp_path):
    line = fails("fit", tmp_path, "--trainer.callbacks+", "EarlyStopping", "--trainer.callbacks.monitor", "train/los")
    assert "EarlyStopping: monitor 'train/los' is not a value of this fit" in line
    assert "did you mean 'train/loss'" in line
    assert not list(tmp_path.rglob("*.ckpt"))


def test_values_of_a_fit_and_learning_rates_can_be_watched(run, tmp_path):
    """By callbacks, of which one that watches what is not there would end the fit, and by a schedule."""
    watched = ["val/mAP", "train/fusion", "train/samples_per_second", "val/unimodal/unseen/all/t2i/mAP@50", "lr-AdamW"]
    flags = ["--trainer.callbacks+=LearningRateMonitor"]
    for name in watched:
        flags += ["--trainer.callbacks+=EarlyStopping", f"--trainer.callbacks.monitor={name}"]
    flags += ["--model.lr_scheduler", "lightning.pytorch.cli.ReduceLROnPlateau", "--model.lr_scheduler.monitor=val/mAP"]
    run("fit", tmp_path / "a.yaml", "--trainer.max_epochs=1", *flags)
    last = torch.load(tmp_path / "a.yaml" / "fit" / "checkpoints" / "last.ckpt", weights_only=True)
    stopping = " ".join(key for key in last["callbacks"] if key.startswith("EarlyStopping"))
    assert all(f"'monitor': '{name}'" in stopping for name in watched)


def test_wandb_without_a_login(fails, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    line = fails("fit", tmp_path, "--trainer.logger", "logger/wandb.yaml")
    assert "log in with `wandb login`, set WANDB_MODE=offline, or choose --trainer.logger logger/csv.yaml" in line
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_that_is_not_there(fails, tmp_path):
    assert "no GPU was found here: pass --trainer.accelerator cpu" in fails(
        "fit", tmp_path, "--trainer.accelerator", "gpu"
    )


def test_used_run_folder(fails, finished, last, tmp_path):
    line = fails("fit", finished, "--model.num-bits", 32)  # the earlier one has 16
    assert f"{finished}" in line
    assert "--run-dir" in line
    weights = last.read_bytes()
    main(shlex.split(line.partition("resume that run as it began: mcmfh ")[2]))
    assert last.read_bytes() == weights
    elsewhere = tmp_path / "another" / "last.ckpt"
    assert "earlier run" in fails("fit", finished, "--ckpt_path", elsewhere)  # and would be written over by this one


def test_checkpoint_of_other_bits(fails, last, tmp_path):
    line = fails("test", tmp_path, "--ckpt_path", last, "--model.num_bits", 64)
    assert "num_bits=16" in line
    assert "num_bits=64" in line


# A flag that is not what the run began with, and what the line must say of both sides.
RESUMED = {
    "learning rate": ("--model.optimizer.lr=3", ("lr 0.001", "one 3.0")),
    "length of the schedule": ("--trainer.max_epochs=9", ("trainer.max_epochs) 2", "one 9")),
    "loss": ("--model.temperature=3", ("temperature 0.5", "one 3.0")),
    "seed": ("--seed_everything=3", ("seed 0", "one 3")),
    "global batch": ("--data.global_batch_size=64", ("global_batch_size 32 there", "64 here")),
}


@pytest.mark.parametrize(("flag", "said"), _cases(RESUMED, slow=("length of the schedule", "loss", "seed")))
def test_flag_that_contradicts_the_resumed_run(fails, last, tmp_path, flag, said):
    line = fails("fit", tmp_path, "--trainer.max_epochs", 2, "--ckpt_path", last, flag)
    assert all(side in line for side in said), line


def test_label_vocabulary_of_the_resumed_run(fails, last, make_features, tmp_path):
    other = make_features(tmp_path / "features", vocabulary=("normal", "Pneumothorax"))
    flags = ["--trainer.max_epochs", 2, "--ckpt_path", last, "--data.root", other]
    line = fails("fit", tmp_path / "run", *flags)
    assert "Cardiomegaly" in line
    assert "Pneumothorax" in line


class Code:
    """Unpickling this would run code."""


@pytest.mark.parametrize("damage", ["cut", "text", "no run", "code", "folder"])
def test_file_that_is_no_checkpoint(last, tmp_path, damage):
    path = tmp_path / "some.ckpt"
    if damage == "cut":
        path.write_bytes(last.read_bytes()[:20_000])
    elif damage == "text":
        path.write_text("hello")
    elif damage == "no run":
        torch.save({"weights": torch.zeros(3)}, path)
    elif damage == "code":
        torch.save({"pytorch-lightning_version": "2.6.0", "code": Code()}, path)
    else:
        path.mkdir()
    with pytest.raises(CheckpointError, match=f"^{path} .*pass .* that `mcmfh fit` wrote$"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=True)


def test_cut_checkpoint(fails, last, tmp_path):
    path = tmp_path / "some.ckpt"
    path.write_bytes(last.read_bytes()[:20_000])
    assert f"{path} is not a whole checkpoint" in fails("test", tmp_path / "run", "--ckpt_path", path)


def test_loss_that_is_not_finite_names_the_pairs(fails, tmp_path):
    line = fails("fit", tmp_path, "--model.optimizer.lr", 1e30)
    assert "the loss is not finite" in line
    assert "training pairs train0" in line
    assert "lower the learning rate" in line


def test_traceback_when_asked_for(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MCMFH_TRACEBACK", "1")
    with pytest.raises(Exception, match="num-heads=7") as caught:
        run("fit", tmp_path, "--model.num_heads", 7)
    assert caught.value.__cause__ is not None
    with pytest.raises(Exception, match=r"MCMFH has no option --model\.color"):
        run("fit", tmp_path, "--model.color", "red")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unknown option", "ranks that do not divide"])
def test_wrong_command_line_of_a_process(name, features, tmp_path):
    more, said = COMMAND_LINES[name]
    command = [
        Path(sys.executable).with_name("mcmfh"),
        "fit",
        "--config",
        "experiments/mcmfh.yaml",
        "--model.d_model=32",
    ]
    flags = [
        "--data.root",
        features,
        "--run_dir",
        tmp_path,
        "--data.global_batch_size=32",
        "--trainer.accelerator=cpu",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "MCMFH_TRACEBACK"}
    done = subprocess.run(
        [*command, *flags, *more],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert not done.stdout
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if "error" in line] == [done.stderr.splitlines()[-1]]
    assert said in done.stderr.splitlines()[-1]


def test_a_missing_package_of_an_encoder_is_named_with_its_extra(features, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "open_clip", None)  # as if it were not installed
    with pytest.raises(SystemExit):
        main(["predict", "--config", "experiments/encode_biomedclip.yaml", "--data.root", str(features)])
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == "mcmfh: error: open_clip is not installed: pip install 'mcmfh-lightning[train]'"
