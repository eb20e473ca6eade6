"""Negation that stands behind what it negates, and that of a word which says something of another."""

import pytest

from mcmfh_lightning.archive.words import Synonyms, WordQuery, affirmed_labels, index_text
from mcmfh_lightning.archive.words.negation import NEGATED

# A ~ stands before each word that is negated.
SENTENCES = """
Heart not ~enlarged.
Pulmonary vessels do not appear ~congested.
There does not appear to be a ~pneumothorax or ~effusion.
A ~pneumothorax does not appear to be present.
Heart not ~enlarged and small effusion.
The aorta is not ~ectatic and effusion
The film does not show ~effusion and ~pneumothorax.
Fracture, not ~displaced.
~Effusion no longer seen, edema persists.
~Endotracheal ~tube is no longer in place, stable effusion.
The ~catheter is not in place.
~Effusion is not there.
~Effusion resolved since the prior study.
The ~infiltrate has cleared in the interval.
~Pneumonia has cleared completely, small effusion.
The ~nodule is gone.
The ~opacity has gone away.
~Effusion does not persist.
~Pneumothorax has not recurred.
A ~hematoma did not develop after biopsy.
~Effusion has not reaccumulated.
The patient has not ~developed a ~fever.
Nothing to suggest ~pneumonia.
Nothing suggestive of ~malignancy; scoliosis.
~Pneumonia is not likely.
The mass is not ~likely to be ~malignant.
~Fracture ruled out.
~Fracture excluded.
Surgical clips, ~gallbladder removed.
No ~effusion is seen, nor is ~pneumothorax.
Effusion not resolved.
Effusion has resolved partially.
Effusion has largely resolved.
Edema has mostly cleared.
Pneumothorax not gone.
Pneumothorax nearly gone.
Chest tube was not removed.
The tube should be removed.
Pneumonia should be ruled out.
Possibility of tuberculosis should be excluded.
Malignancy cannot be confidently excluded on these films.
Opacity not seen previously.
Nodule not clearly seen before is now evident.
A rib fracture which does not appear to be present on the prior study.
Nodule did not change.
Lesion returned after treatment.
"""


@pytest.mark.parametrize("sentence", SENTENCES.strip().split("\n"))
def test_negated_words_are_marked(sentence: str) -> None:
    assert index_text(sentence.replace("~", "")) == sentence.replace("~", NEGATED)


QUERIES = {
    "effusion no longer present": ((), ("effusion",)),
    "effusion not there": ((), ("effusion",)),
    "effusion gone": ((), ("effusion",)),
    "fluid around the lung has gone": ((), ("fluid around the lung",)),
    "effusion has resolved, atelectasis": (("atelectasis",), ("effusion",)),
    "pacemaker removed": ((), ("pacemaker",)),
    "pneumothorax ruled out": ((), ("pneumothorax",)),
    "lungs without effusion": (("lungs",), ("effusion",)),
    "heart not enlarged and pleural effusion": (("heart", "pleural effusion"), ("enlarged",)),
    "heart not enlarged or displaced": (("heart",), ("enlarged", "displaced")),
    "pneumonia should be excluded": (("pneumonia should be excluded",), ()),
}


@pytest.mark.parametrize(("text", "terms"), QUERIES.items(), ids=QUERIES)
def test_what_a_query_asks_for(text: str, terms: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    query = WordQuery.parse(text)
    assert (query.affirmed, query.negated) == terms


# What a finding is called by reports is left out as well, when the finding is said in a sentence.
ABSENT = {
    "heart not enlarged": ("enlarged heart", "cardiomegaly"),
    "the heart is not enlarged": ("enlarged heart", "cardiomegaly"),
    "heart isn't enlarged": ("enlarged heart", "cardiomegaly"),
    "heart does not appear enlarged": ("enlarged heart", "cardiomegaly"),
    "heart size no longer enlarged": ("enlarged heart size", "cardiomegaly"),
    "heart is not significantly enlarged": ("significantly enlarged heart", "cardiomegaly"),
    "scoliosis, heart not big": ("big heart", "cardiomegaly"),
    "ribs are not broken": ("broken ribs", "rib fracture"),
    "heart not enlarged, liver not enlarged": ("enlarged heart", "enlarged liver", "cardiomegaly", "hepatomegaly"),
    "heart not enlarged, hilum not enlarged": ("enlarged heart", "enlarged", "cardiomegaly"),
    # No one thing in the table: the negated word alone.
    "nodule is not calcified": ("calcified",),
    "effusion not cardiomegaly": ("cardiomegaly",),
    "heart, not enlarged": ("enlarged",),
    "heart without enlarged nodes": ("enlarged nodes",),
    "big heart not enlarged": ("enlarged",),
    "fluid around the lung is not edema": ("edema",),
}


@pytest.mark.parametrize(("text", "absent"), ABSENT.items(), ids=ABSENT)
def test_a_finding_that_a_sentence_negates_is_absent_by_its_names(text: str, absent: tuple[str, ...]) -> None:
    assert WordQuery.parse(text).expanded(Synonyms.load()).absent == absent


def test_a_sentence_that_negates_asks_for_the_same_as_a_phrase() -> None:
    synonyms = Synonyms.load()
    phrase, sentence = (WordQuery.parse(text).expanded(synonyms) for text in ("no big heart", "the heart is not big"))
    assert phrase.absent == sentence.absent == ("big heart", "cardiomegaly")
    assert affirmed_labels("the heart is not big", ["Cardiomegaly"], synonyms) == ()
