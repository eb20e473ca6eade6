"""LanceDB's full-text index over marked reports finds what is meant: with its own tokenizer, stemmer and stop words."""

from collections.abc import Callable
from dataclasses import replace

import lancedb
import pyarrow as pa
import pytest
from lancedb.index import FTS
from lancedb.query import MatchQuery

from mcmfh_lightning.archive.full_text import MOST_TERMS, full_text_query
from mcmfh_lightning.archive.words import Synonyms, WordQuery, index_text
from mcmfh_lightning.archive.words.cues import FUNCTION_WORDS
from mcmfh_lightning.archive.words.negation import NEGATED

REPORTS = {
    "affirms": "There are bilateral Effusions. The heart is of normal size.",
    "negates": "No pleural effusions. Cardiomegaly.",
    "says nothing": "Scoliosis.",
    "uncertain": "Small effusion cannot be excluded. Cardiomegaly is present.",
    "both": "No left effusion. There is a right effusion.",
    "many": "Cardiomegaly with opacities; calcification.",
    "many negated": "No cardiomegaly, opacity or calcifications.",
    "pleura": "Pleural thickening.",
    "other": " ".join(sorted(FUNCTION_WORDS - {"any"})),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rows = {"id": list(REPORTS), "words": [index_text(text) for text in REPORTS.values()]}
    made = lancedb.connect(tmp_path_factory.mktemp("words")).create_table("items", pa.table(rows))
    made.create_index("words", config=FTS(with_position=False))
    return made


@pytest.fixture(scope="module")
def search(table) -> Callable[[WordQuery], list[str]]:
    def found(query: WordQuery) -> list[str]:
        asked = full_text_query(query, "words")
        assert asked is not None
        return [hit["id"] for hit in table.search(asked, query_type="fts").limit(10).to_list()]

    return found


FOUND = {
    "effusion": {"affirms", "uncertain", "both"},
    "effusions": {"affirms", "uncertain", "both"},
    "no effusion": {"negates"},
    "there are no effusions": {"negates"},
    "no pleural effusion": {"negates", "both"},  # the second says half of it
    "effusion without cardiomegaly": {"affirms", "both"},
    "scoliosis or effusion without cardiomegaly": {"says nothing", "affirms", "both"},
    "no opacities": {"many negated"},
    "no calcification": {"many negated"},
    "calcifications": {"many"},
    "pleural thickening, no pleural effusion": {"pleura"},
    "the with or": set(),
}


@pytest.mark.parametrize(("text", "ids"), FOUND.items(), ids=FOUND)
def test_reports_are_found_by_what_they_affirm(search, text, ids):
    query = WordQuery.parse(text)
    if full_text_query(query, "words") is None:
        assert ids == set()
    else:
        assert set(search(query)) == ids


def test_reports_with_every_term_come_first(search):
    assert search(WordQuery.parse("effusion with cardiomegaly"))[0] == "uncertain"
    assert search(WordQuery.parse("cardiomegaly and calcification"))[0] == "many"
    lay = WordQuery.parse("a white shadow and a big heart")
    synonyms = Synonyms({("white", "shadow"): ("opacities",), ("big", "heart"): ("cardiomegaly",)})
    assert search(lay.expanded(synonyms))[0] == "many"


def test_a_report_as_a_query_finds_what_has_its_words(search):
    texts = [text for name, text in REPORTS.items() if name not in ("other", "many negated")]
    query = WordQuery.parse(" ".join(f"{text} Word {number}. Scoliosis {number}." for number, text in enumerate(texts)))
    assert len(query.affirmed) > MOST_TERMS
    assert "says nothing" in search(replace(query, negated=()))
    assert "affirms" in search(query)


def test_names_of_reports_are_found_with_all_their_words(search):
    query = WordQuery.parse("enlarged heart")
    assert set(search(query)) == {"affirms"}  # it has a heart
    assert set(search(query.expanded(Synonyms.load()))) == {"affirms", "negates", "uncertain", "many"}
    water = WordQuery.parse("water on the lungs").expanded(Synonyms.load())
    assert water.names == (("pleural effusion",),)
    assert search(water) == []  # no report affirms both words


def test_what_has_another_name_is_absent_too(search):
    query = WordQuery.parse("effusion without a big heart")
    assert set(search(query)) == {"affirms", "uncertain", "both"}
    assert set(search(query.expanded(Synonyms.load()))) == {"affirms", "both"}


def test_what_a_sentence_negates_is_absent_by_its_name(search):
    query = WordQuery.parse("effusion, heart not enlarged")
    assert set(search(query)) == {"affirms", "uncertain", "both"}
    assert set(search(query.expanded(Synonyms.load()))) == {"affirms", "both"}


@pytest.mark.parametrize("text", ["", "no", "?!", "it is not"])
def test_a_query_without_words_asks_for_nothing(text):
    assert full_text_query(WordQuery.parse(text), "words") is None


@pytest.mark.parametrize("word", sorted(FUNCTION_WORDS - {"any"}))
def test_the_index_leaves_function_words_out(table, word):
    assert table.search(MatchQuery(word, "words"), query_type="fts").limit(1).to_list() == []


# Singular and plural, noun and adjective: the stemmer of the index makes of two negated words one where it makes one
# of the two words.
FORMS = [
    ("effusion", "effusions"), ("opacity", "opacities"), ("mass", "masses"), ("fracture", "fractured"),
    ("calcified", "calcify"), ("atelectasis", "atelectases"), ("biopsy", "biopsies"), ("edema", "edematous"),
    ("aging", "aged"), ("general", "generally"), ("oily", "oil"), ("enlarged", "enlargement"), ("yellow", "yellowish"),
]  # fmt: skip


def test_negated_words_are_stemmed_as_others(tmp_path):
    found: dict[str, list[bool]] = {}
    for mark in ("", NEGATED):
        words = pa.table({"id": range(len(FORMS)), "words": [mark + one for one, _ in FORMS]})
        table = lancedb.connect(tmp_path).create_table(f"items{mark}", words)
        table.create_index("words", config=FTS(with_position=False))
        searches = (table.search(MatchQuery(mark + other, "words"), query_type="fts") for _, other in FORMS)
        hits = [{hit["id"] for hit in search.limit(len(FORMS)).to_list()} for search in searches]
        found[mark] = [number in ids for number, ids in enumerate(hits)]
    assert found[NEGATED] == found[""]
    assert sum(found[""]) > len(FORMS) / 2
