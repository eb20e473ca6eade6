"""Searches by the words of reports, alone and joined with codes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mcmfh_lightning.archive import Archive, Filters
from mcmfh_lightning.archive.filters import QueryError, UnknownError
from mcmfh_lightning.archive.full_text import full_text_query
from mcmfh_lightning.archive.ranking import fuse
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.archive.word_index import WORDS, affirming_query
from mcmfh_lightning.archive.words import WordQuery
from mcmfh_lightning.cli.archive import main

from .items import items
from .service import png

TEXT = "pleural effusion"
RARE = "xylophonequark"


def ids(result):
    return [hit.item.id for hit in result.hits]


def words_of(text: str) -> set[str]:
    return set("".join(character if character.isalnum() else " " for character in text.lower()).split())


def test_words_find_the_reports_that_have_them(archive, rows):
    """Not by the order, which is LanceDB's: by what is found."""
    found = archive.search(text="pneumothorax", match="words", k=100)
    having = {row["id"] for row in rows if "pneumothorax" in words_of(row.get("text", ""))}
    assert having
    assert set(ids(found)) <= having  # those that say "no pneumothorax" may be left out
    assert (found.match, found.with_words, found.total) == ("words", len(found.hits), len(found.hits))
    assert {hit.distance for hit in found.hits} == {None}
    assert found.index is None
    assert [hit.reasons[0].rank for hit in found.hits] == [hit.rank for hit in found.hits]


def test_a_text_is_searched_by_words_and_codes_joined(archive):
    """Against the formula, from the two rankings as the archive gives them alone."""
    by_words, by_codes = (ids(archive.search(text=TEXT, match=match, k=1000)) for match in ("words", "codes"))
    assert by_words
    scores = {}
    for ranking in (by_words, by_codes):
        for rank, name in enumerate(ranking, 1):
            scores[name] = scores.get(name, 0) + 1 / (60 + rank)
    expected = sorted(scores, key=lambda name: (-scores[name], name))
    found = archive.search(text=TEXT, k=1000)
    assert (found.match, found.total) == ("both", len(expected))
    assert ids(found) == expected
    codes = {hit.item.id: hit for hit in archive.search(text=TEXT, match="codes", k=1000).hits}
    for hit in found.hits:
        words, case = hit.reasons
        assert (words.by, case.by) == ("words", "case")
        assert words.rank == (by_words.index(hit.item.id) + 1 if hit.item.id in by_words else None)
        assert case.rank == by_codes.index(hit.item.id) + 1
        assert hit.distance == case.distance == codes[hit.item.id].distance
        assert f"{case.rank}. by codes of cases (Hamming distance {case.distance}" in hit.why
    assert f"{len(by_words)} cases have words of the query." in found.explained[0]


def test_pages_and_shorter_lists_are_parts_of_the_joined_ranking(archive):
    whole = archive.search(text=TEXT, k=24)
    pages = [archive.search(text=TEXT, k=24, offset=offset, limit=5) for offset in range(0, 24, 5)]
    assert [hit for page in pages for hit in page.hits] == list(whole.hits)
    assert archive.search(text=TEXT, k=7).hits == whole.hits[:7]


def test_lay_words_of_a_file_of_ones_own_are_looked_up(archive, phantom_archive, tmp_path):
    (tmp_path / "own.yaml").write_text("pleural effusion: [wet curtain]\n")
    own = Archive.open(phantom_archive, synonyms=tmp_path / "own.yaml")
    assert not archive.search(text="wet curtain", match="words").hits
    found = set(ids(own.search(text="wet curtain", match="words")))
    assert found
    assert found <= set(ids(archive.search(text="pleural effusion", match="words")))


@pytest.mark.parametrize("match", ["words", "both"])
def test_filters_hold_for_words(archive, rows, match):
    filters = Filters(splits=("train",), has_image=True)
    found = archive.search(text=TEXT, match=match, filters=filters, k=100)
    passing = {row["id"] for row in rows if row["split"] == "train" and "image" in row}
    assert set(ids(found)) <= passing
    assert found.candidates == len(passing)
    everything = archive.search(text=TEXT, match=match, k=100)
    if match == "words":
        assert ids(found) == [name for name in ids(everything) if name in passing]
    against = archive.search(text=TEXT, match=match, against="image", k=100)
    assert set(ids(against)) <= {row["id"] for row in rows if "image" in row}


def test_words_need_no_encoder(phantom_archive, tmp_path):
    place = Path(shutil.copytree(phantom_archive, tmp_path / "archive"))
    (place / "hasher.ckpt").unlink()
    assert Archive.open(place).search(text=TEXT, match="words").hits


def test_who_fuses_gets_every_row_once_in_a_fixed_order():
    first, second = np.array([3, 1, 2]), np.array([1, 5, 3])
    assert fuse([first, second]).tolist() == [1, 3, 5, 2]
    assert fuse([second, first]).tolist() == [1, 3, 5, 2]
    assert fuse([first, first[:0]]).tolist() == [3, 1, 2]
    assert fuse([np.array([7, 2]), np.array([2, 7])]).tolist() == [2, 7]  # tied: by row


def test_a_report_that_affirms_what_is_not_asked_for_comes_last(archive, rows):
    texts = {row["id"]: words_of(row.get("text", "")) for row in rows}
    plain, asked = (archive.search(text=text, match="words", k=100) for text in ("heart", "heart without pneumothorax"))
    assert asked.without == ("pneumothorax",)
    assert archive.search(text="heart is not enlarged", match="words").without == ("enlarged heart",)
    gone = set(ids(plain)) - set(ids(asked))
    assert all("pneumothorax" in texts[name] for name in gone)
    assert asked.affirming >= len(gone)
    joined = archive.search(text="heart without pneumothorax", k=100)
    assert joined.affirming == asked.affirming
    assert set(ids(joined)) == set(texts)  # none is missing
    last = set(ids(joined)[len(texts) - joined.affirming :])
    assert gone <= last
    assert f"{joined.affirming} cases whose text affirms that come last" in joined.explained[1]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"id": "a", "match": "words"}, "match=words looks for the words of a text"),
        ({"text": "a", "match": "both", "radius": 2}, "radius=2 is a distance of codes"),
        ({"text": "a", "against": "both"}, "against=both compares a picture"),
        ({"id": "a", "against": "both", "radius": 2}, "radius=2 is a distance of one code"),
        ({"text": "a", "match": "letters"}, "match=letters is none of codes, words, both"),
    ],
)
def test_options_that_contradict_are_refused(archive, query, message):
    with pytest.raises(QueryError, match=message):
        archive.search(**query)


def test_a_radius_is_one_of_codes(archive):
    found = archive.search(text=TEXT, radius=5)
    assert found.match == "codes"
    assert all(hit.distance <= 5 for hit in found.hits)


@pytest.fixture
def place(word_archives, tmp_path) -> Path:
    """A test's own copy of the archive with content."""
    return shutil.copytree(word_archives / "with", tmp_path / "archive")


def found_by(place: Path, words: str) -> set[str]:
    return set(ids(Archive.open(place).search(text=words, match="words", k=100)))


def test_an_archive_without_texts_says_what_is_missing(word_archives):
    place = word_archives / "without"
    with pytest.raises(UnknownError, match="keeps no texts: build it with --store-content"):
        Archive.open(place).search(text="finding", match="both")
    with pytest.raises(SystemExit):
        main(["reindex", str(place)])


def test_an_archive_of_an_earlier_release_is_indexed_by_a_command(place, word_archives, capsys):
    expected = found_by(place, "finding")
    assert len(expected) > 20
    _drop_words(place)
    with pytest.raises(UnknownError, match="no index of words, which `mcmfh-archive reindex` makes"):
        found_by(place, "finding")
    main(["reindex", str(place)])
    assert "words can be searched" in capsys.readouterr().out
    assert found_by(place, "finding") == expected
    main(["verify", str(place), "--features", str(word_archives / "features")])


def test_words_that_are_not_those_of_the_text_are_found_and_written_again(place, word_archives, capsys):
    """As after a release with other rules, or a command that was killed."""
    expected, verify = found_by(place, "finding"), ["verify", str(place), "--features", str(word_archives / "features")]
    table = ItemTable.open(place)
    rows = table.select(table.schema.names).drop_columns(["_rowid"]).to_pylist()
    odd = next(row for row in rows if row["id"] in expected) | {WORDS: "something else"}
    table.add(pa.Table.from_pylist([odd], schema=table.schema), replace=True)
    assert found_by(place, "finding") == expected - {odd["id"]}
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(verify)
    shown = capsys.readouterr().out
    assert "words are those of the texts" in shown
    assert "mcmfh-archive reindex" in shown
    main(["reindex", str(place)])
    assert found_by(place, "finding") == expected
    main(verify)


def test_repeated_words_are_looked_for_once():
    """LanceDB takes seconds for a thousand of them, and other queries wait."""
    query = WordQuery.parse("Lung, opacity in the lung without edema and edema")
    once = full_text_query(query, WORDS)
    assert once == full_text_query(WordQuery.parse("lung, opacity in the lung lung lung without edema"), WORDS)
    asked = full_text_query(WordQuery.parse("lung " * 1000), WORDS)
    assert asked.queries[0][1].query == "lung"
    assert affirming_query(["edema edema"]) == affirming_query(["edema"])


def _drop_words(place: Path) -> None:
    """Make the table that of an earlier release."""
    import lancedb

    table = lancedb.connect(place).open_table("items")
    table.drop_columns([WORDS])


def test_what_is_added_replaced_or_deleted_is_searched_as_it_is_now(tmp_path):
    """Whether the index has it by now or not."""
    table = ItemTable.create(tmp_path / "archive", 16, words=True)

    def found(words, kind="any"):
        query = full_text_query(WordQuery.parse(words), WORDS)
        if kind == "all":
            query = affirming_query([words])
        rows = table.find_words(query).row_ids
        return set(table.take(rows.tolist(), ["id"])["id"].to_pylist())

    def rows(names, text):
        made = items(names)
        place = made.schema.get_field_index("text")
        return made.set_column(place, made.schema.field("text"), [[text] * len(names)])

    table.add(rows(["a", "b"], "enlarged heart"))
    assert found("heart") == found("hearts") == {"a", "b"}
    table.compact()
    table.add(rows(["c", "d"], f"{RARE} of the heart"))
    assert found("heart") == {"a", "b", "c", "d"}
    assert found(f"enlarged {RARE}") == {"a", "b", "c", "d"}
    assert found(f"heart {RARE}", "all") == {"c", "d"}
    table.add(rows(["a"], RARE), replace=True)
    assert (found("heart"), found(RARE)) == ({"b", "c", "d"}, {"a", "c", "d"})
    table.delete(["c"])
    assert (found("heart"), found(RARE)) == ({"b", "d"}, {"a", "d"})
    assert not table.is_scattered
    table.add(rows([f"n{number}" for number in range(300)], "lungs"))
    assert table.is_scattered
    table.compact()
    assert not table.is_scattered
    assert (found("heart"), found(RARE), len(found("lung"))) == ({"b", "d"}, {"a", "d"}, 300)


def test_erased_words_are_nowhere_on_the_disk(place):
    """As they are, and as an index may keep them: stemmed, lower case, or backwards."""
    rare = ItemTable.open(place)
    row = rare.select(rare.schema.names, where="id = 'pair 001'").drop_columns(["_rowid", WORDS])
    column = row.schema.get_field_index("text")
    rare.add(row.set_column(column, row.schema.field("text"), [[f"{RARE.title()} seen."]]), replace=True)
    rare.compact()
    assert found_by(place, RARE) == {"pair 001"}

    def holding() -> list[Path]:
        forms = [form.encode() for word in (RARE, RARE.title()) for form in (word, word[::-1])]
        files = [file for file in place.rglob("*") if file.is_file()]
        return [file for file in files if any(form in file.read_bytes() for form in forms)]

    assert holding()
    main(["delete", str(place), "--ids", "pair 001"])
    assert not found_by(place, RARE)
    main(["delete", str(place), "--erase"])
    assert not holding()
    # Nor is there an index but the one that was made of what is left.
    indexes = [entry.name for entry in (place / "items.lance" / "_indices").iterdir() if any(entry.iterdir())]
    assert len(indexes) == 1
    assert len(found_by(place, "finding")) > 20


def test_a_fall_back_to_codes_is_visible(phantom_pairs, phantom_archive, tmp_path, capsys):
    place = Path(shutil.copytree(phantom_archive, tmp_path / "archive"))
    _drop_words(place)
    main(["search", str(place), "--text", TEXT, "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["match"], found["with_words"]) == ("codes", None)
    assert "`mcmfh-archive reindex`" in found["no_words"]
    main(["search", str(place), "--text", TEXT])
    assert "Words were not searched: the archive has no index of words" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        main(["search", str(place), "--text", TEXT, "--match", "words"])
    assert "--match words: the archive has no index" in capsys.readouterr().err


def test_the_service_searches_by_words_and_says_why(client):
    def search(**body):
        return client.post("/api/search", json={"text": TEXT, **body})

    joined = search().json()
    assert joined["match"] == "both"
    assert [reason["by"] for reason in joined["hits"][0]["reasons"]] == ["words", "case"]
    assert "by codes of cases" in joined["hits"][0]["why"]
    assert joined["explained"]
    words = search(match="words").json()
    assert words["hits"][0]["distance"] is None
    assert search(match="codes").json()["with_words"] is None
    refused = search(match="words", radius=3)
    assert refused.status_code == 422
    assert refused.json()["detail"] == ("body: radius=3 is a distance of codes: leave it out, or pass match=codes")
    assert client.post("/api/search", json={"id": "a", "match": "words"}).status_code == 422
    film = png(40, 40)
    answer = client.post("/api/search/image", files={"image": film}, data={"options": json.dumps({"match": "words"})})
    assert answer.status_code == 422
    assert "match=words looks for the words of a text" in answer.json()["detail"]
    found = client.post("/api/search/image", files={"image": film}).json()
    assert found["against"] == "both"
    assert found["near_equal"] is not None


def test_hits_are_a_data_frame(archive):
    pandas = pytest.importorskip("pandas")
    found = archive.search(text=TEXT, k=5)
    frame = found.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["id"].tolist() == ids(found)
    assert frame["rank"].tolist() == [1, 2, 3, 4, 5]
    assert frame["rank_by_case"].tolist() == [hit.reasons[1].rank for hit in found.hits]
    assert frame["labels"].tolist() == [hit.item.labels for hit in found.hits]


def test_the_table_and_the_page_say_why(phantom_archive, tmp_path, capsys):
    main(["search", str(phantom_archive), "--text", TEXT, "--k", "3"])
    shown = " ".join(capsys.readouterr().out.split())
    hit = Archive.open(phantom_archive).search(text=TEXT, k=3).hits[0]
    assert hit.why in shown
    assert "3 of 24 items by words and 16-bit codes of cases." in shown
    page = tmp_path / "page.html"
    main(["search", str(phantom_archive), "--text", TEXT, "--format", "html", "--out", str(page)])
    assert hit.why in page.read_text()
    assert "words of the query. Codes of cases found others" in page.read_text()
