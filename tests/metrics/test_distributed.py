"""Two gloo processes, one of them with an empty share of the database, equal one process."""

import subprocess
import sys
from pathlib import Path

import torch


def test_an_empty_process_changes_nothing(tmp_path):
    script = Path(__file__).with_name("two_processes.py")
    processes = [subprocess.Popen([sys.executable, script, str(rank), tmp_path]) for rank in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    for rank in range(2):
        found, alone = (torch.load(tmp_path / f"{name}{rank}.pt", weights_only=True) for name in ("", "alone-"))
        for ours, theirs in zip(found, alone, strict=True):
            assert torch.equal(ours, theirs)
