"""An archive on an s3-compatible server on loopback is what it is in a local folder."""

import threading

import pytest

from mcmfh_lightning.archive.filters import Filters
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.errors import DataError

from .collection import write_checkpoint, write_features, write_pairs
from .items import NUM_BITS, items

COUNT = 60


@pytest.fixture(scope="module")
def bucket():
    """Address of an empty bucket; the environment says where its server is."""
    server_module = pytest.importorskip("moto.server", reason="moto, of the extra `dev`, is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3, which comes with moto, is not installed")
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "a secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="archives")
        yield "s3://archives"
    server.stop()


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collection")
    write_pairs(folder / "pairs", range(COUNT))
    write_features(folder / "features", range(COUNT))
    write_checkpoint(folder / "hasher.ckpt")
    return folder


def rows(archive):
    table = ItemTable.open(archive)
    found = table.select(table.schema.names).drop_columns(["_rowid"]).to_pylist()
    assert len({row["id"] for row in found}) == len(found)
    return {row.pop("id"): row for row in found}


def test_commands_and_searches_give_what_a_local_folder_gives(bucket, collection, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shards = ["--features", str(collection / "features"), "--pairs", str(collection / "pairs")]
    create = ["--checkpoint", str(collection / "hasher.ckpt"), "--store-content", "--splits", "test"]
    local, far = str(tmp_path / "archive"), f"{bucket}/some/archive"
    for archive in (local, far):
        main(["build", archive, *create, *shards])
        main(["add", archive, *shards])
        main(["add", archive, *shards])
        main(["tag", archive, "whole"])
        main(["delete", archive, "--ids", "pair 003", "--ids", "pair 050"])
        main(["restore", archive, "whole"])
        assert "2 items were deleted from this archive since and stay out" in capsys.readouterr().out
        main(["upsert", archive, *shards])
        assert "2 items were deleted from this archive earlier" in capsys.readouterr().out
        main(["upsert", archive, *shards, "--splits", "test", "--restore-deleted"])
        main(["verify", archive, "--features", str(collection / "features")])
        main(["info", archive])
    assert rows(far) == rows(local)
    assert len(rows(far)) == COUNT - 1
    near, remote = Archive.open(local), Archive.open(far)
    assert near.info.weights_sha256 == remote.info.weights_sha256
    for query in ({"id": "pair 004"}, {"id": "pair 011", "modality": "text", "against": "image"}):
        for more in ({"k": 20}, {"radius": 6, "rerank": 0}, {"filters": Filters(labels=("opacity",))}):
            ours, theirs = near.search(**query, **more), remote.search(**query, **more)
            assert ours.hits == theirs.hits
            assert ours.hits
    ours, theirs = (archive.search(text="finding 4", match="words", k=COUNT) for archive in (near, remote))
    assert ours.hits == theirs.hits
    assert ours.with_words == len(ours.hits) > 20
    assert remote.picture("pair 004") == near.picture("pair 004") is not None


def test_two_writers_at_once(bucket):
    """Nobody has a lock there: the second commit of an id sees the first."""
    ItemTable.create(f"{bucket}/two", NUM_BITS)
    meet, failed = threading.Barrier(2), []

    def write(seed):
        table = ItemTable.open(f"{bucket}/two")
        try:
            for part in range(5):
                meet.wait()
                table.add(items([f"{part}-{number}" for number in range(100)], seed=seed))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(rows(f"{bucket}/two")) == 500


def test_what_is_not_there_is_reported_in_one_line(bucket, monkeypatch):
    with pytest.raises(DataError, match="s3://archives/none holds no archive"):
        ArchiveInfo.load(f"{bucket}/none")
    with pytest.raises(DataError, match="cannot open the table"):
        ItemTable.open(f"{bucket}/none")
    assert Location(f"{bucket}/none").read("archive.json") is None
    with pytest.raises(DataError, match="cannot be reached"):
        Location("s3://no-such-bucket/none").write("archive.json", b"{}")
