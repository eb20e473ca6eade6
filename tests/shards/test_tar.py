import io
import re
import tarfile
from hashlib import sha256

import pytest

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.tar import MAX_KEY_LENGTH, ShardWriter, index_tar, record_key


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


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.DIRTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
    ],
)
def test_only_plain_files(tmp_path, kind):
    with pytest.raises(DataError, match="not a plain file"):
        index_tar(make_tar(tmp_path / "bad.tar", "a.txt", kind=kind))


@pytest.mark.parametrize("names", [("a.txt", "a.txt"), ("a.txt", "b.txt", "a.json")])
def test_a_record_occurs_once(tmp_path, names):
    with pytest.raises(DataError, match="occurs twice"):
        index_tar(make_tar(tmp_path / "bad.tar", *names))


@pytest.mark.parametrize("damage", [b"", b"not a tar" * 100, bytes(100)])
def test_damaged_tars(tmp_path, damage):
    (tmp_path / "bad.tar").write_bytes(damage)
    with pytest.raises(DataError, match=r"bad\.tar cannot be read at its beginning .*copy or write it again"):
        index_tar(tmp_path / "bad.tar")


@pytest.mark.parametrize("size", [1024, 1100, 1536])
def test_cut_off_tars(tmp_path, size):
    path = make_tar(tmp_path / "bad.tar", "a.txt", "a.json")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"bad\.tar(, member 'a\.json': it runs| cannot be read after member 'a\.txt')"):
        index_tar(path)


def test_a_damaged_header_in_the_middle_is_not_the_end(tmp_path):
    path = make_tar(tmp_path / "bad.tar", "a.txt", "a.json")
    data = bytearray(path.read_bytes())
    data[1024] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"cannot be read after member 'a\.txt' \(bad checksum\)"):
        index_tar(path)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("a.txt", 400_001, "400001 bytes, more than the 400000 that a .txt may have"),
        ("a.json", 16 * 2**20 + 1, "more than the 16777216"),
        ("a.image.npy", 2**30 + 1, "more than the 1073741824"),
        ("a.jpg", 2**40, "more than the 1073741824"),
        ("a.txt", 20_000, r"runs beyond the end of the file \(20000 bytes, "),
        ("a.txt", -1024, "runs beyond the end"),
    ],
)
def test_sizes_that_cannot_be(tmp_path, name, size, message):
    """Only a header; with a negative size tarfile itself would read it for ever."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    (tmp_path / "bad.tar").write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(DataError, match=rf"bad\.tar, member '{name}': .*{message}"):
        index_tar(tmp_path / "bad.tar")


def test_what_could_not_be_read_is_not_written(tmp_path):
    writer = ShardWriter(tmp_path / "train-000-00000.tar")
    with pytest.raises(DataError, match=r"member one\.txt has 400001 bytes"):
        writer.write("one", {"txt": bytes(400_001)})
    writer.abort()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-3001"),
        ("a" * 80, "a" * 80),
        ("a" * 81, "a" * 69 + "-" + sha256(b"a" * 81).hexdigest()[:10]),
        ("Fälle/7.1", "Falle-7-1-" + sha256("Fälle/7.1".encode()).hexdigest()[:10]),
        ("../..", "item-" + sha256(b"../..").hexdigest()[:10]),
    ],
)
def test_keys_are_ids_where_they_can_be(name, key):
    assert record_key(name) == key
    assert re.fullmatch("[A-Za-z0-9_-]{1,80}", key)


def test_ids_that_look_alike_have_different_keys():
    names = ["a b", "a/b", "a.b", "a-b", "ä b", "A b", "a b "]
    assert len({record_key(name) for name in names}) == len(names)


@pytest.mark.parametrize("key", ["", "a.b", "a/b", "..", "a b", "ä", "a" * (MAX_KEY_LENGTH + 1)])
def test_keys_that_cannot_name_members(tmp_path, key):
    writer = ShardWriter(tmp_path / "train-000-00000.tar")
    with pytest.raises(ValueError, match="can name a member"):
        writer.write(key, {"txt": b""})
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_the_longest_key_is_a_plain_header(tmp_path):
    writer = ShardWriter(tmp_path / "train-000-00000.tar")
    writer.write("a" * MAX_KEY_LENGTH, {"rowcrc.npy": b""})
    writer.close()
    assert (tmp_path / "train-000-00000.tar").read_bytes()[:MAX_KEY_LENGTH] == b"a" * MAX_KEY_LENGTH
