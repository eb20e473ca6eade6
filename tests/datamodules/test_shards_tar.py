import io
import tarfile

import pytest

from mcmfh_lightning.datamodules.shards.tar import MAX_KEY_LENGTH, ShardWriter, index_tar
from mcmfh_lightning.errors import DataError


def make_tar(path, *names, kind=tarfile.REGTYPE):
    with tarfile.open(path, "w") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.type = kind
            entry.size = 3 if kind == tarfile.REGTYPE else 0
            tar.addfile(entry, io.BytesIO(b"abc"))
    return path


def test_index_points_at_the_contents(tmp_path):
    writer = ShardWriter(tmp_path / "train-000-00000.tar")
    writer.write("one", {"txt": b"first", "image.npy": b"x" * 1000})
    writer.write("two", {"txt": b""}, pairs=5)
    info = writer.close()
    data = (tmp_path / "train-000-00000.tar").read_bytes()
    index = index_tar(tmp_path / "train-000-00000.tar")
    assert list(index) == ["one", "two"]
    assert set(index["one"]) == {"txt", "image.npy"}
    for extension, content in {"txt": b"first", "image.npy": b"x" * 1000}.items():
        offset, size = index["one"][extension]
        assert data[offset : offset + size] == content
    assert (info.pairs, info.bytes) == (6, len(data))


def test_equal_records_make_equal_files(tmp_path, monkeypatch):
    infos = []
    for name, now in (("train-000-00000.tar", 1e9), ("train-000-00001.tar", 2e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        writer = ShardWriter(tmp_path / name)
        writer.write("one", {"txt": b"first"})
        infos.append(writer.close())
    assert infos[0].sha256 == infos[1].sha256


@pytest.mark.parametrize(
    "name", ["../a.txt", "/a.txt", "a/b.txt", "a.exe", "a.pyd", "a.pickle", "a", ".txt", "pipe:a.txt", "a b.txt"]
)
def test_strange_members_are_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"bad\.tar, member"):
        index_tar(make_tar(tmp_path / "bad.tar", name))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_only_plain_files(tmp_path, kind):
    with pytest.raises(DataError, match="not a plain file"):
        index_tar(make_tar(tmp_path / "bad.tar", "a.txt", kind=kind))


@pytest.mark.parametrize("names", [("a.txt", "a.txt"), ("a.txt", "b.txt", "a.json")])
def test_a_record_occurs_once(tmp_path, names):
    with pytest.raises(DataError, match="occurs twice"):
        index_tar(make_tar(tmp_path / "bad.tar", *names))


@pytest.mark.parametrize("damage", [b"", b"not a tar" * 100])
def test_damaged_tars(tmp_path, damage):
    (tmp_path / "bad.tar").write_bytes(damage)
    with pytest.raises(DataError, match="cannot be read"):
        index_tar(tmp_path / "bad.tar")


@pytest.mark.parametrize("key", ["", "a.b", "a/b", "..", "a b", "ä", "a" * (MAX_KEY_LENGTH + 1)])
def test_keys_that_cannot_name_members(tmp_path, key):
    writer = ShardWriter(tmp_path / "train-000-00000.tar")
    with pytest.raises(DataError, match="rename the item"):
        writer.write(key, {"txt": b""})
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_the_longest_key_is_a_plain_header(tmp_path):
    writer = ShardWriter(tmp_path / "train-000-00000.tar")
    writer.write("a" * MAX_KEY_LENGTH, {"labels.npy": b""})
    writer.close()
    assert (tmp_path / "train-000-00000.tar").read_bytes()[:MAX_KEY_LENGTH] == b"a" * MAX_KEY_LENGTH
