"""A job that SLURM signals saves itself, asks to be requeued, and resumes from there in the same command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
JOB = {"NTASKS": "1", "NNODES": "1", "JOB_ID": "417", "JOB_NAME": "mcmfh", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(run_dir / "fit" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_a_signaled_job_goes_on_from_where_it_was(features: Path, tmp_path: Path) -> None:
    # In place of the cluster's own: a requeued job is killed, at once or a little later.
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/asked\nkill -9 $PPID\n')
    scontrol.chmod(0o755)
    environment = os.environ | {f"SLURM_{name}": value for name, value in JOB.items()}
    environment |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}

    def fit(run_dir: Path, *more: str) -> int:
        flags = ["--config", "experiments/mcmfh.yaml", "--trainer", "trainer/slurm.yaml", "--data.root", str(features)]
        flags += ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.precision", "32-true"]
        flags += ["--data.global_batch_size", "128", "--trainer.max_epochs", "3", "--model.d_model", "32"]
        command = [sys.executable, "-m", "mcmfh_lightning", "fit", *flags, "--run_dir", str(run_dir), *more]
        return subprocess.run(command, env=environment, check=False, timeout=240, cwd=tmp_path).returncode

    whole = tmp_path / "whole"
    assert fit(whole) == 0
    for step in (2, 6):  # before there is a last.ckpt, and in the second of three epochs
        resumed = tmp_path / f"signaled-{step}"
        signaled = ["--trainer.callbacks+=signal_at.SignalAt", f"--trainer.callbacks.step={step}"]
        assert fit(resumed, "--ckpt_path", "last", *signaled) == -9
        assert (tmp_path / "asked").read_text().split() == ["requeue", "417"]
        saved = torch.load(resumed / "fit" / "hpc_ckpt_1.ckpt", weights_only=True)
        assert saved["global_step"] == step
        assert fit(resumed, "--ckpt_path", "last") == 0
        for name, value in weights(whole).items():
            assert torch.equal(weights(resumed)[name], value), name
