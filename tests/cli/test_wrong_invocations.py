"""Whatever is typed ends in one line that says what to type instead, in any terminal; see ``wrong_lines.py``."""

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import pytest

from mcmfh_lightning.cli import archive, bench, data, main

from .wrong_lines import HALF_RIGHT, PROJECTS, WRONG, made_folder

PROGRAMS = {"mcmfh": main, "mcmfh-archive": archive, "mcmfh-bench": bench, "mcmfh-data": data}
ENCODINGS = ("utf-8", "ascii", "iso-8859-1")
SLOW = {
    *("fit, value that the trainer refuses", "fit, run in a file", "fit, too few pairs", "validate, no run"),
    *("test, no such checkpoint", "fit, pairs as features", "fit, file as data"),
}
"""Each builds a trainer; a similar one is fast."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Path]:
    """The working folder: files that are good, and files that are not."""
    import_module("mcmfh_lightning.cli.train")  # now: its libraries keep the standard streams that they find
    made = tmp_path_factory.mktemp("wrong")
    made_folder(made, repository / "tests" / "data" / "earlier_versions.tgz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.setenv("HOME", str(made / "empty"))
        patch.delenv("MCMFH_TRACEBACK", raising=False)
        data.main(shlex.split("manifest --manifest table.csv --images films --out Zoë/pairs --seed 1"))
        archive.main(shlex.split("search earlier/archive --id 'film 00'"))  # which keeps the codes for the next time
        yield made


def files(folder: Path) -> Mapping[Path, tuple[int, int]]:
    """All files with their sizes and times; a logger may leave an empty folder.

    A search takes the lock of the index: some versions of filelock then set the time of the lock's empty file.
    """
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_size, 0 if path.name == ".lock" else path.stat().st_mtime_ns) for path in found}


def run(line: str, encoding: str, patch: pytest.MonkeyPatch) -> tuple[int, bytes, bytes]:
    """Exit code, output and errors of a command line in a terminal of an encoding."""
    program, *words = shlex.split(line)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2)]
    code = 0
    with patch.context() as replaced:
        replaced.setattr(sys, "stdout", streams[0])
        replaced.setattr(sys, "stderr", streams[1])
        try:
            PROGRAMS[program].main(words)
        except SystemExit as stop:
            code = int(stop.code or 0)
        for stream in streams:
            stream.flush()
    out, err = (stream.buffer.getvalue() for stream in streams)
    return code, out, err


def check(line: str, said: str, encoding: str, printed: tuple[int, bytes, bytes]) -> None:
    code, out, err = printed
    assert code == 2
    assert out == b""
    lines = [one for one in err.splitlines() if not one.startswith(b"mcmfh.toml: --")]  # options that it gives
    assert len(lines) == 1, err
    assert lines[0].startswith(f"{line.split()[0]}: error: ".encode())
    assert said.encode(encoding, "backslashreplace") in lines[0], lines[0]
    assert b"Traceback" not in lines[0]
    assert not re.search(rb"[\x00-\x1f\x7f]", lines[0])


def check_in_any_terminal(line: str, said: str, patch: pytest.MonkeyPatch) -> None:
    """Run a wrong command line in each encoding; what is ASCII in UTF-8 is the same bytes in the others."""
    for encoding in ENCODINGS:
        printed = run(line, encoding, patch)
        check(line, said, encoding, printed)
        if printed[2].isascii() and line.isascii():
            break


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in WRONG])
def test_a_wrong_command_line_is_one_line_in_any_terminal(folder, monkeypatch, name):
    line, said = WRONG[name]
    before = files(folder)
    check_in_any_terminal(line, said, monkeypatch)
    assert files(folder) == before


@pytest.mark.parametrize("name", PROJECTS)
def test_a_wrong_project_file_is_one_line_in_any_terminal(folder, monkeypatch, name):
    line, content, said = PROJECTS[name]
    project = folder / "mcmfh.toml"
    project.write_text(content, encoding="utf-8")
    before = files(folder)
    try:
        check_in_any_terminal(line, said, monkeypatch)
        assert files(folder) == before
    finally:
        project.unlink()


@pytest.mark.parametrize("name", HALF_RIGHT)
def test_what_is_half_right_works_in_any_terminal(folder, monkeypatch, name):
    for encoding in ENCODINGS:
        code, out, err = run(HALF_RIGHT[name], encoding, monkeypatch)
        assert code == 0, err
        assert out
        assert b"error" not in err
        if (out + err).isascii():
            break


def test_every_command_is_in_the_list():
    typed = {tuple(line.split()[:2]) for line, _ in WRONG.values()}
    named = {(program, command) for program, module in PROGRAMS.items() for command in module.COMMANDS}
    assert named <= typed


@pytest.mark.slow
def test_the_locale_c_has_a_fix(folder):
    """Without the UTF-8 mode of Python; a table may name files that the locale cannot."""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    (folder / "films" / "Zoë.png").write_bytes((folder / "films" / "a.png").read_bytes())
    table = "id,image,text,labels,group\n1,Zoë.png,one,Zoë;肺,p1\n2,a.png,two,Ödem,p2\n"
    (folder / "names.csv").write_text(table.replace("2,a.png", "2,Zoë.png"), encoding="utf-8")
    (folder / "half.csv").write_text(table, encoding="utf-8")
    (folder / "ids.csv").write_text(table.replace("1,Zoë.png", "Zoë,a.png"), encoding="utf-8")
    for line in (
        "mcmfh-data manifest --manifest names.csv --images films --out new",
        "mcmfh init --manifest names.csv --images films --out new.toml",
        "mcmfh init --manifest half.csv --images films --out new.toml",
        "mcmfh-data verify Zoë/pairs",
        "mcmfh-archive search earlier/archive --id 'film 00' --labels 肺",
        "mcmfh predict --data.root Zoë",
    ):
        program, *words = shlex.split(line)
        done = subprocess.run([Path(sys.executable).with_name(program), *words], env=environment, capture_output=True)
        assert done.returncode == 2
        assert b"Traceback" not in done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"{program}: error: ".encode())
        assert last.endswith(b"in this locale: set LC_ALL=C.UTF-8, or PYTHONUTF8=1"), last
    for line in (
        "mcmfh init --manifest ids.csv --images films --out ids.toml",
        "mcmfh-data manifest --manifest ids.csv --images films --out ids",
    ):
        program, *words = shlex.split(line)
        subprocess.run([Path(sys.executable).with_name(program), *words], env=environment, check=True)


NAMED = ("init, no such table", "fit, config without an ending", "verify, no such folder", "search, no such label")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "iso-8859-1"])
def test_a_process_says_the_same(folder, encoding):
    locale = {"utf-8": "C.UTF-8", "ascii": "C", "iso-8859-1": "en_US.ISO-8859-1"}[encoding]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": locale}
    for name in NAMED:
        line, _ = WRONG[name]
        program, *words = shlex.split(line)
        done = subprocess.run([Path(sys.executable).with_name(program), *words], env=environment, capture_output=True)
        lines = [one for one in done.stderr.splitlines() if b"setlocale" not in one]
        assert done.returncode == 2
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith(f"{program}: error: ".encode())
