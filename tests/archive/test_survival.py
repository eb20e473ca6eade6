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
COUNT, MOMENTS, BUILT = 400, 20, 5


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
