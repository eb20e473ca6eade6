"""What commands that write shards meet in their folder: another command at work, links, missing shards."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.shards import DatasetInfo

from .manifests import GOOD, make_images, run, tars, write_csv

STOPS = (
    "import os, signal, sys\n"
    "from mcmfh_lightning.shards import tar\n"
    "from mcmfh_lightning.cli.data import main\n"
    "close = tar.ShardWriter.close\n"
    "def stopped(self):\n"
    "    os.kill(os.getpid(), signal.SIGSTOP)\n"
    "    return close(self)\n"
    "tar.ShardWriter.close = stopped\n"
    "main(sys.argv[1:])\n"
)
"""A command that stops before each of its shards takes its name."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs in ``pairs`` and two tables of other labels."""
    root = tmp_path_factory.mktemp("files")
    make_images(root)
    rows = [{**row, "split": split} for row, split in zip(GOOD, ("train", "test", "test"), strict=True)]
    assert run(root, write_csv(root / "pairs.csv", rows), out="pairs") == 0
    for name in ("left", "right"):
        write_csv(root / f"{name}.csv", [{"id": row["id"], "labels": f"{name};x"} for row in GOOD])
    return root


@pytest.fixture
def folder(files: Path, tmp_path: Path) -> Path:
    return shutil.copytree(files, tmp_path, dirs_exist_ok=True)


def relabel(folder: Path, table: str = "left") -> list[str]:
    return ["relabel", f"{folder / 'pairs'}", "--out", f"{folder / 'new'}", "--labels", f"{folder / table}.csv"]


def manifest(folder: Path, table: str = "pairs") -> list[str]:
    paths = ("--manifest", f"{folder / table}.csv", "--images", f"{folder / 'images'}", "--out", f"{folder / 'new'}")
    return ["manifest", *paths]


def fails(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        command(words)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].removeprefix("mcmfh-data: error: ")


COMMANDS = pytest.mark.parametrize("words", [relabel, manifest])


def stopped(process: subprocess.Popen[bytes]) -> bool:
    """Wait until a process stops or ends."""
    state = os.waitpid(process.pid, os.WUNTRACED)[1]
    if not os.WIFSTOPPED(state):
        process.returncode = os.waitstatus_to_exitcode(state)
    return process.returncode is None


@COMMANDS
def test_a_second_writer_is_refused_and_leaves_the_first_alone(
    words: Callable[..., list[str]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = subprocess.Popen([sys.executable, "-c", STOPS, *words(folder)])
    try:
        assert stopped(first)
        before = sorted(path.name for path in (folder / "new").iterdir())
        assert fails(capsys, words(folder, "right") if words is relabel else words(folder)) == (
            f"{folder / 'new'} is being written by another command: wait for its end, or choose another folder"
        )
        assert sorted(path.name for path in (folder / "new").iterdir()) == before
        first.send_signal(signal.SIGCONT)
        while stopped(first):
            first.send_signal(signal.SIGCONT)
        assert first.returncode == 0
    finally:
        first.kill()
    if words is relabel:
        assert DatasetInfo.load(folder / "new").label_vocabulary == ("left", "x")
    command(["verify", str(folder / "new")])  # would end with another exit code than 0


@COMMANDS
def test_a_folder_without_one_of_its_shards_is_not_complete(
    words: Callable[..., list[str]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(words(folder))
    assert not list((folder / "new").glob("*.lock"))
    shard = folder / "new" / "test-000-00000.tar"
    content = shard.read_bytes()
    for damage in (shard.unlink, lambda: shard.write_bytes(content[:-1])):
        damage()
        assert fails(capsys, words(folder)) == (
            f"{folder / 'new'} is not complete: 1 of 2 shards missing or of another size (test-000-00000.tar); copy "
            "them there again, or delete this folder and repeat the command"
        )
    shard.write_bytes(content)
    with FileLock(folder / "new" / "dataset.json.lock"):  # who only looks waits for nobody
        command(words(folder))
    assert "is already complete" in capsys.readouterr().err


@COMMANDS
def test_a_refused_command_leaves_no_folder(
    words: Callable[..., list[str]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = ["--out", str(folder / "made" / "new")]
    fails(capsys, [*words(folder), "--min-label-count", "99", "--normal-label", "x", *elsewhere])
    assert not (folder / "made").exists()


@pytest.mark.parametrize("name", ["train-000-00000.tar.part", "skipped.csv", "skipped.csv.part"])
def test_links_in_the_new_folder_are_replaced(folder: Path, name: str) -> None:
    (folder / "mine.txt").write_text("mine")
    (folder / "pairs" / "skipped.csv").write_text("reason,item\nlost,x\n")
    (folder / "new").mkdir()
    (folder / "new" / name).symlink_to(folder / "mine.txt")
    command(relabel(folder))
    assert (folder / "mine.txt").read_text() == "mine"
    assert not any(path.is_symlink() for path in (folder / "new").iterdir())
    assert (folder / "new" / "skipped.csv").read_text() == "reason,item\nlost,x\n"
    command(["verify", str(folder / "new")])


def test_a_list_that_is_a_link_is_not_copied(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "secret.txt").write_text("secret")
    (folder / "pairs" / "skipped.csv").symlink_to(folder / "secret.txt")
    command(relabel(folder))
    link = folder / "pairs" / "skipped.csv"
    assert f"{link} is a link, which may lead anywhere: it is not copied" in capsys.readouterr().err
    assert sorted(tars(folder / "new")) == sorted(tars(folder / "pairs"))
    assert not (folder / "new" / "skipped.csv").exists()


def test_a_list_of_problems_is_not_written_through_a_link(folder: Path) -> None:
    rows = [*GOOD, {**GOOD[0], "id": ""}]
    assert run(folder, write_csv(folder / "bad.csv", rows)) == 2
    listed = folder / "out-problems.csv"
    before = listed.read_bytes()
    listed.rename(folder / "earlier.csv")
    listed.symlink_to(folder / "earlier.csv")
    assert run(folder, write_csv(folder / "bad.csv", [*rows, {**GOOD[1], "id": ""}])) == 2
    assert (folder / "earlier.csv").read_bytes() == before != listed.read_bytes()
