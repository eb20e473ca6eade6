"""An archive that is built again with another hasher, next to the one in use."""

import shutil

import pytest

from mcmfh_lightning.archive import build as build_module
from mcmfh_lightning.archive import source as source_module
from mcmfh_lightning.archive.info import ArchiveInfo
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main

from .collection import write_checkpoint, write_features, write_pairs
from .commands import refused, rows

COUNT = 70
PATIENT = {"pair 010", "pair 011"}  # group P-005


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collection")
    for name, numbers in {"all": range(COUNT), "late": range(COUNT, COUNT + 10)}.items():
        write_pairs(folder / name / "pairs", numbers)
        write_features(folder / name / "features", numbers)
    write_features(folder / "without" / "features", [number for number in range(COUNT) if number != 11])
    write_checkpoint(folder / "old.ckpt")
    write_checkpoint(folder / "new.ckpt", num_bits=24, seed=1)
    create = ["--checkpoint", str(folder / "old.ckpt"), "--store-content", "--without-relaxed"]
    main(["build", str(folder / "archive"), *create, *shards(folder)])
    return folder


def shards(folder, name="all"):
    return ["--features", str(folder / name / "features"), "--pairs", str(folder / name / "pairs")]


@pytest.fixture
def old(collection, tmp_path):
    return shutil.copytree(collection / "archive", tmp_path / "old")


@pytest.fixture
def run(tmp_path, capsys):
    def call(*command):
        capsys.readouterr()
        main(list(map(str, command)))
        return " ".join(capsys.readouterr().out.split())

    return call


def test_the_new_archive_has_the_items_of_the_old_one_and_its_own_codes(run, collection, old, tmp_path):
    run("delete", old, "--groups", "P-005", "--ids", "pair 020")
    new, afresh = tmp_path / "new", tmp_path / "afresh"
    said = run("build", new, "--from", old, "--checkpoint", collection / "new.ckpt", *shards(collection))
    assert f"{new}: 67 new items, 0 were there; 67 items" in said
    assert "more" not in said
    create = ["--checkpoint", collection / "new.ckpt", "--store-content", "--without-relaxed"]
    run("build", afresh, *create, *shards(collection))
    run("delete", afresh, "--groups", "P-005", "--ids", "pair 020")
    assert rows(new) == rows(afresh)
    assert rows(new).keys() == rows(old).keys()
    assert ArchiveInfo.load(new).num_bits == 24
    assert "0 new items, 67 were there" in run(
        "build", new, "--from", old, "--checkpoint", collection / "new.ckpt", *shards(collection)
    )
    run("verify", new, *shards(collection))


def test_what_was_deleted_from_the_old_one_stays_out_of_the_new_one(run, collection, tmp_path):
    """Also an item of a deleted group that neither the old archive nor the shards of the new one ever had."""
    old, new = tmp_path / "old", tmp_path / "new"
    without = ["--features", collection / "without" / "features"]
    run("build", old, "--checkpoint", collection / "old.ckpt", *without)
    run("delete", old, "--groups", "P-005", "--ids", "not there yet")
    run("build", new, "--from", old, "--checkpoint", collection / "new.ckpt", *without)
    everything = ["--features", collection / "all" / "features"]
    assert "2 items were deleted from this archive earlier and stay out" in run("add", new, *everything)
    assert not PATIENT & rows(new).keys()
    run("delete", new, "--ids", "pair 020")
    assert "3 items were deleted" in run("add", new, *everything)
    assert "2 new items" in run("add", old, *everything, "--restore-deleted"), "of the old one alone"
    assert "3 items were deleted" in run("add", new, *everything)


def test_what_is_deleted_while_the_new_one_is_built_stays_out(run, collection, old, tmp_path, monkeypatch):
    monkeypatch.setattr(build_module, "COMMIT_ITEMS", 20)
    monkeypatch.setattr(source_module, "_FEATURE_ROWS", 20)
    add, commits = ItemTable.add, []

    def between(table, batch, **options):
        commits.append(batch["id"].to_pylist())
        if len(commits) == 3:  # pair 004 was in the first commit, pair 069 is yet to come
            main(["delete", str(old), "--ids", "pair 004", "--ids", "pair 069"])
        return add(table, batch, **options)

    monkeypatch.setattr(ItemTable, "add", between)
    new = tmp_path / "new"
    said = run("build", new, "--from", old, "--checkpoint", collection / "new.ckpt", *shards(collection))
    assert "pair 004" in commits[0]
    assert "pair 069" not in {name for names in commits[:2] for name in names}
    assert f"2 items deleted, as from {old}" in said
    assert "more" not in said
    assert rows(new).keys() == rows(old).keys()
    assert len(rows(new)) == COUNT - 2


def test_what_was_added_meanwhile_is_named_and_added_by_the_same_command(run, collection, old, tmp_path):
    new = tmp_path / "new"
    run("add", old, *shards(collection, "late"))
    create = ["build", new, "--from", old, "--checkpoint", collection / "new.ckpt"]
    said = run(*create, *shards(collection))
    assert f"{old} has 10 items more, which were added since or are not in these shards: repeat" in said
    said = run(*create, *shards(collection, "late"))
    assert "10 new items, 0 were there; 80 items" in said
    assert "more" not in said
    assert rows(new).keys() == rows(old).keys()


def test_what_cannot_be_built_again_is_refused(run, collection, old, tmp_path, capsys):
    checkpoint = ["--checkpoint", collection / "new.ckpt"]
    create = ["build", tmp_path / "new", "--from", old, *checkpoint]
    for more in (["--splits", "test"], ["--restore-deleted"]):
        assert "leave out --splits and --restore-deleted" in refused(capsys, *create, *shards(collection), *more)
    assert "is the archive of --from itself" in refused(capsys, "build", old, "--from", old, *checkpoint)
    assert "holds no archive" in refused(capsys, "build", tmp_path / "new", "--from", tmp_path / "none", *checkpoint)
    of_features = tmp_path / "of features"
    features = ["--features", collection / "without" / "features"]
    run("build", of_features, "--checkpoint", collection / "old.ckpt", *features)
    said = refused(capsys, "build", tmp_path / "new", "--from", of_features, *checkpoint)
    assert "does not know the pair shards of 69 items" in said
    assert "pass --features or --pairs" in said
    moved = (collection / "all").rename(collection / "moved")
    try:
        assert f"not on this machine ({collection / 'all' / 'pairs'})" in refused(capsys, *create)
    finally:
        moved.rename(collection / "all")
    assert not (tmp_path / "new").exists()
