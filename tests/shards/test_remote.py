"""Shards behind a URL: a real HTTP server on the loopback, real processes."""

import http.server
import pickle
import subprocess
import sys
import threading
from collections import Counter

import fsspec
import numpy as np
import pytest

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards import DatasetInfo, FeatureShardReader
from mcmfh_lightning.shards.folder import ShardFolder

SHARD = "train-000-00000.tar"


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder, counts what is asked for, and misbehaves as `faults` says: actions by file name, used up."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.requests = Counter()
        self.faults = {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        self.server.requests[name] += 1
        fault = self.server.faults.get(name, []) and self.server.faults[name].pop(0)
        path = self.server.folder / name
        if isinstance(fault, int) or not path.is_file():
            self.send_error(fault or 404)
            return
        content = path.read_bytes()
        self.send_response(200)
        if fault != "shorter":  # says nothing of its length, ends early: looks complete
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault in ("truncated", "shorter"):
            content = content[: len(content) // 2]
        elif fault == "damaged":
            content = content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(write_features, tmp_path):
    server = Server(write_features(tmp_path / "remote", {"train": 40, "val": 20}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def shard_of(folder, split="train"):
    return folder.shard(DatasetInfo.load(folder.path).split(split).shards[0])


def test_a_shard_is_fetched_once_and_is_the_same(server, tmp_path):
    folder = ShardFolder(server.url, tmp_path / "cache")
    assert server.requests == {"dataset.json": 1}, "no shard is fetched before it is asked for"
    for _ in range(2):
        assert shard_of(folder).read_bytes() == (server.folder / SHARD).read_bytes()
    shard_of(pickle.loads(pickle.dumps(folder)))
    assert server.requests == {"dataset.json": 1, SHARD: 1}
    assert not list(folder.path.glob("*.part"))


def test_a_link_in_the_cache_is_not_written_through(server, tmp_path):
    folder = ShardFolder(server.url, tmp_path / "cache")
    (tmp_path / "mine").write_bytes(b"mine")
    (folder.path / f"{SHARD}.part").symlink_to(tmp_path / "mine")
    assert shard_of(folder).read_bytes() == (server.folder / SHARD).read_bytes()
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_readers_and_datamodules_take_urls(server, tmp_path):
    reader = FeatureShardReader(ShardFolder(server.url, tmp_path / "a"), "val")
    np.testing.assert_array_equal(
        reader.gather(np.arange(20))["image"], FeatureShardReader(server.folder, "val").gather(np.arange(20))["image"]
    )
    data = FeatureDataModule(server.url, 16, cache=str(tmp_path / "b"))
    local = FeatureDataModule(str(server.folder), 16)
    assert [b["index"].tolist() for b in data.train_dataloader()] == [
        b["index"].tolist() for b in local.train_dataloader()
    ]
    assert server.requests == {"dataset.json": 2, SHARD: 1, "val-000-00000.tar": 1}, "no split that is not used"


def test_the_default_cache_is_the_users(server, tmp_path, monkeypatch):
    monkeypatch.setattr("mcmfh_lightning.shards.folder.default_cache", lambda: tmp_path / "users")
    assert ShardFolder(server.url).path.parent == tmp_path / "users" / "shards"


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("dataset.json", [503, 500]),
        ("dataset.json", ["truncated"]),
        (SHARD, [503, 500]),
        (SHARD, ["truncated"]),
        (SHARD, ["truncated", "shorter", 429]),
    ],
)
def test_interrupted_transfers_are_tried_again(server, tmp_path, name, faults):
    server.faults[name] = list(faults)
    folder = ShardFolder(server.url, tmp_path / "cache")
    assert shard_of(folder).read_bytes() == (server.folder / SHARD).read_bytes()
    assert server.requests[name] == len(faults) + 1


def test_a_server_that_keeps_failing_is_given_up(server, tmp_path):
    folder = ShardFolder(server.url, tmp_path / "cache")
    server.faults[SHARD] = [503] * 99
    with pytest.raises(DataError, match=rf"{server.url}/{SHARD} cannot be read.*503.*tried 5 times.*start again"):
        shard_of(folder)
    assert server.requests[SHARD] == 5
    assert not list(folder.path.glob(f"{SHARD}*part")), "nothing half-fetched is left"
    server.faults.clear()
    shard_of(folder)


@pytest.mark.parametrize(("fault", "message"), [(404, "does not exist"), (403, "403.*credentials")])
def test_what_will_not_pass_is_not_tried_again(server, tmp_path, fault, message):
    server.faults["dataset.json"] = [fault] * 9
    with pytest.raises(DataError, match=rf"{server.url}/dataset\.json .*{message}"):
        ShardFolder(server.url, tmp_path / "cache")
    assert server.requests["dataset.json"] == 1


def test_a_wrong_checksum_never_enters_the_cache(server, tmp_path):
    server.faults[SHARD] = ["damaged"]
    folder = ShardFolder(server.url, tmp_path / "cache")
    with pytest.raises(DataError, match=rf"{server.url}/{SHARD}: SHA-256 .*copy it there again"):
        shard_of(folder)
    assert not list(folder.path.glob("*.tar*part"))
    assert not list(folder.path.glob("*.tar"))
    assert shard_of(folder).exists()


def test_a_shard_that_was_cut_in_the_cache_is_named(server, tmp_path):
    folder = ShardFolder(server.url, tmp_path / "cache")
    path = shard_of(folder)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"{path} has \d+ bytes"):
        shard_of(folder)


def test_a_remote_that_changes_begins_a_new_cache(server, write_features, tmp_path):
    old = ShardFolder(server.url, tmp_path / "cache")
    before = shard_of(old).read_bytes()
    server.folder = write_features(tmp_path / "changed", {"train": 41, "val": 20})
    new = ShardFolder(server.url, tmp_path / "cache")
    assert new.path != old.path
    assert shard_of(new).read_bytes() == (server.folder / SHARD).read_bytes() != before
    assert shard_of(old).read_bytes() == before


def test_two_addresses_never_share_a_cache(server, tmp_path):
    """Equal dataset.json behind another address: its shards may be other ones."""
    one, other = (ShardFolder(f"http://{host}:{server.server_port}", tmp_path) for host in ("127.0.0.1", "localhost"))
    assert one.path != other.path


def test_processes_of_a_machine_fetch_a_shard_once(server, tmp_path):
    script = "\n".join(
        (
            "import sys",
            "from pathlib import Path",
            "from mcmfh_lightning.shards.folder import ShardFolder",
            "from mcmfh_lightning.shards.info import DatasetInfo",
            "folder = ShardFolder(sys.argv[1], Path(sys.argv[2]))",
            "print('ready', flush=True)",
            "sys.stdin.readline()",
            "print(folder.shard(DatasetInfo.load(folder.path).split('train').shards[0]))",
        )
    )
    command = [sys.executable, "-c", script, server.url, str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    paths = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(paths) == 1
    assert server.requests[SHARD] == 1


def test_other_file_systems(server, tmp_path):
    memory = fsspec.filesystem("memory")
    memory.put(str(server.folder), "/shards", recursive=True)
    for url in ("memory://shards", f"file://{server.folder}"):
        folder = ShardFolder(url, tmp_path / "cache")
        assert shard_of(folder).parent == folder.path
        assert str(folder) == url
        assert len(FeatureShardReader(folder, "train")) == 40


def test_local_folders_are_read_where_they_are(server, tmp_path):
    folder = ShardFolder(str(server.folder), tmp_path / "cache")
    assert shard_of(folder) == server.folder / SHARD
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("pipe:cat /etc/passwd", "would run a command"),
        ("simplecache::s3://bucket/shards", "chain of URLs"),
        ("zip://*::https://example.org/a.zip", "chain of URLs"),
        ("nonsense://example.org/shards", "Protocol not known"),
    ],
)
def test_addresses_that_are_refused(root, message, tmp_path):
    with pytest.raises(DataError, match=message):
        FeatureDataModule(root, cache=str(tmp_path))


def test_passwords_are_not_shown(server, tmp_path):
    url = server.url.replace("//", "//me:secret@")
    server.faults["dataset.json"] = [403]
    with pytest.raises(DataError) as caught:
        ShardFolder(url, tmp_path)
    assert "secret" not in str(caught.value)
    assert "secret" not in str(ShardFolder(url, tmp_path))
