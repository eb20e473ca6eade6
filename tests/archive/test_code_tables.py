"""Tables of codes in the files of an archive: used as they are, and made again if they are not what they should be."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest

from mcmfh_lightning.archive import codes_cache, hash_index, indexes
from mcmfh_lightning.archive.address_table import AddressTable
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.errors import ConfigError, DataError

from .made import SIDES, Made

LARGE = 100


@pytest.fixture(autouse=True)
def few_items_are_many(monkeypatch):
    """Archives are searched by tables as if their 200 items were a hundred thousand, for which no scan is cheaper."""
    monkeypatch.setattr(indexes, "LARGE", LARGE)
    monkeypatch.setattr(indexes, "_ADDRESSES", 2**16)
    monkeypatch.setattr(hash_index, "_CALL", float("inf"))


@pytest.fixture(scope="module")
def unopened(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("made") / "archive", seed=3, count=200, num_bits=16)


@pytest.fixture
def made(unopened, tmp_path):
    return unopened.copied(tmp_path / "archive")


@pytest.fixture(scope="module")
def expected(unopened, tmp_path_factory):
    """What a scan finds, which `test_search_ranking` compares with the metric code."""
    kind, found = searched(unopened.copied(tmp_path_factory.mktemp("flat") / "archive"), "flat")
    assert kind == "flat"
    return found


def files(made):
    """The folder with the files of the newest version."""
    return max((path for path in (made.folder / "index").iterdir() if path.name.isdigit()), key=lambda path: path.name)


def searched(made, index=None):
    """The kind of the index, and the ids and distances of several searches."""
    archive = Archive.open(made.folder, index=index)
    results = [
        archive.search(id=made.ids[row], against=side, modality=modality(made, row), k=30, rerank=0)
        for row in range(0, 200, 80)
        for side in SIDES
    ]
    [kind] = {result.index for result in results}
    return kind, [[(hit.item.id, hit.distance) for hit in one.hits] for one in results]


def modality(made, row):
    return "image" if made.has["image"][row] else "text"


def test_the_files_are_the_tables_and_are_mapped(made, expected):
    assert searched(made) == ("hash", expected)
    written = {path.name: path.stat().st_mtime_ns for path in files(made).iterdir()}
    archive = Archive.open(made.folder)
    for side in SIDES:
        table = archive._snapshot.index(side)._table
        codes = np.load(files(made) / f"{side}_code.npy")
        for name, built in AddressTable.build(codes, 16)._asdict().items():
            np.testing.assert_array_equal(getattr(table, name), built)
            assert not getattr(table, name).flags.writeable, "a file, which a search never changes"
            assert (files(made) / f"{side}_{name}.npy").stat().st_size < 4 * built.size + 200
    assert searched(made) == ("hash", expected)
    assert {path.name: path.stat().st_mtime_ns for path in files(made).iterdir()} == written, "made once"


def test_few_items_have_no_table(tmp_path):
    made = Made(tmp_path / "archive", seed=3, count=LARGE - 1, num_bits=16)
    assert Archive.open(made.folder)._snapshot.index("case").kind == "flat"
    assert not list(files(made).glob("*rows*"))
    assert Archive.open(made.folder, index="hash")._snapshot.index("case").kind == "hash"


DAMAGES = [(name, how) for name in ("offsets", "rows") for how in ("gone", "empty", "cut", "other type", "shorter")]


@pytest.mark.parametrize(("name", "damage"), [*DAMAGES, ("offsets", "zeros")])
def test_damaged_tables_are_made_again(made, expected, name, damage):
    Archive.open(made.folder)
    path = files(made) / f"image_{name}.npy"
    whole = np.load(path)
    if damage == "gone":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        wrong = {"other type": whole.astype(np.uint64), "shorter": whole[:-1], "zeros": np.zeros_like(whole)}
        np.save(path, wrong[damage])
    assert searched(made) == ("hash", expected)
    np.testing.assert_array_equal(np.load(files(made) / f"image_{name}.npy"), whole)


def test_offsets_that_do_not_ascend_are_made_again(made, expected):
    Archive.open(made.folder)
    path = files(made) / "case_offsets.npy"
    whole = np.load(path)
    wrong = whole.copy()
    wrong[100], wrong[-100] = whole[-100], whole[100]
    np.save(path, wrong)
    assert searched(made) == ("hash", expected)
    np.testing.assert_array_equal(np.load(path), whole)


def test_files_of_another_release_are_made_again(made, expected, monkeypatch):
    """A release before this one had no tables, and its files have another stamp."""
    with monkeypatch.context() as patch:
        patch.setattr(codes_cache, "_LAYOUT", codes_cache._LAYOUT - 1)
        Archive.open(made.folder)
    rows = files(made) / "case_rows.npy"
    np.save(rows, np.load(rows)[::-1])  # all that only the stamp gives away
    assert searched(made) == ("hash", expected)


def test_another_version_has_tables_of_its_own(made):
    """Searches of the earlier version continue with the files that they have mapped."""
    before = Archive.open(made.folder)
    old = files(made)
    ItemTable.open(made.folder).delete(made.ids[:20])
    after = Archive.open(made.folder)
    assert not old.exists()
    assert len(after) == 180
    query = made.ids[30]
    options = {"modality": modality(made, 30), "k": 200, "rerank": 0}
    assert len(before.search(id=query, **options).hits) > len(after.search(id=query, **options).hits)
    scan = Archive.open(made.folder, index="flat").search(id=query, **options)
    assert after.search(id=query, **options).hits == scan.hits


def test_opening_at_once_makes_them_once(made, expected):
    shutil.rmtree(made.folder / "index", ignore_errors=True)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: searched(made), range(4)))
    assert all(one == ("hash", expected) for one in found)
    assert {path.name for path in (made.folder / "index").iterdir()} <= {".lock", files(made).name}


def test_removing_waits_for_whoever_makes_them(made, expected, monkeypatch):
    shutil.rmtree(made.folder / "index", ignore_errors=True)
    save, begun, go = codes_cache._save, threading.Event(), threading.Event()

    def slow(path, array):
        begun.set()
        assert go.wait(30)
        save(path, array)

    monkeypatch.setattr(codes_cache, "_save", slow)
    with ThreadPoolExecutor(2) as pool:
        making = pool.submit(Archive.open, made.folder)
        assert begun.wait(30)
        removing = pool.submit(codes_cache.remove_codes, Location(made.folder), ArchiveInfo.load(made.folder).uid)
        assert wait([removing], timeout=0.3).not_done
        go.set()
        making.result()
        removing.result()
    assert {path.name for path in (made.folder / "index").iterdir()} <= {".lock"}
    assert searched(made) == ("hash", expected)


KILLED = """
import os, signal, sys
from mcmfh_lightning.archive import codes_cache, indexes
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.search import Archive

indexes.LARGE, indexes._ADDRESSES = 100, 2**16
save = codes_cache._save

def killed(path, array):
    if path.name == "text_rows.npy":
        path.write_bytes(b"half of a file")
        os.kill(os.getpid(), signal.SIGKILL)
    save(path, array)

codes_cache._save = killed
Archive.open(sys.argv[1])
"""


def test_killed_while_they_are_made(made, expected):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.run([sys.executable, "-c", KILLED, made.folder], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL
    [part] = [path for path in (made.folder / "index").iterdir() if path.name.startswith(".part-")]
    assert (part / "text_rows.npy").exists()
    assert searched(made) == ("hash", expected)
    assert not part.exists()


def test_codes_with_too_many_bits_are_refused_by_name(tmp_path):
    made = Made(tmp_path / "archive", seed=3, count=200, num_bits=12)
    table = ItemTable.open(made.folder)
    made.codes["case"][:, 1] |= 1
    table.add(made._rows(keep_relaxed=True), replace=True)
    with pytest.raises(DataError, match=r"archive's case codes of 12 bits have bits beyond.*`mcmfh-archive verify`"):
        Archive.open(made.folder)


def test_long_codes_are_no_addresses(tmp_path):
    made = Made(tmp_path / "archive", seed=3, count=5, num_bits=32)
    with pytest.raises(ConfigError, match="at most 24 bits, the archive's have 32: choose flat"):
        Archive.open(made.folder, index="hash")
