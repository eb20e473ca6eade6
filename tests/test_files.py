import hashlib
import os

import pytest

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import atomic_write, check_folder, sha256_of
from mcmfh_lightning.shards.tar import ShardWriter


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "file"
    with atomic_write(target) as stream:
        stream.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def fail():
        with atomic_write(target) as stream:
            stream.write(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("make", [os.link, os.symlink])
def test_nothing_is_written_through_a_link(tmp_path, make):
    """A pipe in its place would wait for a reader."""
    (tmp_path / "mine").write_bytes(b"mine")
    make(tmp_path / "mine", tmp_path / "file.part")
    make(tmp_path / "mine", tmp_path / "train-000-00000.tar.part")
    os.mkfifo(tmp_path / "pipe.part")
    for name in ("file", "pipe"):
        with atomic_write(tmp_path / name) as stream:
            stream.write(b"new")
        assert (tmp_path / name).read_bytes() == b"new"
    writer = ShardWriter(tmp_path / "train-000-00000.tar")
    writer.write("one", {"txt": b"first"})
    writer.close()
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert not any(path.is_symlink() for path in tmp_path.iterdir())
    assert not list(tmp_path.glob("*.part"))


def test_the_error_names_the_file_and_not_the_temporary_one(tmp_path):
    for target in (tmp_path, tmp_path / "gone" / "file"):
        with pytest.raises(OSError, match="directory") as caught, atomic_write(target):
            pass
        assert caught.value.filename == str(target)
    assert list(tmp_path.iterdir()) == []
    assert not tmp_path.with_name(f"{tmp_path.name}.part").exists()


def test_a_folder_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match="file is a file; name a folder by --out"):
            check_folder(wrong, "--out")
    check_folder(tmp_path / "not" / "there", "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()
