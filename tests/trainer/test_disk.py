"""A disk that is full, and one that may not be written to."""

import os

import pytest
import torch

from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.trainer.checkpoint_io import AtomicCheckpointIO


@pytest.mark.slow
def test_full_disk_leaves_the_last_checkpoint_and_the_run_can_go_on(run, fails, small_disk, tmp_path):
    folder, remount = small_disk
    line = fails("fit", folder / "run", "--trainer.max_epochs", 3)  # room for two checkpoints, not for a third
    checkpoints = folder / "run" / "fit" / "checkpoints"
    assert str(checkpoints) in line
    assert "No space left on device" in line
    assert "make room" in line
    assert sorted(path.name for path in checkpoints.iterdir()) == ["best.ckpt", "last.ckpt"]
    stopped = {name: torch.load(checkpoints / f"{name}.ckpt", weights_only=True) for name in ("best", "last")}
    assert stopped["last"]["epoch"] == 0

    remount("size=4000k")
    run("fit", folder / "run", "--trainer.max_epochs", 3, "--ckpt_path", checkpoints / "last.ckpt")
    run("fit", tmp_path / "whole", "--trainer.max_epochs", 3)
    for name in ("best", "last"):
        one, other = (
            torch.load(path / "fit" / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
            for path in (folder / "run", tmp_path / "whole")
        )
        assert all(torch.equal(one[key], other[key]) for key in one | other)


def test_read_only_folder_is_found_before_training(fails, small_disk):
    folder, remount = small_disk
    remount("ro")
    line = fails("fit", folder / "run")
    assert str(folder / "run") in line
    assert "Read-only file system" in line
    assert "--run-dir" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_is_found_before_training(fails, tmp_path):
    tmp_path.chmod(0o500)
    line = fails("fit", tmp_path / "run")
    assert str(tmp_path / "run") in line
    assert "Permission denied" in line


def test_writing_leaves_the_old_checkpoint_until_the_new_one_is_whole(small_disk):
    folder, _ = small_disk
    path = folder / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"pytorch-lightning_version": "2.6", "weights": torch.zeros(100_000)}, path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be written \(No space left.*--ckpt-path .*resumes"):
        AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(200_000)}, path)
    assert path.read_bytes() == before
    assert list(folder.iterdir()) == [path]
