"""Which errors end in one line."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mcmfh_lightning.errors import DataError, one_line_errors


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("shard 3 is cut: write it again"), "shard 3 is cut: write it again"),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs/x/ranking.csv"),
            "runs/x/ranking.csv: Permission denied: permit it, or choose another place",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device: make room, or write elsewhere"),
        (
            MemoryError("Unable to allocate 8 TiB"),
            "out of memory (Unable to allocate 8 TiB): lower --data.global-batch-size (predict of "
            "pairs --data.batch-size, end to end --model.micro-batch-size), or use a larger machine",
        ),
    ],
)
def test_errors_of_the_user_and_of_the_machine(error, line, capsys):
    with pytest.raises(SystemExit) as stop, one_line_errors("mcmfh"):
        raise error
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"mcmfh: error: {line}\n"


def test_a_line_controls_no_terminal_and_is_one(capsys):
    """Names may come from elsewhere; what comes after a line break looks as if the program said it."""
    line = _line_of(lambda: (_ for _ in ()).throw(DataError("a\x1b]0;x\x07\nmcmfh: error: forged\x85\u2028b")), capsys)
    assert line == "mcmfh: error: a\ufffd]0;x\ufffd mcmfh: error: forged b\n"


INTERRUPTED = {
    "mcmfh": ("main", ["fit", "--run-dir", "x"], "torch"),
    "mcmfh-data": ("data", ["stats", "x"], "mcmfh_lightning.evaluation.data_report"),
    "mcmfh-bench": ("bench", ["rank", "--query", "x", "--database", "x"], "mcmfh_lightning.evaluation.rank"),
    "mcmfh-archive": ("archive", ["info", "x"], "mcmfh_lightning.archive.show"),
}
"""The file of a program, its arguments, and a module that it imports to run them."""


def test_ctrl_c_ends_in_one_line(tmp_path):
    """Also while a command loads what it needs; one process for all programs."""
    code = (
        "import importlib, os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where the tests run in the background
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == imports:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "imports = ''\n"
        "sys.meta_path.insert(0, Stop())\n"
        f"for module, arguments, imports in {[*INTERRUPTED.values()]!r}:\n"
        "    try:\n"
        "        importlib.import_module(f'mcmfh_lightning.cli.{module}').main(arguments)\n"
        "    except SystemExit as ended:\n"
        "        print(ended.code)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ended.stdout.split() == ["130"] * 4
    lines = [f"{program}: stopped by Ctrl-C before the end\n" for program in INTERRUPTED]
    assert ended.stderr.splitlines(keepends=True) == lines


def test_of_the_traceback_of_a_worker_the_last_line_is_shown(capsys):
    said = (
        "Caught DataError in worker process 0.\nOriginal Traceback (most recent call last):\n  File x\nshard 3 is cut\n"
    )
    assert _line_of(lambda: (_ for _ in ()).throw(DataError(said)), capsys) == "mcmfh: error: shard 3 is cut\n"


def _line_of(work, capsys):
    """Run what must end with exit code 2 and one line; return the line."""
    with pytest.raises(SystemExit) as stop, one_line_errors("mcmfh"):
        work()
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


def test_a_full_shared_memory_is_named(capsys):
    def fill():
        raise OSError(errno.ENOSPC, "No space left on device", "/dev/shm/torch_1")  # a name, not a file

    line = _line_of(fill, capsys)
    assert "shared memory is full: /dev/shm has " in line
    assert "--data.num-workers 0" in line


def test_memory_that_torch_cannot_get(capsys):
    line = _line_of(lambda: torch.zeros(2**52, dtype=torch.uint8), capsys)
    assert "mcmfh: error: out of memory (" in line
    assert "lower --data.global-batch-size" in line


@pytest.mark.parametrize("program", ["mcmfh-archive", "mcmfh-data", "mcmfh-bench"])
def test_memory_of_programs_without_batches(program, capsys):
    with pytest.raises(SystemExit), one_line_errors(program):
        torch.zeros(2**52, dtype=torch.uint8)
    line = capsys.readouterr().err
    assert line.startswith(f"{program}: error: out of memory (")
    assert "--data." not in line


def test_port_that_is_in_use(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = _line_of(lambda: torch.distributed.TCPStore("127.0.0.1", port, 1, is_master=True), capsys)
        assert "the port is in use by another process: choose another one" in line
        line = _line_of(lambda: socket.create_server(("127.0.0.1", port)), capsys)
        assert "the port is in use by another process: choose another one" in line


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "Zo\\xeb \\u2501"), ("iso-8859-1", "Zoë \\u2501"), ("utf-8", "Zoë ━")]
)
def test_any_text_can_be_printed(encoding, shown):
    code = "from mcmfh_lightning.errors import *\nwith one_line_errors('x'): say('Zoë ━'); raise DataError('Zoë ━')"
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stdout.decode(encoding) == f"{shown}\n"
    assert done.stderr.decode(encoding) == f"x: error: {shown}\n"


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_any_text_can_be_printed_in_the_locale_c(locale):
    code = "from mcmfh_lightning.errors import *\nwith one_line_errors('x'): say('Zo\\xeb \\u2501')"
    environment = os.environ | {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.stdout == b"Zo\\xeb \\u2501\n", done.stderr


def test_an_error_behind_another_is_found(capsys):
    def fail():
        try:
            raise DataError("the cause")
        finally:
            Path("/nowhere").stat()  # clearing up fails as well

    with pytest.raises(SystemExit), one_line_errors("mcmfh"):
        fail()
    assert capsys.readouterr().err == "mcmfh: error: the cause\n"


@pytest.mark.parametrize("error", [ValueError("a mistake of ours"), OSError("without number"), KeyError("x")])
def test_mistakes_of_ours_keep_their_traceback(error):
    with pytest.raises(type(error)), one_line_errors("mcmfh"):
        raise error


def test_traceback_when_asked_for(monkeypatch):
    monkeypatch.setenv("MCMFH_TRACEBACK", "1")
    with pytest.raises(DataError), one_line_errors("mcmfh"):
        raise DataError("shard 3 is cut")


def _error_of(module: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop, one_line_errors("mcmfh"):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "extra"),
    [("lightning.pytorch", "train"), ("faiss", "archive"), ("pydicom", "dicom"), ("open_clip", "train")],
)
def test_a_missing_extra_is_named_with_its_command(
    module: str, extra: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcmfh_lightning.errors.find_spec", lambda name: None)  # here all extras are installed
    name = module.partition(".")[0]
    expected = f"mcmfh: error: {name} is not installed: pip install 'mcmfh-lightning[{extra}]'\n"
    assert _error_of(module, capsys) == expected


@pytest.mark.parametrize("module", ["nothing_of_ours", "rich.absent", "torch._absent"])
def test_a_broken_installation_shows_its_traceback(module: str) -> None:
    with pytest.raises(ModuleNotFoundError), one_line_errors("mcmfh"):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
