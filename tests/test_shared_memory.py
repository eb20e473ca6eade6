"""Full shared memory is reported as what it is, in a small /dev/shm of its own."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mcmfh_lightning.shared_memory import advice, full_message, is_full

FIX = "give it more (docker run --shm-size=8g), or use no worker processes (num_workers=0, --data.num-workers 0)"

WAYS = {
    "a lock": "[multiprocessing.Lock() for _ in range(40)]",
    "a queue": "[torch.multiprocessing.Queue() for _ in range(40)]",
    "a tensor": "torch.zeros(2**18).share_memory_()",
    "many tensors": "[torch.zeros(2**10).share_memory_() for _ in range(40)]",
    "by name": "(torch.multiprocessing.set_sharing_strategy('file_system'), torch.zeros(2**18).share_memory_())",
}

LOADER = """
import multiprocessing, sys, numpy as np
from mcmfh_lightning.cli.quick_start import quick_imports
from mcmfh_lightning.errors import one_line_errors
with quick_imports(sleepy=False):
    import torch
    from mcmfh_lightning.datamodules.loader import BatchLoader
    from mcmfh_lightning.datamodules.streams import EvaluationStream

class Rows:
    def __init__(self, before=None):
        self.before = before
    def batch(self, rows):
        {in_worker}
        return {{"index": torch.from_numpy(rows)}}

if __name__ == "__main__":
    with one_line_errors("mcmfh"):
        stream = EvaluationStream(Rows({before}), np.arange(4), 1)
        list(BatchLoader(stream, "train", num_workers=1, multiprocessing_context="{start}"))
"""


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program where /dev/shm has 64 KiB."""
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a private mount of /dev/shm needs root with CAP_SYS_ADMIN")
    path = folder / "program.py"
    path.write_text(program)
    script = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"'
    command = ["unshare", "-m", "bash", "-c", script, "bash", sys.executable, str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)


@pytest.fixture(scope="module")
def _reserves(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where torch does not reserve what it shares: then the system ends the process, and nothing can be said."""
    if (
        run(tmp_path_factory.mktemp("reserves"), "import torch\ntorch.zeros(2**18).share_memory_()").returncode
        == -signal.SIGBUS
    ):
        pytest.skip(f"torch {torch.__version__} is ended by the system where shared memory is full")


@pytest.mark.usefixtures("_reserves")
def test_what_needs_shared_memory_says_that_it_is_full(tmp_path: Path) -> None:
    lines = ["import multiprocessing, torch", "from mcmfh_lightning.errors import one_line_errors"]
    for way in WAYS.values():
        lines += ["try:", "    with one_line_errors('mcmfh'):", f"        {way}", "except SystemExit: pass"]
    done = run(tmp_path, "\n".join(lines))
    assert done.returncode == 0
    said = done.stderr.strip().splitlines()
    assert len(said) == len(WAYS), done.stderr
    for line in said:
        assert line.startswith("mcmfh: error: shared memory is full: /dev/shm has ")
        assert line.endswith(f" left of 64 KiB; {FIX}")


@pytest.mark.usefixtures("_reserves")
@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"in_worker": "torch.zeros(2**18).share_memory_()"}, "loader train: shared memory is full: "),
        ({"in_worker": "[multiprocessing.Lock() for _ in range(40)]"}, "loader train: shared memory is full: "),
        # Tensors of what a worker is sent at its start.
        (
            {"before": "torch.zeros(2**18)", "start": "spawn"},
            "loader train: 1 worker process cannot be started (No space left on device): ",
        ),
    ],
)
def test_a_loader_says_that_shared_memory_is_full(part: dict[str, str], message: str, tmp_path: Path) -> None:
    defaults = {"in_worker": "pass", "before": "None", "start": "fork"}
    done = run(tmp_path, LOADER.format(**defaults | part))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"mcmfh: error: {message}/dev/shm has ")
    assert last.endswith(f" left of 64 KiB; {FIX}")


def test_a_full_disk_and_other_errors_are_not_shared_memory() -> None:
    full_disk = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for error in (
        full_disk,
        OSError(errno.ENOSPC, "x", "/data/file"),
        RuntimeError("CUDA out of memory"),
        ValueError(),
    ):
        assert not is_full(error)
        assert full_message(error) is None


def test_little_shared_memory_is_mentioned_and_much_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mcmfh_lightning.shared_memory.FOLDER", tmp_path / "none")
    assert advice() == ""
    assert "is not there" in advice(full=True)
