"""Full shared memory is reported as what it is, in a small /dev/shm of its own."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mcmfh_lightning.shared_memory import advice, full_message, is_full

FIX = "give it more (docker run --shm-size=8g), or use no worker processes (num_workers=0, --data.num-workers 0)"

WAYS = {
    "a tensor": "torch.zeros(2**18).share_memory_()",
    "a lock": "[multiprocessing.Lock() for _ in range(40)]",
    "a queue": "[torch.multiprocessing.Queue() for _ in range(40)]",
    "many tensors": "[torch.zeros(2**10).share_memory_() for _ in range(40)]",
    "a tensor of a worker": "load('torch.zeros(2**18).share_memory_()')",
    "a lock of a worker": "load('[multiprocessing.Lock() for _ in range(40)]')",
    "what a worker is sent": "load('', torch.zeros(2**18), start='spawn')",
    "by name": "(torch.multiprocessing.set_sharing_strategy('file_system'), torch.zeros(2**18).share_memory_())",
}

PROGRAM = """
import multiprocessing, sys, numpy as np
from mcmfh_lightning.cli.quick_start import quick_imports
from mcmfh_lightning.errors import one_line_errors
with quick_imports(sleepy=False):
    import torch
    from mcmfh_lightning.datamodules.loader import BatchLoader
    from mcmfh_lightning.datamodules.streams import EvaluationStream

class Rows:
    def __init__(self, in_worker, before):
        self.in_worker, self.before = in_worker, before
    def batch(self, rows):
        exec(self.in_worker)
        return {"index": torch.from_numpy(rows)}

def load(in_worker, before=None, start="fork"):
    stream = EvaluationStream(Rows(in_worker, before), np.arange(4), 1)
    list(BatchLoader(stream, "train", num_workers=1, multiprocessing_context=start))

def in_one_line(way):
    with one_line_errors("mcmfh"):
        eval(way)

if __name__ == "__main__":
    for name, way in WAYS.items():  # in a process each, which leaves nothing behind
        print("==", name, file=sys.stderr, flush=True)
        process = multiprocessing.get_context("fork").Process(target=in_one_line, args=(way,))
        process.start()
        process.join()
        print("exit code", process.exitcode, file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each way says in one program where /dev/shm has 64 KiB; the last line is its exit code.

    Skips where torch does not reserve what it shares: then the system ends the process, and nothing can be said.
    """
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a private mount of /dev/shm needs root with CAP_SYS_ADMIN")
    path = tmp_path_factory.mktemp("full") / "program.py"
    path.write_text(f"WAYS = {WAYS}\n{PROGRAM}")
    script = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"'
    command = ["unshare", "-m", "bash", "-c", script, "bash", sys.executable, str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    if f"exit code {-signal.SIGBUS:d}" in done.stderr:
        pytest.skip(f"torch {torch.__version__} is ended by the system where shared memory is full")
    assert done.returncode == 0, done.stderr
    _, *parts = re.split(r"^== (.*)\n", done.stderr, flags=re.MULTILINE)
    return {name: text.splitlines() for name, text in zip(parts[::2], parts[1::2], strict=True)}


MESSAGES = dict.fromkeys(WAYS, "shared memory is full: ") | {
    "a tensor of a worker": "loader train: shared memory is full: ",
    "a lock of a worker": "loader train: shared memory is full: ",
    "what a worker is sent": "loader train: 1 worker process cannot be started (No space left on device): ",
}


@pytest.mark.parametrize(("way", "message"), MESSAGES.items(), ids=MESSAGES)
def test_what_needs_shared_memory_says_that_it_is_full(way: str, message: str, said: dict[str, list[str]]) -> None:
    *others, line, code = said[way]
    assert code == "exit code 2"
    assert line.startswith(f"mcmfh: error: {message}/dev/shm has ")
    assert line.endswith(f" left of 64 KiB; {FIX}")
    assert not any("Traceback" in other for other in others)
    assert others == [] or way.endswith("worker")


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
