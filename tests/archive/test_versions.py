"""Named versions of an archive: what they keep, and how one is restored."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from mcmfh_lightning.archive import store as store_module
from mcmfh_lightning.archive.deletion import DELETED_FILE
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.cli.archive import main
from mcmfh_lightning.errors import DataError

from .collection import LABELS, write_checkpoint, write_features, write_pairs
from .commands import refused

COUNT = 70
ALL = {f"pair {number:03d}" for number in range(COUNT)}


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Folders ``first``, ``without`` (lacks group P-005), ``more`` (20 others, and one label), ``changed`` (labels)."""
    folder = tmp_path_factory.mktemp("collection")
    kinds = {
        "first": (range(COUNT), LABELS),
        "without": ([number for number in range(COUNT) if number not in (10, 11)], LABELS),
        "more": (range(COUNT, COUNT + 20), [*LABELS, "nodule"]),
        "changed": (range(COUNT), LABELS[::-1]),
    }
    for name, (numbers, labels) in kinds.items():
        write_pairs(folder / name / "pairs", numbers, labels)
        write_features(folder / name / "features", numbers, labels)
    write_checkpoint(folder / "hasher.ckpt")
    built = folder / "archive"
    main(["build", str(built), "--checkpoint", str(folder / "hasher.ckpt"), "--store-content", *shards(folder)])
    return folder


def shards(folder, name="first"):
    return ["--features", str(folder / name / "features"), "--pairs", str(folder / name / "pairs")]


@pytest.fixture
def archive(collection, tmp_path):
    return shutil.copytree(collection / "archive", tmp_path / "archive")


@pytest.fixture
def run(archive, capsys):
    """A command over the archive; what it prints."""

    def call(command, *options):
        capsys.readouterr()
        main([command, str(archive), *options])
        return " ".join(capsys.readouterr().out.split())

    return call


def rows(table):
    found = table.select(table.schema.names).drop_columns(["_rowid"]).to_pylist()
    by_id = {row.pop("id"): row for row in found}
    assert len(by_id) == len(found), "each once"
    return by_id


def answers(archive):
    """What users see of an archive, by codes, by words and as counts."""
    opened = Archive.open(archive)
    ids = sorted(rows(ItemTable.open(archive)))
    by_item = [opened.search(id=name, k=COUNT, rerank=rerank).hits for name in ids[::9] for rerank in (0, 300)]
    words = [opened.search(text=text, match="words", k=COUNT) for text in ("finding 4", "O'Hara", "finding 75")]
    return by_item, [(found.hits, found.with_words) for found in words], opened.facets().splits, len(opened)


def test_a_restored_archive_is_the_one_that_was_tagged(run, archive, collection):
    said = run("tag", "before")
    assert f"{archive}: version {ItemTable.open(archive).version} has the tag before; {COUNT} items" in said
    before, seen = rows(ItemTable.open(archive)), answers(archive)
    run("add", *shards(collection, "more"))
    run("upsert", *shards(collection, "changed"))
    assert rows(ItemTable.open(archive)) != before
    assert len(Archive.open(archive)) == COUNT + 20
    reader, version = Archive.open(archive), ItemTable.open(archive).version
    said = run("restore", "before")
    assert f"restored tag before; {COUNT} items, version" in said
    assert "stay" not in said
    assert rows(ItemTable.open(archive)) == before
    assert answers(archive) == seen, "codes, words and counts"
    assert ItemTable.open(archive).version > version
    assert reader.refresh()
    assert len(reader) == COUNT
    run("verify", *shards(collection))
    run("add", *shards(collection, "more"))
    assert len(Archive.open(archive)) == COUNT + 20


def _place(hit):
    return hit.item.id, hit.distance, hit.similarity


def test_what_was_deleted_since_stays_out(run, archive, collection, tmp_path):
    """The restored archive is one that was built without the patient."""
    run("tag", "before")
    run("delete", "--groups", "P-005")
    run("add", *shards(collection, "more"))
    version = ItemTable.open(archive).version
    before, said = rows(ItemTable.open(archive)), run("restore", "before")
    assert "68 items" in said
    assert "2 items were deleted from this archive since and stay out; --restore-deleted brings them back" in said
    other = tmp_path / "built"
    create = ["--checkpoint", str(collection / "hasher.ckpt"), "--store-content", *shards(collection, "without")]
    main(["build", str(other), *create])
    places = {"split", "folder", "shard"}  # of an item in its collection
    found, expected = (
        {name: {key: value for key, value in row.items() if key not in places} for name, row in table.items()}
        for table in (rows(ItemTable.open(archive)), rows(ItemTable.open(other)))
    )
    assert found == expected
    assert found.keys() == ALL - {"pair 010", "pair 011"}
    (ours, by_words, _, _), (theirs, same_words, _, _) = answers(archive), answers(other)
    assert [list(map(_place, hits)) for hits in ours] == [list(map(_place, hits)) for hits in theirs]
    for (hits, number), (others, same) in zip(by_words, same_words, strict=True):
        assert {hit.item.id for hit in hits} == {hit.item.id for hit in others}
        assert number == same
    run("verify", *shards(collection))
    states = [rows(ItemTable.open(archive, at)) for at in range(version, ItemTable.open(archive).version + 1)]
    after = rows(ItemTable.open(archive))
    assert states[0] == before
    assert all(state in (before, after) for state in states), "no commit between them shows anything else"
    assert "68 items" in run("restore", "before"), "again"
    assert "2 items were deleted" in run("add", *shards(collection))


def test_what_was_deleted_is_restored_on_request(run, archive, collection):
    run("tag", "before")
    before = rows(ItemTable.open(archive))
    run("delete", "--groups", "P-005", "--ids", "pair 020", "--ids", "not there")
    said = run("restore", "before", "--restore-deleted")
    assert f"{COUNT} items" in said
    assert "stay" not in said
    assert rows(ItemTable.open(archive)) == before
    assert len(json.loads((archive / DELETED_FILE).read_text())["hashes"]) == 1, "the one that is not in the version"
    run("verify", *shards(collection))


@pytest.mark.parametrize("restored", [False, True])
def test_everything_of_a_version_may_have_been_deleted(run, archive, restored):
    run("tag", "before")
    run("delete", *(word for name in sorted(ALL) for word in ("--ids", name)))
    if restored:
        said = run("restore", "before")
        assert "0 items" in said
        assert "70 items were deleted from this archive since" in said
    assert rows(ItemTable.open(archive)) == {}
    assert len(Archive.open(archive)) == 0


def test_a_version_of_before_the_words_is_restored_with_them(run, archive):
    """The words of texts are a column that `reindex` adds to an archive of an earlier release."""
    table = ItemTable.open(archive)
    with table.writing() as stored:
        stored.drop_columns(["words"])
    run("tag", "early")
    early = rows(ItemTable.open(archive))
    run("reindex")
    run("delete", "--ids", "pair 020")
    seen = answers(archive)
    run("restore", "early")
    assert answers(archive) == seen
    run("restore", "early", "--restore-deleted")
    assert rows(ItemTable.open(archive)) == early


def test_an_archive_of_version_1_is_restored(earlier_versions, tmp_path, capsys):
    """Its table lacks the names of groups."""
    archive = shutil.copytree(earlier_versions / "archive", tmp_path / "archive")
    before = rows(ItemTable.open(archive))
    assert "group_name" not in ItemTable.open(archive).schema.names
    for command in (["tag", "early"], ["delete", "--groups", "7"], ["restore", "early"]):
        main([command[0], str(archive), *command[1:]])
    assert "stay out" in capsys.readouterr().out
    kept = {name: row for name, row in before.items() if row["group"] != 7}
    assert rows(ItemTable.open(archive)) == kept != before


def test_nothing_of_the_deleted_is_on_the_disk_after_erasing(run, archive, capsys):
    said = run("tag", "one")
    run("tag", "two")
    said = refused(capsys, "delete", archive, "--ids", "pair 004", "--erase")
    assert "tagged versions keep all that they held (one, two)" in said
    assert f"mcmfh-archive tag {archive} one --delete; mcmfh-archive tag {archive} two --delete" in said
    assert len(Archive.open(archive)) == COUNT, "refused before anything was deleted"
    run("delete", "--ids", "pair 004")
    with pytest.raises(DataError, match="tagged versions keep"):
        ItemTable.open(archive).erase()
    assert "removed" in run("tag", "one", "--delete")
    run("tag", "two", "--delete")
    run("delete", "--erase")
    for file in archive.rglob("*"):
        if file.is_file():
            assert not any(name in file.read_bytes() for name in (b"pair 004", b"Finding 4 of"))


def test_compacting_keeps_tagged_versions_of_any_age(run, archive, collection, monkeypatch):
    """LanceDB refuses to compact once a tagged version is old enough to be removed."""
    monkeypatch.setattr(store_module, "_KEPT", timedelta(milliseconds=1))
    run("upsert", *shards(collection, "changed"))
    run("tag", "kept")
    kept, version = rows(ItemTable.open(archive)), ItemTable.open(archive).version
    run("add", *shards(collection, "more"))
    ItemTable.open(archive).compact()
    assert rows(ItemTable.open(archive, version)) == kept
    run("tag", "kept", "--delete")
    ItemTable.open(archive).compact()
    with pytest.raises(DataError, match="cannot"):
        rows(ItemTable.open(archive, version))


def test_tags_are_listed(run, archive, collection, capsys):
    assert "no version has a tag" in run("tags")
    begin = datetime.now(UTC)
    run("upsert", *shards(collection, "changed"))
    run("tag", "b-2")
    run("add", *shards(collection, "more"))
    run("tag", "a.3")
    listed = run("tags")
    assert listed.index("b-2") < listed.index("a.3")
    found = json.loads(run("tags", "--format", "json"))
    assert [(tag["name"], tag["items"]) for tag in found] == [("b-2", COUNT), ("a.3", COUNT + 20)]
    assert found[0]["version"] < found[1]["version"] == ItemTable.open(archive).version
    times = [datetime.fromisoformat(tag["time"]) for tag in found]
    assert begin < times[0] < times[1] < datetime.now(UTC)
    assert "tag b-2 names version" in refused(capsys, "tag", archive, "b-2")
    for command in (["restore", archive, "c"], ["tag", archive, "c", "--delete"]):
        assert "has no tag 'c': there are b-2, a.3" in refused(capsys, *command)


@pytest.mark.parametrize("name", ["", "ä", "a/b", "a b", "..", ".a", "-a", "a.", "a..b", "a.lock", "x" * 101, "a\n"])
def test_names_that_something_would_read_in_another_way_are_refused(archive, capsys, name):
    assert "cannot name a version" in refused(capsys, "tag", archive, "--", name)
    assert not (archive / "items.lance" / "_refs").exists()
