"""``kill -9`` at random moments, and two commands at once, on a local folder."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.store import ItemTable

from .collection import write_checkpoint, write_features, write_pairs

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("commands_in_children.py")
COUNT, MOMENTS, BUILT = 400, 12, 4


class Children:
    """Commands, each in a process of its own that can be killed."""

    def __init__(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, SCRIPT], env=environment, text=True, **pipes)
        assert self.read() == "ready"

    def read(self):
        return self.process.stdout.readline().strip()

    def start(self, log, *command):
        self.process.stdin.write(json.dumps([str(log), *map(str, command)]) + "\n")
        self.process.stdin.flush()
        return int(self.read())

    def wait(self):
        return int(self.read())

    def run(self, log, *command):
        self.start(log, *command)
        return self.wait()

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def children():
    pair = [Children(), Children()]
    yield pair
    for one in pair:
        one.close()


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collection")
    write_pairs(folder / "pairs", range(COUNT))
    write_features(folder / "features", range(COUNT))
    write_features(folder / "others", range(COUNT // 2, COUNT + COUNT // 2))
    write_checkpoint(folder / "hasher.ckpt")
    return folder


def rows(archive):
    table = ItemTable.open(archive)
    found = table.select(table.schema.names).drop_columns(["_rowid"]).to_pylist()
    by_id = {row.pop("id"): row for row in found}
    assert len(by_id) == len(found), "each once"
    return by_id


def commits(log):
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_killed_while_adding(children, collection, tmp_path):
    [runner, _] = children
    shards = ["--features", collection / "features", "--pairs", collection / "pairs"]
    create = ["--checkpoint", collection / "hasher.ckpt", *shards, "--store-content"]
    log, base, whole = tmp_path / "log", tmp_path / "base", tmp_path / "whole"
    assert runner.run(log, "build", base, *create, "--splits", "test") == 0
    shutil.copytree(base, whole)
    begin = time.monotonic()
    assert runner.run(log, "add", whole, *shards) == 0
    duration = time.monotonic() - begin
    expected = rows(whole)
    assert len(expected) == COUNT
    draw, in_between, archive = random.Random(7), 0, tmp_path / "archive"
    for moment in range(MOMENTS):
        shutil.copytree(base, archive)
        log = tmp_path / f"log-{moment}"
        pid = runner.start(log, "add", archive, *shards)
        time.sleep(duration * (moment + draw.random()) / MOMENTS)
        with suppress(ProcessLookupError):  # on a machine that is quicker now
            os.kill(pid, signal.SIGKILL)
        runner.wait()
        found, committed = rows(archive), commits(log)
        before = rows(base).keys()
        known = before | {name for commit in committed for name in commit}
        assert found.keys() >= known, "what was committed is there"
        assert len(found) - len(known) in (0, 20), "one commit may not have been noted"
        assert all(expected[name] == row for name, row in found.items())
        in_between += 0 < len(found) - len(before) < COUNT - len(before)
        Archive.open(archive).search(id="pair 399", k=5, rerank=0)
        assert runner.run(log, "add", archive, *shards) == 0
        assert rows(archive) == expected
        shutil.rmtree(archive)
    assert in_between >= MOMENTS // 4, "most kills came before the first commit or after the last"


def test_killed_while_building(children, collection, tmp_path):
    [runner, _] = children
    create = ["--checkpoint", collection / "hasher.ckpt", "--features", collection / "features"]
    begin = time.monotonic()
    assert runner.run(tmp_path / "log", "build", tmp_path / "whole", *create) == 0
    duration, expected = time.monotonic() - begin, rows(tmp_path / "whole")
    for moment in range(BUILT):
        archive = tmp_path / f"archive-{moment}"
        pid = runner.start(tmp_path / "log", "build", archive, *create)
        time.sleep(duration * (moment + 0.5) / BUILT)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        runner.wait()
        assert runner.run(tmp_path / "log", "build", archive, *create) == 0
        assert rows(archive) == expected


@pytest.mark.parametrize("command", ["add", "upsert"])
def test_two_commands_at_once(children, collection, tmp_path, command):
    """Half of their items are the same."""
    create = ["--checkpoint", collection / "hasher.ckpt", "--features", collection / "features", "--splits", "test"]
    archive = tmp_path / "archive"
    assert children[0].run(tmp_path / "log", "build", archive, *create) == 0
    for child, features in zip(children, ("features", "others"), strict=True):
        child.start(tmp_path / features, command, archive, "--features", collection / features)
    assert [child.wait() for child in children] == [0, 0]
    found = rows(archive)
    assert found.keys() == {f"pair {number:03d}" for number in range(COUNT + COUNT // 2)}
    for features in ("features", "others"):
        assert commits(tmp_path / features), "both had something to do"


RESTORED = 7


def killed_at(runner, log, command, delay):
    """Start a command and kill it after a while."""
    pid = runner.start(log, *command)
    time.sleep(delay)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    runner.wait()


@pytest.fixture(scope="module")
def changed(children, collection, tmp_path_factory):
    """An archive with the tag ``whole``, of which items were deleted and replaced since."""
    [runner, _] = children
    folder = tmp_path_factory.mktemp("changed")
    shards = ["--features", collection / "features", "--pairs", collection / "pairs"]
    create = ["--checkpoint", collection / "hasher.ckpt", *shards, "--store-content"]
    for command in (
        ("build", folder / "archive", *create),
        ("tag", folder / "archive", "whole"),
        ("delete", folder / "archive", "--groups", "P-005", "--ids", "pair 020"),
        ("add", folder / "archive", "--features", collection / "others", "--pairs", write_others(collection)),
    ):
        assert runner.run(folder / "log", *command) == 0
    return folder / "archive"


def write_others(collection):
    return write_pairs(collection / "other pairs", range(COUNT // 2, COUNT + COUNT // 2))


@pytest.mark.parametrize("options", [(), ("--restore-deleted",)])
def test_killed_while_restoring(children, changed, tmp_path, options):
    """The items are those of before or those of after; the same command completes it."""
    [runner, _] = children
    log = tmp_path / "log"

    def command(archive):
        return "restore", archive, "whole", *options

    whole = shutil.copytree(changed, tmp_path / "whole")
    begin = time.monotonic()
    assert runner.run(log, *command(whole)) == 0
    duration, before, after = time.monotonic() - begin, rows(changed), rows(whole)
    assert len(before) == COUNT + COUNT // 2 - 3
    assert len(after) == (COUNT if options else COUNT - 3)
    draw, outcomes, archive = random.Random(3), [], tmp_path / "archive"
    for moment in range(RESTORED):
        shutil.copytree(changed, archive)
        killed_at(runner, log, command(archive), duration * (moment + draw.random()) / RESTORED)
        found = rows(archive)
        assert found in (before, after)
        outcomes.append(found == after)
        Archive.open(archive).search(text="finding 4", match="words", k=5)
        assert runner.run(log, *command(archive)) == 0
        assert rows(archive) == after
        shutil.rmtree(archive)
    assert not all(outcomes), "some kills came before the commit"


def test_killed_while_erasing(children, changed, tmp_path):
    """No item is lost; after the same command, nothing of what was deleted is on the disk."""
    [runner, _] = children
    log, base = tmp_path / "log", shutil.copytree(changed, tmp_path / "base")
    assert runner.run(log, "tag", base, "whole", "--delete") == 0
    expected, archive = rows(base), tmp_path / "archive"
    whole = shutil.copytree(base, tmp_path / "whole")
    begin = time.monotonic()
    assert runner.run(log, "delete", whole, "--erase") == 0
    duration, draw = time.monotonic() - begin, random.Random(4)
    for moment in range(RESTORED):
        shutil.copytree(base, archive)
        killed_at(runner, log, ("delete", archive, "--erase"), duration * (moment + draw.random()) / RESTORED)
        assert rows(archive) == expected
        assert runner.run(log, "delete", archive, "--erase") == 0
        assert rows(archive) == expected
        for file in archive.rglob("*"):
            assert not file.is_file() or not any(name in file.read_bytes() for name in (b"pair 020", b"P-005"))
        shutil.rmtree(archive)
