"""Words of reports and queries: what they affirm, what they negate, and other words for it."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmfh_lightning.archive.words import Synonyms, WordQuery, affirmed_labels, index_text
from mcmfh_lightning.archive.words.negation import NEGATED
from mcmfh_lightning.archive.words.synonyms import phrase_key
from mcmfh_lightning.errors import DataError

# A ~ stands before each word that is negated.
SENTENCES = """
No ~pleural ~effusion.
There is no ~pneumothorax.
There are no ~focal ~opacities in the ~lung ~bases.
No evidence of ~pneumonia.
No definite radiographic evidence for ~acute ~disease.
No convincing signs of ~edema are seen.
No finding to suggest ~tuberculosis.
No ~line to ~suggest ~pneumothorax.
No ~focal ~consolidation, ~effusion or ~pneumothorax.
No ~focal ~consolidation, ~large ~effusion, or ~pneumothorax is identified.
No ~nodule, ~mass, ~cavity
No ~nodule and ~mass
No ~effusion, no ~pneumothorax; mild cardiomegaly.
No ~effusion or ~pneumothorax, stable cardiomegaly.
No ~pneumothorax, heart size normal.
No ~pneumothorax, the heart is enlarged.
No ~effusion and the heart is enlarged.
No ~effusion or the heart is enlarged.
No ~effusion, and a nodule has appeared.
No ~pneumothorax, but a small effusion.
No ~effusion although there is atelectasis.
No ~effusion there is scoliosis.
No ~effusion - scoliosis.
No ~effusion (scoliosis is known) or ~pneumothorax
No ~fracture with mild osteopenia.
No ~opacity ~consistent with ~pneumonia.
No ~pneumothorax after removal of the ~chest ~tube.
Without ~effusion.
Cardiomegaly without ~edema.
Cardiomegaly without evidence of ~edema or ~effusion.
Opacity without ~cavitation, small effusions.
Effusion w/o ~pneumothorax
Effusion is present with no ~shift.
Lungs are clear of ~infiltrates.
The lungs are free of ~focal ~airspace ~disease, ~effusion or ~pneumothorax.
Free air under the diaphragm.
Negative for ~acute ~fracture.
The patient denies ~chest ~pain but reports cough.
Absence of the ~left ~kidney
Absent ~gas in the ~rectum.
Neither ~effusion nor ~pneumothorax.
No ~effusion nor ~pneumothorax.
~Effusion is not seen.
~Effusion is not definitely identified, heart is large.
~Consolidation, ~effusion or ~pneumothorax are not present.
The heart is normal, ~effusion is not evident.
The heart is normal and ~effusion isn't visible.
The heart is not ~enlarged.
The heart is not ~enlarged, stable scoliosis.
The film doesn't show ~fractures.
~Effusion is absent.
~Pneumothorax: none.
Pneumothorax: small.
Pleura: no ~effusion
~Pneumonia is unlikely.
Unlikely to represent ~pneumonia.
The ~effusion has resolved.
Resolution of the ~left ~effusion.
Interval removal of the ~chest ~tube.
The ~catheter has been removed.
The ~effusion is no longer seen.
The effusion is no longer ~large.
The heart is no longer ~enlarged.
The heart is no longer ~enlarged, small effusion.
There is no longer ~effusion or ~edema.
The film no longer shows ~effusion.
The ~effusion is no longer clearly seen.
The lungs are no longer clear of effusion.
The effusion is no longer increasing.
The effusion has not resolved.
Near-complete resolution of the effusion.
No change in the effusion.
No significant interval change in cardiomegaly.
Effusion without significant change.
The nodule has not increased.
Not only effusion but pneumothorax as well.
Pneumonia cannot be excluded.
We cannot entirely exclude a fracture.
Possible effusion, likely atelectasis, question of nodule.
Opacity may represent pneumonia.
Not without effusion.
There was never an absence of effusion.
The hernia is not well seen.
A nodule not seen on the prior study.
CT with and without contrast.
CT without ~contrast shows a mass.
MRI without ~contrast demonstrated fluid.
Resolution of the ~hematoma and a small residual bruise.
No sign of a ~cyst, a ~nodule or a ~mass.
Chest tube (not shown) in place.
The apex is excluded from the image.
Nothing here is said of notes or nodes.
No ~pneumothorax, right effusion is present.
No ~pneumothorax, right effusion noted or scoliosis.
Without evidence of ~acute ~disease, cardiomegaly is noted.
No ~acute ~findings, nodule seen in the left lung.
No ~effusion, nodule seen in the left or right lung.
No ~effusion, and a nodule is evident.
Lungs are free of ~effusion and cardiomegaly is noted
no ~fracture, left rib fracture noted
No ~free ~air ~under the ~diaphragm, degenerative changes of spine
No ~fracture, ~degenerative ~change or ~mass.
No ~focal ~consolidation, ~pleural ~effusion, or ~pneumothorax is seen.
No ~effusion, ~pneumothorax or ~consolidation is present.
No ~effusion, ~pneumothorax or ~consolidation is identified.
No ~effusion, ~pneumothorax, and ~consolidation is present.
No ~effusion, ~pneumothorax, ~consolidation is present.
No ~pneumothorax, ~effusion, ~consolidation seen.
No ~effusion or ~pneumothorax is present in the ~left ~lung.
No ~effusion and ~pneumothorax are present.
No ~visualization of the ~anterior and ~posterior ~vein was noted in the ~angiogram.
No ~contrast ~excretion by the ~right ~kidney
No ~infiltrate and ~effusion noted.
No ~fracture, ~dislocation seen on these ~views.
No ~prior ~studies for ~comparison, effusion noted
No ~prior ~chest ~radiograph, effusion.
No ~comparison, small effusion.
No ~comparison ~studies ~available, effusion or edema is present.
No ~prior ~fracture, ~effusion, or ~mass.
No ~prior ~pneumonia.
CT without ~contrast effusion
CT without ~contrast, effusion
CT without ~contrast ~material, effusion
No ~contrast ~extravasation.
no ~comparison pneumonia
no ~priors effusion
~Pneumothorax - none
~Pneumothorax - none. Effusion - small.
Pneumothorax - small
~Effusion nil.
~Effusion nil, pneumothorax small.
Nil ~acute
Nil ~acute ~fracture, ~effusion or ~mass
The lungs are ~pneumothorax-free, small effusion
Free-flowing effusion
Echo-free space behind the heart.
Scoliosis minus ~effusion
Plus minus effusion
"""
# A line that begins in lower case belongs to the sentence before it.
SENTENCES = [
    *SENTENCES.strip().split("\n"),
    "No ~pleural\n~effusion",
    "No\nEffusion",
    "~Edema: none\nEffusion",
    "~Edema nil\nEffusion",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_negated_words_are_marked(sentence):
    assert index_text(sentence.replace("~", "")) == sentence.replace("~", NEGATED)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_changes_no_other(sentence):
    plain = sentence.replace("~", "").rstrip(".")
    assert index_text(f"Small effusion. {plain}. Large mass.") == f"Small effusion. {index_text(plain)}. Large mass."


def test_sentences_are_many():
    assert len(SENTENCES) >= 60


def words_of(text):
    return re.findall(r"[^\W_]+", text)


VOCABULARY = (
    "no not without effusion, pneumothorax. heart is enlarged seen and or but ( ) : ; - \n cannot exclude has resolved "
    "isn't free of nor neither evidence 3.5 cm There the change denies"
)
TEXTS = st.one_of(
    st.text(), st.lists(st.sampled_from(VOCABULARY.split(" ")), max_size=40).map(" ".join), st.text("no effusion.,()\n")
)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_no_character_is_lost(text):
    # Marks are the only change: each stands at the beginning of a word.
    marked = index_text(text)
    assert re.sub(rf"(?<![^\W_]){NEGATED}(?=[^\W_])", "", marked) == re.sub(
        rf"(?<![^\W_]){NEGATED}(?=[^\W_])", "", text
    )


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_a_text_without_negation_stays(text):
    text = re.sub(r"-(?=\w)", "- ", text)  # "-word" asks for no such word in a query, and is a list in a report
    marked = index_text(text)
    if marked == text:
        assert WordQuery.parse(text).negated == ()
    else:
        assert WordQuery.parse(text).negated != ()


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_words_of_a_query_come_from_its_text(text):
    query = WordQuery.parse(text)
    said = words_of(" ".join((*query.affirmed, *query.negated)))
    assert set(said) <= set(words_of(text))
    assert set(words_of(query.negated_text)) <= {NEGATED + word for word in words_of(text.casefold())}


@pytest.mark.parametrize(
    "piece",
    [
        "no effusion, ",
        "no ",
        "\n",
        " ",
        "a",
        "not been ",
        "effusion, ",
        "effusion and not seen ",
        "no (",
        "isn't ",
        "- ",
    ],
)
def test_time_grows_with_the_length(piece):
    def seconds(length):
        text = piece * (length // len(piece))
        started = time.process_time()
        index_text(text)
        return time.process_time() - started

    short = min(seconds(5_000) for _ in range(3))
    assert seconds(40_000) < 24 * short + 0.1  # 8 times, were it exact; 64 if it were quadratic


QUERIES = {
    "effusion": (("effusion",), ()),
    "no effusion": ((), ("effusion",)),
    "effusion without cardiomegaly": (("effusion",), ("cardiomegaly",)),
    "Normal heart size, no pneumothorax": (("Normal heart size",), ("pneumothorax",)),
    "no pneumothorax, normal heart": (("normal heart",), ("pneumothorax",)),
    "pleural effusion but no evidence of edema or pneumonia": (("pleural effusion",), ("edema", "pneumonia")),
    "effusion, not cardiomegaly": (("effusion",), ("cardiomegaly",)),
    "effusion (left) excluding pneumothorax": (("effusion", "left"), ("pneumothorax",)),
    "effusion, effusion": (("effusion",), ()),
    "There is no effusion to be seen.": ((), ("effusion",)),
    "no fluid in the lungs": ((), ("fluid in the lungs",)),
    "opacity that is not calcified": (("opacity",), ("calcified",)),
    "no change": (("no change",), ()),
    "no longer enlarged heart": ((), ("enlarged heart",)),
    "no longer increasing effusion": (("no longer increasing effusion",), ()),
    "effusion except pneumothorax": (("effusion",), ("pneumothorax",)),
    "effusion except for edema or mass": (("effusion",), ("edema", "mass")),
    "normal chest except effusion": (("normal chest", "effusion"), ()),
    "no effusion except small": (("small",), ("effusion",)),
    "effusion minus pneumothorax": (("effusion",), ("pneumothorax",)),
    "effusion -cardiomegaly": (("effusion",), ("cardiomegaly",)),
    "effusion -cardiomegaly nodule": (("effusion", "nodule"), ("cardiomegaly",)),
    "-pleural-thickening effusion": (("effusion",), ("pleural thickening",)),
    "effusion - cardiomegaly": (("effusion", "cardiomegaly"), ()),
    "-effusion\n-edema": (("effusion", "edema"), ()),
    "t-tube": (("t tube",), ()),
    "pneumothorax-free chest": (("chest",), ("pneumothorax",)),
    "CT without contrast effusion": (("CT", "effusion"), ("contrast",)),
    "no": ((), ()),
    "": ((), ()),
}


@pytest.mark.parametrize(("text", "terms"), QUERIES.items(), ids=QUERIES)
def test_what_a_query_asks_for(text, terms):
    query = WordQuery.parse(text)
    assert (query.affirmed, query.negated) == terms
    assert query.affirmed_text == " ".join(terms[0])


def test_a_query_of_the_negation_is_written_as_reports_are_indexed():
    assert WordQuery.parse("no pleural Effusion, no edema").negated_text == "qxpleural qxeffusion qxedema"


SYNONYMS = {
    "Fluid around the lungs": ("pleural effusion",),
    "heart is enlarged": ("cardiomegaly",),
    "broken ribs and scoliosis": ("rib fracture",),
    "fluid in the lungs": ("pulmonary edema",),
    "a collapsed lung": ("pneumothorax", "atelectasis"),
    "big heart, water on the lung": ("cardiomegaly", "pleural effusion"),
    "pleural effusion": (),
    "the": (),
}


@pytest.mark.parametrize(("text", "terms"), SYNONYMS.items(), ids=SYNONYMS)
def test_terms_of_reports_join_lay_words(text, terms):
    query = WordQuery.parse(text)
    names = query.expanded(Synonyms.load()).names
    assert len(names) == len(query.affirmed)
    assert tuple(name for found in names for name in found) == terms


def test_a_negated_term_is_absent_by_all_its_names():
    query = WordQuery.parse("scoliosis, no fluid on the lungs").expanded(Synonyms.load())
    assert query == WordQuery(("scoliosis",), ("fluid on the lungs",), ((),), ("pleural effusion",))
    assert query.absent == ("fluid on the lungs", "pleural effusion")


def test_the_table_of_synonyms_is_small_and_of_use():
    terms = Synonyms.load().terms
    named = {term for found in terms.values() for term in found}
    assert 60 <= len(named) <= 100
    assert all(phrase_key(term) != key for key, found in terms.items() for term in found)


def test_own_synonyms_join_those_of_the_package(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("aspergilloma: [fungus ball, Monod sign]\npneumomediastinum: [collapsed lung]\n")
    synonyms = Synonyms.load(path)
    assert synonyms.of("a fungus ball") == ("aspergilloma",)
    assert synonyms.of("collapsed lung") == ("pneumothorax", "atelectasis", "pneumomediastinum")
    assert Synonyms.load().of("fungus ball") == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n", r"own\.yaml are not a table: write"),
        ("a: b\n", r"own\.yaml: 'a' has no list of phrases: write `a: \["),
        ("1: [b]\n", r"own\.yaml: 1 has no list"),
        ("a: [1]\n", r"own\.yaml: 1 of 'a' is not a phrase: write it in quotes"),
        ("a: [the]\n", r"own\.yaml: 'the' of 'a' is not a phrase"),
        ("a: [b\n", r"own\.yaml are not YAML: [^\n]+$"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, content, message):
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        Synonyms.load(path)


def test_a_table_that_is_missing_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"synonyms .*own\.yaml cannot be read"):
        Synonyms.load(tmp_path / "own.yaml")


VOCABULARY_OF_LABELS = ["Cardiomegaly", "Catheters, Indwelling", "Heart", "Lung, Hyperlucent", "Pleural Effusion"]
LABELS = {
    "Heart failure: PLEURAL\neffusion.": ("Heart", "Pleural Effusion"),
    "hyperlucent lung, indwelling catheters": ("Catheters, Indwelling", "Lung, Hyperlucent"),
    "heartless effusions, pleural": (),
    "no pleural effusion": (),
    "cardiomegaly without pleural effusion": ("Cardiomegaly",),
    "pleural effusion is not seen; cardiomegaly": ("Cardiomegaly",),
    "pleural effusion cannot be excluded": ("Pleural Effusion",),
    "cardiomegaly -pleural-effusion": ("Cardiomegaly",),
    "pleural effusion except cardiomegaly": ("Pleural Effusion",),
}


@pytest.mark.parametrize(("text", "labels"), LABELS.items(), ids=LABELS)
def test_labels_that_a_text_affirms(text, labels):
    assert affirmed_labels(text, [*VOCABULARY_OF_LABELS, "..."]) == labels


def test_a_label_of_a_negation_is_affirmed_by_it():
    assert affirmed_labels("no finding", ["Finding", "No Finding"]) == ("No Finding",)


def test_lay_words_affirm_a_label():
    synonyms = Synonyms.load()
    assert affirmed_labels("big heart, no fluid on the lung", VOCABULARY_OF_LABELS, synonyms) == (
        "Cardiomegaly",
        "Heart",
    )
