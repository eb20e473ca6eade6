"""Rankings of an archive against distances item by item, counted in plain Python; see also `test_search_metric`."""

import resource
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.archive import Archive, Filters, hash_index
from mcmfh_lightning.archive.address_table import LONGEST
from mcmfh_lightning.archive.filters import QueryError
from mcmfh_lightning.archive.schema import binary_column
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.errors import DataError

from .made import LABELS, SIDES, Made


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Not to be opened or changed."""
    return Made(tmp_path_factory.mktemp("made") / "archive", seed=3, count=200, num_bits=16)


@pytest.fixture(scope="module")
def archive(made, tmp_path_factory):
    """A copy for tests that only search it."""
    return Archive.open(made.copied(tmp_path_factory.mktemp("opened") / "archive").folder)


@pytest.fixture
def own(made, tmp_path):
    """A copy that a test may change, which nobody has opened."""
    return made.copied(tmp_path / "archive")


FILTERS = st.builds(
    Filters,
    labels=st.sampled_from(((), ("Effusion",), ("Cardiomegaly", "normal"))),
    splits=st.sampled_from(((), ("test",))),
    has_text=st.sampled_from((None, True, False)),
)


@pytest.fixture(scope="module")
def no_scan_is_cheaper():
    """A table is searched to the end, though for so few items a scan would be called."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_index, "_CALL", float("inf"))
        yield


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 99),
    count=st.integers(1, 40),
    num_bits=st.sampled_from((5, 16, 64)),
    filters=st.lists(FILTERS, min_size=6, max_size=6),
    modality=st.sampled_from(("image", "text")),
    index=st.sampled_from(("flat", "hash")),
    data=st.data(),
)
@pytest.mark.usefixtures("no_scan_is_cheaper")
def test_ids_and_distances_are_those_of_plain_python(seed, count, num_bits, filters, modality, index, data):
    folder = Path(tempfile.mkdtemp())
    try:
        made = Made(folder / "archive", seed, count, num_bits)
        index = index if num_bits <= LONGEST else "flat"
        archive = Archive.open(folder / "archive", index=index)
        having = [place for place in range(count) if made.has[modality][place]]
        for chosen in filters if having else ():
            query = data.draw(st.sampled_from(having))
            against = data.draw(st.sampled_from(SIDES))
            k = data.draw(st.integers(1, count + 2))
            radius = data.draw(st.none() | st.integers(0, num_bits))
            distances = made.distances(query, modality, against)
            expected = sorted((distances[place], made.ids[place]) for place in made.passing(query, against, chosen))
            result = archive.search(
                id=made.ids[query], modality=modality, against=against, filters=chosen, k=k, radius=radius, rerank=0
            )
            assert result.candidates == len(expected)
            shown = expected[:k] if radius is None else [entry for entry in expected if entry[0] <= radius]
            assert [(hit.distance, hit.item.id) for hit in result.hits] == shown
            assert [hit.rank for hit in result.hits] == list(range(1, len(shown) + 1))
            assert result.total == len(shown)
            assert result.index == index
            assert {hit.similarity for hit in result.hits} <= {None}
            end = shown[-1][0] if shown else None
            assert result.tie_distance == end
            assert result.ties == sum(distance == end for distance, _ in expected)
            assert result.tied_shown == sum(distance == end for distance, _ in shown)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(("k", "rerank"), [(10, 40), (100, 7), (10, 1), (300, 300), (3, 200)])
def test_the_nearest_are_ranked_again_with_all_that_tie_with_the_last_of_them(made, archive, k, rerank):
    query = int(np.flatnonzero(made.has["text"])[0])
    distances = made.distances(query, "text", "image")
    by_codes = sorted(made.passing(query, "image", Filters()), key=lambda place: (distances[place], made.ids[place]))
    end = distances[by_codes[min(rerank, len(by_codes)) - 1]]
    head = [place for place in by_codes if distances[place] <= end]
    head.sort(key=lambda place: (-made.cosine(query, "text", "image", place), distances[place], made.ids[place]))
    expected = [*head, *by_codes[len(head) :]][:k]
    result = archive.search(id=made.ids[query], modality="text", against="image", k=k, rerank=rerank)
    assert result.reranked == len(head)
    assert [hit.item.id for hit in result.hits] == [made.ids[place] for place in expected]
    assert [hit.distance for hit in result.hits] == [distances[place] for place in expected]
    for hit, place in zip(result.hits, expected, strict=True):
        if place in head:
            assert hit.similarity == pytest.approx(made.cosine(query, "text", "image", place))
        else:
            assert hit.similarity is None
    cut = distances[by_codes[len(expected) - 1]]
    assert result.tie_distance == cut
    assert result.ties == sum(distances[place] == cut for place in by_codes)
    assert result.tied_shown == sum(distances[place] == cut for place in expected)
    assert result.tied_reranked == sum(distances[place] == cut for place in head)


def test_an_archive_without_relaxed_codes_ranks_by_codes_alone(tmp_path):
    made = Made(tmp_path / "archive", seed=3, count=50, num_bits=16, keep_relaxed=False)
    archive = Archive.open(made.folder)
    query = made.ids[int(np.flatnonzero(made.has["image"])[0])]
    asked, without = archive.search(id=query, k=50), archive.search(id=query, k=50, rerank=0)
    assert asked.reranked == 0
    assert asked.hits == without.hits


@pytest.mark.parametrize("query", [{"k": 60}, {"radius": 7}, {"k": 60, "rerank": 0}, {"k": 300, "rerank": 20}])
def test_pages_are_parts_of_the_whole_ranking(made, archive, query):
    name = made.ids[int(np.flatnonzero(made.has["image"])[0])]
    whole = archive.search(id=name, **query)
    assert len(whole.hits) == whole.total > 14
    pages = [archive.search(id=name, offset=offset, limit=7, **query) for offset in range(0, whole.total + 7, 7)]
    assert [hit for page in pages for hit in page.hits] == list(whole.hits)
    for page in pages:
        assert (page.total, page.ties, page.tied_shown) == (whole.total, whole.ties, whole.tied_shown)


def test_which_code_an_item_is_searched_by(made, archive):
    both = int(np.flatnonzero(made.has["image"] & made.has["text"])[0])
    assert archive.search(id=made.ids[both], k=1).query_modality == "image"
    only_text = int(np.flatnonzero(~made.has["image"])[0])
    assert archive.search(id=made.ids[only_text], k=1).query_modality == "text"
    with pytest.raises(DataError, match="has no image: search by its other modality"):
        archive.search(id=made.ids[only_text], modality="image")


def test_what_is_known_of_an_item_comes_with_it(made, archive):
    for place in range(0, len(made.ids), 13):
        item = archive.item(made.ids[place])
        assert (item.id, item.group, item.split) == (made.ids[place], f"P-{made.groups[place]}", made.splits[place])
        assert list(item.labels) == made.labels[place]
        assert (item.has_image, item.has_text) == (made.has["image"][place], made.has["text"][place])
    query = next(place for place in range(200) if made.has["image"][place] and len(made.labels[place]) > 1)
    for hit in archive.search(id=made.ids[query], k=50, filters=Filters(any_labels=("normal", "Effusion"))).hits:
        wanted = {*made.labels[query], "normal", "Effusion"}
        assert list(hit.shared_labels) == [label for label in hit.item.labels if label in wanted]


def test_facets_count_the_items(made, archive):
    facets = archive.facets()
    assert facets.items == 200
    assert facets.with_image == made.has["image"].sum()
    assert facets.with_text == made.has["text"].sum()
    counts = {label: sum(label in labels for labels in made.labels) for label in LABELS}
    assert facets.labels == counts
    assert list(facets.labels.values()) == sorted(counts.values(), reverse=True)
    assert facets.splits == {split: made.splits.count(split) for split in ("train", "test")}
    assert facets.licences == {"CC0": 200}
    assert facets.dates is None


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "one of text, image and id"),
        ({"text": "effusion", "id": "a"}, "one of text, image and id"),
        ({"text": "effusion", "modality": "text"}, "give its id"),
        ({"id": "a", "k": 0}, "k=0 is less than 1"),
        ({"id": "a", "radius": -1}, "radius=-1 is less than 0"),
        ({"id": "a", "rerank": -1}, "rerank=-1 is less than 0"),
        ({"id": "a", "offset": -1}, "offset=-1 is less than 0"),
        ({"id": "a", "limit": 0}, "limit=0 is less than 1"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(archive, query, message):
    with pytest.raises(QueryError, match=message):
        archive.search(**query)


def test_an_unknown_id_or_label_is_named(made, archive):
    for name in ("", "zzz", "é", made.ids[0] + "0000"):
        with pytest.raises(DataError, match="has no item"):
            archive.search(id=name)
    with pytest.raises(DataError, match="'Efusion' is unknown"):
        archive.search(id=made.ids[0], filters=Filters(labels=("Efusion",)))


def test_a_change_is_seen_after_refresh_and_not_before(own):
    archive = Archive.open(own.folder)
    query = own.ids[int(np.flatnonzero(own.has["image"])[0])]
    before = archive.search(id=query, against="case", k=200, rerank=0)
    assert not archive.refresh()
    gone = before.hits[0].item.id
    ItemTable.open(own.folder).delete([gone])
    assert archive.search(id=query, against="case", k=200, rerank=0).hits == before.hits
    version = archive.version
    assert archive.refresh()
    assert archive.version > version
    assert len(archive) == 199
    after = archive.search(id=query, against="case", k=200, rerank=0)
    assert [hit.item.id for hit in after.hits] == [hit.item.id for hit in before.hits[1:]]
    with pytest.raises(DataError, match="has no item"):
        archive.item(gone)


def test_files_of_codes_are_built_once_and_old_ones_removed(own):
    Archive.open(own.folder)
    index = own.folder / "index"
    [built] = [entry for entry in index.iterdir() if entry.is_dir()]
    written = {file.name: file.stat().st_mtime_ns for file in built.iterdir()}
    Archive.open(own.folder)
    assert {file.name: file.stat().st_mtime_ns for file in built.iterdir()} == written
    (index / ".part-99").mkdir()  # of a killed process
    ItemTable.open(own.folder).delete(own.ids[:1])
    archive = Archive.open(own.folder)
    assert [entry.name for entry in index.iterdir() if entry.is_dir()] == [str(archive.version)]


def test_only_what_is_nowhere_else_is_read_from_the_table(own, monkeypatch):
    """Each read of LanceDB takes milliseconds, and each column of it a tenth of a second of a million items."""
    scanned, taken = [], []
    scan, read = ItemTable.select, ItemTable.take

    def select(table, columns, where=None):
        scanned.append(list(columns))
        return scan(table, columns, where)

    def take(table, row_ids, columns):
        taken.append(list(columns))
        return read(table, row_ids, columns)

    monkeypatch.setattr(ItemTable, "select", select)
    monkeypatch.setattr(ItemTable, "take", take)
    archive = Archive.open(own.folder)
    assert sorted(scanned[1:]) == sorted([f"{side}_code", f"{side}_relaxed"] for side in SIDES)
    assert not {"text", "thumbnail", "source", "folder", "shard"} & set(scanned[0])
    again = Archive.open(own.folder)
    assert len(scanned) == 1 + len(SIDES), "the files are there by now"
    taken.clear()
    for one in (archive, again):
        assert one.search(id=own.ids[0], filters=Filters(labels=("Effusion",), splits=("test",))).hits
    assert taken == [["source", "text", "folder", "shard"]] * 2, "hits alone, and not the item that is searched by"


@pytest.mark.parametrize("name", ["items.arrow", "case_code.npy", "image_relaxed.npy"])
@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"no such file")])
def test_damaged_files_of_codes_are_built_again(own, name, damage):
    query = own.ids[int(np.flatnonzero(own.has["image"])[0])]
    before = Archive.open(own.folder).search(id=query)
    [folder] = [entry for entry in (own.folder / "index").iterdir() if entry.is_dir()]
    damage(folder / name)
    assert Archive.open(own.folder).search(id=query).hits == before.hits


def test_an_archive_made_again_in_the_same_place_is_not_searched_by_old_codes(tmp_path):
    first = Made(tmp_path / "archive", seed=1, count=20, num_bits=16)
    opened = Archive.open(first.folder)
    shutil.rmtree(tmp_path / "archive" / "items.lance")
    second = Made(tmp_path / "archive", seed=2, count=20, num_bits=16)
    with pytest.raises(DataError, match="another archive by now: open it again"):
        opened.refresh()
    archive = Archive.open(first.folder)
    query = int(np.flatnonzero(second.has["image"])[0])
    distances = second.distances(query, "image", "case")
    expected = sorted((distances[place], second.ids[place]) for place in second.passing(query, "case", Filters()))
    found = archive.search(id=second.ids[query], against="case", k=20, rerank=0).hits
    assert [(hit.distance, hit.item.id) for hit in found] == expected


def ranked(archive, name):
    return [(hit.item.id, hit.distance) for hit in archive.search(id=name, modality="image", k=200).hits]


def test_a_table_that_was_restored_and_changed_again_is_searched_as_it_is(own):
    """Its version then has a number that files of codes are there for, and as many items."""
    backup = own.folder.with_name("backup")
    shutil.copytree(own.folder, backup)
    name = own.ids[int(np.flatnonzero(own.has["image"])[0])]
    rows = own._rows(keep_relaxed=True)
    swapped = own.relaxed["case"][::-1], own.codes["case"][::-1]
    ItemTable.open(own.folder).add(rows, replace=True)
    before = ranked(Archive.open(own.folder), name)
    shutil.rmtree(own.folder / "items.lance")
    shutil.copytree(backup / "items.lance", own.folder / "items.lance")
    for column, values in zip(("case_relaxed", "case_code"), swapped, strict=True):
        rows = rows.set_column(rows.schema.get_field_index(column), rows.schema.field(column), binary_column(values))
    ItemTable.open(own.folder).add(rows, replace=True)
    found = ranked(Archive.open(own.folder), name)
    shutil.rmtree(own.folder / "index")
    assert found == ranked(Archive.open(own.folder), name)
    assert found != before


@pytest.mark.parametrize("content", [b"", b"half", np.zeros((7, 2), np.uint8), np.zeros((200, 2), np.float16)])
def test_damaged_files_of_codes_are_made_again(own, content):
    name = own.ids[int(np.flatnonzero(own.has["image"])[0])]
    expected = ranked(Archive.open(own.folder), name)
    for file in sorted((own.folder / "index").rglob("*.npy")):
        whole = file.read_bytes()
        if isinstance(content, bytes):
            file.write_bytes(whole[: len(whole) // 2] if content else b"")
        else:
            np.save(file, content)
        assert ranked(Archive.open(own.folder), name) == expected
        assert file.read_bytes() == whole


def test_a_full_disk_is_reported_and_leaves_nothing_half_written(own):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"No space left on device: .*relaxed\.npy"):
            Archive.open(own.folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    # Some versions of filelock remove the file of a lock that is given back, some keep it.
    assert {entry.name for entry in (own.folder / "index").iterdir()} <= {".lock"}
    assert len(Archive.open(own.folder)) == 200


def test_an_empty_archive_finds_nothing(tmp_path):
    made = Made(tmp_path / "archive", seed=0, count=0, num_bits=16)
    archive = Archive.open(made.folder)
    assert len(archive) == 0
    assert archive.facets().labels == dict.fromkeys(LABELS, 0)
    with pytest.raises(DataError, match="has no item"):
        archive.search(id="a")
