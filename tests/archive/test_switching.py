"""A link that names the archive in use: it is switched at once, and nobody who reads or writes is disturbed."""

import json
import re
import shlex
import shutil
import threading
from pathlib import Path

import pytest

from mcmfh_lightning.archive import build as build_module
from mcmfh_lightning.archive import source as source_module
from mcmfh_lightning.archive.info import ArchiveInfo, Location
from mcmfh_lightning.archive.search import Archive, SwitchedError
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.archive.switching import switch_archive
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.errors import McmfhError

from .collection import write_checkpoint, write_features
from .commands import refused
from .phantom_archive import untrained_checkpoint

COUNT = 70


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Archives ``one`` and ``two`` of the same items by two hashers, and ``more`` features."""
    folder = tmp_path_factory.mktemp("collection")
    write_features(folder / "features", range(COUNT))
    write_features(folder / "more", range(COUNT, COUNT + 40))
    for seed, name in enumerate(("one", "two")):
        write_checkpoint(folder / f"{name}.ckpt", seed=seed)
        create = ["--checkpoint", str(folder / f"{name}.ckpt"), "--features", str(folder / "features")]
        main(["build", str(folder / name), *create])
    return folder


@pytest.fixture
def folder(collection, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(collection / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def run(capsys):
    def call(*command):
        capsys.readouterr()
        main(list(map(str, command)))
        return " ".join(capsys.readouterr().out.split())

    return call


def ids(archive):
    return set(ItemTable.open(archive).select(["id"])["id"].to_pylist())


def switch(run, link, archive):
    return run("switch", link, archive, "--without-encoder")


def test_a_link_is_switched_and_switched_back(run, folder):
    link, one, two = folder / "live", folder / "one", folder / "two"
    assert f"{link}: names {one} now; {COUNT} items" in switch(run, link, one)
    said = switch(run, link, two)
    assert f"back: mcmfh-archive switch {link} {one}" in said
    assert ArchiveInfo.load(link).uid == ArchiveInfo.load(two).uid
    assert "back" not in switch(run, link, two), "it names it already"
    switch(run, link, one)
    assert ArchiveInfo.load(link).uid == ArchiveInfo.load(one).uid
    assert {entry.name for entry in folder.iterdir()} == {"live", "one", "two"}
    moved = folder.rename(folder.with_name("moved"))
    assert ArchiveInfo.load(moved / "live").uid == ArchiveInfo.load(moved / "one").uid


def test_who_has_the_archive_open_stays_with_it(run, folder):
    link = folder / "live"
    switch(run, link, folder / "one")
    opened = Archive.open(link)
    before = opened.search(id="pair 001", k=20).hits
    assert not opened.refresh()
    switch(run, link, folder / "two")
    assert opened.search(id="pair 001", k=20).hits == before
    with pytest.raises(SwitchedError, match="names another archive by now"):
        opened.refresh()
    assert opened.search(id="pair 001", k=20).hits == before
    assert (
        Archive.open(link).search(id="pair 001", k=20).hits
        == Archive.open(folder / "two").search(id="pair 001", k=20).hits
        != before
    )
    switch(run, link, folder / "one")
    assert not opened.refresh(), "switched back"


def test_a_command_that_writes_stays_with_the_archive_it_began_with(run, collection, folder, monkeypatch):
    """Else its commits would be in the other archive, and name files that this one does not have."""
    monkeypatch.setattr(build_module, "COMMIT_ITEMS", 10)
    monkeypatch.setattr(build_module, "_QUICK", 1)
    monkeypatch.setattr(source_module, "_FEATURE_ROWS", 10)
    add, commits, link = ItemTable.add, [], folder / "live"

    def between(table, batch, **options):
        commits.append(len(batch))
        if len(commits) == 2:
            main(["switch", str(link), str(folder / "two"), "--without-encoder"])
        return add(table, batch, **options)

    monkeypatch.setattr(ItemTable, "add", between)
    switch(run, link, folder / "one")
    run("add", link, "--features", collection / "more")
    assert len(commits) >= 4
    assert len(ids(folder / "one")) == COUNT + 40
    assert len(ids(folder / "two")) == COUNT
    for name in ("one", "two"):
        run("verify", folder / name, "--features", collection / "features")


def test_a_reader_finds_one_of_the_two_at_any_moment(folder):
    link, ended, failed, seen = folder / "live", threading.Event(), [], set()
    for name in ("one", "two"):
        switch_archive(str(link), str(folder / name), encoder=False)

    def read():
        while not ended.is_set():
            try:
                seen.add(ArchiveInfo.load(link).uid)
                assert Location(link).read("hasher.ckpt")
                assert len(ItemTable.open(link)) == COUNT
            except Exception as error:
                failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(10):
        switch_archive(str(link), str(folder / ("one", "two")[turn % 2]), encoder=False)
    ended.set()
    reader.join()
    assert not failed
    assert seen == {ArchiveInfo.load(folder / name).uid for name in ("one", "two")}


@pytest.mark.parametrize("own", [set(), {"pair 060"}])
def test_what_was_deleted_stays_out_in_both_directions(run, collection, folder, own):
    """Also if both have lists of their own, which have nothing in common."""
    link, one, two = folder / "live", folder / "one", folder / "two"
    switch(run, link, one)
    for name in own:
        run("delete", two, "--ids", name)
    run("delete", link, "--ids", "pair 004", "--groups", "P-005")
    said = switch(run, link, two)
    assert f"3 items deleted, as from {one} earlier" in said
    assert f"mcmfh-archive delete {two} --erase" in said
    assert ids(two) == ids(one) - own
    assert "deleted from this archive earlier" in run("add", link, "--features", collection / "features")
    assert ids(two) == ids(one) - own
    run("delete", link, "--groups", "P-010")
    assert f"{2 + len(own)} items deleted" in switch(run, link, one)
    assert ids(two) == ids(one)
    assert len(ids(one)) == COUNT - 5 - len(own)
    assert "items deleted" not in switch(run, link, two)


def test_items_that_the_new_one_lacks_are_counted(run, collection, folder):
    switch(run, folder / "live", folder / "one")
    run("add", folder / "live", "--features", collection / "more")
    said = switch(run, folder / "live", folder / "two")
    assert "40 items of the archive before are not in it" in said
    assert "not in it" not in switch(run, folder / "live", folder / "one")


def test_what_is_not_a_link_stays_as_it_is(folder, capsys, monkeypatch):
    one, two, link = folder / "one", folder / "two", folder / "live"
    said = refused(capsys, "switch", one, two, "--without-encoder")
    assert f"{one} is not a link: if it is the archive, rename it first" in said
    assert f"mv {one} {one}-1 && mcmfh-archive switch {one} {one}-1" in said
    for command in (["s3://bucket/live", two], [link, "s3://bucket/two"]):
        assert "an object store has no links" in refused(capsys, "switch", *command)
    assert "holds no archive" in refused(capsys, "switch", link, folder / "none", "--without-encoder")
    assert not link.is_symlink()
    switch_archive(str(link), str(one), encoder=False)
    (two / "hasher.ckpt").write_bytes(b"")
    assert "hasher.ckpt" in refused(capsys, "switch", link, two), "its queries could not be hashed"
    assert ArchiveInfo.load(link).uid == ArchiveInfo.load(one).uid
    assert {entry.name for entry in folder.iterdir()} == {"live", "one", "two"}


def test_a_link_that_leads_nowhere_is_switched(run, folder):
    link = folder / "live"
    link.symlink_to("gone")
    assert f"{link}: names {folder / 'one'} now" in switch(run, link, folder / "one")


@pytest.fixture(scope="module")
def rebuilt(phantom_archive, phantom_pairs, phantom_features):
    """An archive of the same films by another hasher."""
    checkpoint = untrained_checkpoint(phantom_pairs.parent / "wider.ckpt", phantom_pairs, num_bits=32)
    new = phantom_pairs.parent / "rebuilt"
    source = ["--from", str(phantom_archive), "--features", str(phantom_features), "--pairs", str(phantom_pairs)]
    main(["build", str(new), *source, "--checkpoint", str(checkpoint)])
    return new


def test_a_new_model_is_built_compared_and_switched_to(run, phantom_archive, rebuilt, tmp_path, capsys):
    assert ids(rebuilt) == ids(phantom_archive)
    assert ArchiveInfo.load(rebuilt).encoder_spec == ArchiveInfo.load(phantom_archive).encoder_spec
    assert ArchiveInfo.load(rebuilt).store_content
    queries = tmp_path / "queries.txt"
    queries.write_text("\ufeffpleural effusion\n\n  enlarged heart \nno effusion\n")
    compare = ["compare", phantom_archive, rebuilt, "--queries", queries, "--match", "codes"]
    found = json.loads(run(*compare, "--format", "json", "--k", "5"))
    first, second = Archive.open(phantom_archive), Archive.open(rebuilt)
    assert [one["query"] for one in found["queries"]] == ["pleural effusion", "enlarged heart", "no effusion"]
    for one in found["queries"]:
        ours, theirs = (
            [hit.item.id for hit in archive.search(text=one["query"], k=5, match="codes").hits[:5]]
            for archive in (first, second)
        )
        assert one["overlap"] == len(set(ours) & set(theirs)) / 5
        assert one["same_first"] == (ours[0] == theirs[0])
    shown = run(*compare)
    assert "median of 3 queries" in shown
    assert "enlarged heart" in shown
    same = json.loads(run("compare", rebuilt, rebuilt, "--queries", queries, "--format", "json"))
    assert (same["median_overlap"], same["median_rank_biased_overlap"], same["same_first"]) == (1, 1, 3)


def test_the_commands_of_the_guide(repository, phantom_archive, phantom_pairs, tmp_path, monkeypatch):
    page = (repository / "docs" / "guides" / "archive.md").read_text()
    section = page.partition("## Operating it\n")[2].partition("\n## ")[0]
    lines = "".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL)).splitlines()
    lines += re.findall(r"`(mcmfh-archive [^`]+)`", section)
    commands = [shlex.split(line, comments=True) for line in lines]
    assert {program for program, *_ in commands} == {"mcmfh-archive"}
    names = ["tag", "tags", "restore", "switch", "build", "compare", "switch", "switch", "tag"]
    assert [words[1] for words in commands] == names
    monkeypatch.chdir(tmp_path)
    shutil.copytree(phantom_archive, "archive")
    Path("queries.txt").write_text("pleural effusion\n")
    checkpoint = Path("runs/new/fit/checkpoints/best.ckpt")
    checkpoint.parent.mkdir(parents=True)
    untrained_checkpoint(checkpoint, phantom_pairs, num_bits=32)
    bits = []
    for _, *words in commands:
        main(words)
        if words[0] == "build":
            assert ids(words[1]) == ids(phantom_archive), "from the pair shards that the first remembers"
        if words[0] == "switch":
            bits.append(Archive.open("live").search(text="pleural effusion").num_bits)
    assert bits == [16, 32, 16]


def test_queries_that_cannot_be_read_are_refused(phantom_archive, tmp_path, capsys):
    queries = tmp_path / "queries.txt"
    compare = ["compare", phantom_archive, phantom_archive, "--queries", queries]
    assert f"{queries}: cannot be read" in refused(capsys, *compare)
    queries.write_text("\n \n")
    assert f"{queries} holds no query" in refused(capsys, *compare)


def test_an_encoder_that_cannot_be_built_is_found_before_the_switch(folder):
    """The planted one of these archives does not exist."""
    with pytest.raises(McmfhError):
        switch_archive(str(folder / "live"), str(folder / "one"))
    assert not (folder / "live").is_symlink()
