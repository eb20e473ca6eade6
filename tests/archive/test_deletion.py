"""What was deleted from an archive stays out of it, whatever is added later."""

import json

import pytest

from mcmfh_lightning.archive import build as build_module
from mcmfh_lightning.archive import source as source_module
from mcmfh_lightning.archive.deletion import DELETED_FILE, Deleted
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main

from .collection import write_checkpoint, write_features

COUNT = 70
PATIENT = {"pair 010", "pair 011"}  # group P-005
ALL = {f"pair {number:03d}" for number in range(COUNT)}


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collection")
    write_features(folder / "features", range(COUNT))
    write_features(folder / "without", [number for number in range(COUNT) if number != 11])
    write_checkpoint(folder / "hasher.ckpt")
    return folder


@pytest.fixture
def run(collection, tmp_path, capsys):
    """A command over the archive; what it prints."""

    def call(command, *options, features=None):
        shards = ["--features", str(collection / features)] if features else []
        shards += ["--checkpoint", str(collection / "hasher.ckpt")] if command == "build" else []
        capsys.readouterr()
        main([command, str(tmp_path / "archive"), *shards, *options])
        return " ".join(capsys.readouterr().out.split())

    return call


@pytest.fixture
def archive(run, tmp_path):
    run("build", features="features")
    return tmp_path / "archive"


def ids(archive):
    return set(ItemTable.open(archive).select(["id"])["id"].to_pylist())


@pytest.mark.parametrize("again", ["build", "add", "upsert"])
def test_a_patient_who_withdrew_stays_out(run, archive, again):
    said = run("delete", "--groups", "P-005", "--erase")
    assert "2 items deleted; 68 items" in said
    assert "build, add and upsert of this archive leave them out from now on" in said
    for name in (*PATIENT, "P-005"):
        assert not any(name.encode() in file.read_bytes() for file in archive.rglob("*") if file.is_file())
    said = run(again, features="features")
    assert f"0 new items, 68 {'replaced' if again == 'upsert' else 'were there'}; 68 items" in said
    assert "2 items were deleted from this archive earlier and stay out; --restore-deleted adds them" in said
    assert ids(archive) == ALL - PATIENT
    assert PATIENT.isdisjoint(hit.item.id for hit in Archive.open(archive).search(id="pair 001", k=COUNT).hits)
    run("verify")


def test_what_was_deleted_is_restored_on_request(run, archive):
    run("delete", "--groups", "P-005", "--ids", "pair 020")
    said = run("add", "--restore-deleted", features="features")
    assert "3 new items, 67 were there; 70 items" in said
    assert "stay" not in said
    assert ids(archive) == ALL
    assert json.loads((archive / DELETED_FILE).read_text())["hashes"] == []
    run("delete", "--ids", "pair 020")
    assert "1 item was deleted from this archive earlier and stays out" in run("add", features="features")


def test_new_items_of_a_deleted_group_stay_out(run, tmp_path):
    run("build", features="without")
    run("delete", "--groups", "P-005", "--ids", "not there yet")
    assert "2 items were deleted" in run("add", features="features")
    assert ids(tmp_path / "archive") == ALL - PATIENT


def test_an_interrupted_deletion_is_noticed_and_completed(run, archive, capsys):
    """Killed between the list and the table, of which the second is missing."""
    place = Location(archive)
    Deleted.load(place, ArchiveInfo.load(place).uid).with_items([], ["P-005"]).write(place)
    with pytest.raises(SystemExit) as ended:
        run("verify")
    assert ended.value.code == 1
    assert "deleted items stay out" in capsys.readouterr().out
    run("upsert", features="features")
    assert "2 items deleted; 68 items" in run("delete", "--groups", "P-005")
    assert "0 items deleted; 68 items" in run("delete", "--groups", "P-005", "--erase"), "interrupted before it erased"
    run("verify")


def test_what_is_deleted_while_a_command_adds_it_stays_out(run, archive, monkeypatch):
    monkeypatch.setattr(build_module, "COMMIT_ITEMS", 20)
    monkeypatch.setattr(source_module, "_FEATURE_ROWS", 20)
    add, deleted = ItemTable.add, []

    def after_a_deletion(table, batch, **options):
        if "pair 010" in batch["id"].to_pylist() and not deleted:
            deleted.append(True)
            main(["delete", str(archive), "--groups", "P-005"])
        return add(table, batch, **options)

    monkeypatch.setattr(ItemTable, "add", after_a_deletion)
    said = run("upsert", features="features")
    assert deleted
    assert "0 new items, 68 replaced; 68 items" in said
    assert "2 items were deleted" in said
    assert ids(archive) == ALL - PATIENT


def test_hashes_of_two_archives_have_nothing_in_common():
    lists = [Deleted(uid).with_items(["pair 010"], ["P-005"]) for uid in "ab"]
    assert lists[0].hashes.isdisjoint(lists[1].hashes)
    assert not Deleted("a").has_group("\udcff")


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is damaged"), ('{"format_version": 1}', "is damaged"), ('{"format_version": 9, "hashes": []}', "reads 1")],
)
def test_a_list_that_cannot_be_read_is_refused(run, archive, capsys, content, message):
    (archive / DELETED_FILE).write_text(content)
    for command in ("add", "upsert"):
        with pytest.raises(SystemExit) as ended:
            run(command, features="features")
        assert ended.value.code == 2
        assert message in capsys.readouterr().err


def test_deleting_says_where_the_data_still_are(run, archive):
    said = run("delete", "--ids", "pair 010")
    assert f"their data stay on the disk until `mcmfh-archive delete {archive} --erase`" in said
    assert "stay on the disk" not in run("delete", "--ids", "pair 010"), "nothing was deleted"
    assert "stay on the disk" not in run("delete", "--erase")


def test_adding_says_which_labels_differ_and_how_many_were_replaced(run, archive, collection, tmp_path):
    renamed = write_features(tmp_path / "renamed", range(COUNT + 5), ["effusion", "opacity", "normal"])
    assert (
        run("add", "--features", str(renamed)).partition(": ")[2] == "5 new items, 70 were there; 75 items, version 3"
    )
    dataset = renamed / "dataset.json"
    dataset.write_text(dataset.read_text().replace('"normal"', '"no finding"'))
    said = run("add", "--features", str(renamed))
    with_label = sum(number % 3 == 0 and number % 4 != 3 for number in range(COUNT + 5))
    assert "0 new items, 75 were there; 75 items" in said
    assert f"{with_label} of those that were there have other labels in the shards: `mcmfh-archive upsert`" in said
    said = run("upsert", "--features", str(renamed))
    assert "0 new items, 75 replaced; 75 items" in said
    assert "other labels" not in run("add", "--features", str(renamed))
