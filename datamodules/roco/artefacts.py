"""CUIs of ROCO that echo a word of the page and say nothing about the picture.

ROCO's CUIs were looked up in keywords of the caption by spelling. ``arrow``, the most frequent keyword of all, brings
along four concepts; left in, they would make every figure with an arrow relevant to every other one.

A CUI is an artefact if one of the ``PAGE_WORDS`` is its best predictor (`typical_words`) with precision and recall of
0.9 or more. Measured over the metadata of test/radiology (8,179 rows), for CUIs on 25 rows or more; a test measures
again. Words of modality, anatomy, finding and treatment are no page words, however common: ``tomography``, ``chest``,
``lesion``. Neither are ``scan`` and ``contrast``, which tell how a picture was made. ``view``, ``show``, ``figure``,
``patient``, ``case`` and ``left`` are the best predictor of no CUI as frequent as that.
"""

from collections.abc import Mapping
from typing import NamedTuple

MIN_ITEMS = 25
MIN_AGREEMENT = 0.9

PAGE_WORDS: Mapping[str, tuple[str, ...]] = {
    "the figure": (
        "arrow",
        "image",
        "note",
        "aspect",
        "appearance",
        "position",
        "location",
        "field",
        "section",
        "sequence",
        "study",
        "examination",
        "presence",
        "absence",
        "evident",
    ),
    "side and direction": ("right", "anterior", "posterior", "frontal", "internal", "external", "middle", "common"),
    "time": ("day", "week", "month", "year", "followup", "admission", "history", "immediate"),
    "degree": ("normal", "abnormal", "complete", "low", "moderate", "severe", "degree", "single", "new"),
}
"""By what they are about, as ``keywords.txt`` spells them."""


class Artefact(NamedTuple):
    """A CUI, its word, the rows that have the CUI, and how well the word predicts it."""

    cui: str
    word: str
    rows: int
    precision: float
    recall: float


ARTEFACTS: tuple[Artefact, ...] = (
    Artefact("C0376152", "arrow", 1529, 1.000, 0.990),
    Artefact("C0771936", "arrow", 1513, 1.000, 1.000),
    Artefact("C1546708", "arrow", 1513, 1.000, 1.000),
    Artefact("C1837463", "arrow", 1513, 1.000, 1.000),
    Artefact("C1696103", "image", 1188, 1.000, 0.997),
    Artefact("C1317574", "note", 75, 1.000, 1.000),
    Artefact("C0040399", "aspect", 97, 1.000, 1.000),
    Artefact("C4084721", "appearance", 112, 1.000, 0.991),
    Artefact("C0231519", "position", 101, 1.000, 1.000),
    Artefact("C0240795", "position", 103, 1.000, 0.981),
    Artefact("C0556030", "position", 109, 1.000, 0.927),
    Artefact("C0681324", "position", 101, 1.000, 1.000),
    Artefact("C2347268", "position", 101, 1.000, 1.000),
    Artefact("C1515974", "location", 53, 1.000, 1.000),
    Artefact("C1555588", "location", 53, 1.000, 1.000),
    Artefact("C4284930", "location", 53, 1.000, 1.000),
    Artefact("C4284931", "location", 53, 1.000, 1.000),
    Artefact("C1553496", "field", 48, 1.000, 1.000),
    Artefact("C0007876", "section", 164, 1.000, 1.000),
    Artefact("C0184905", "section", 165, 1.000, 0.994),
    Artefact("C1547787", "sequence", 73, 1.000, 1.000),
    Artefact("C1610719", "sequence", 73, 1.000, 1.000),
    Artefact("C3853789", "sequence", 74, 1.000, 0.986),
    Artefact("C0947630", "study", 67, 1.000, 0.985),
    Artefact("C0582103", "examination", 74, 1.000, 1.000),
    Artefact("C0392148", "presence", 86, 1.000, 1.000),
    Artefact("C0424530", "absence", 59, 1.000, 1.000),
    Artefact("C0722792", "evident", 26, 1.000, 1.000),
    Artefact("C0015726", "right", 1298, 1.000, 0.998),
    Artefact("C0423899", "right", 1309, 1.000, 0.990),
    Artefact("C1261259", "right", 1296, 1.000, 1.000),
    Artefact("C0751437", "anterior", 314, 1.000, 0.994),
    Artefact("C0751438", "posterior", 282, 1.000, 1.000),
    Artefact("C0525187", "frontal", 99, 1.000, 1.000),
    Artefact("C0921176", "frontal", 99, 1.000, 1.000),
    Artefact("C3244072", "internal", 127, 1.000, 1.000),
    Artefact("C1548801", "external", 55, 1.000, 1.000),
    Artefact("C1552826", "middle", 98, 1.000, 1.000),
    Artefact("C3245511", "common", 99, 1.000, 1.000),
    Artefact("C1561538", "day", 119, 1.000, 1.000),
    Artefact("C1561540", "week", 94, 1.000, 1.000),
    Artefact("C1561542", "month", 217, 1.000, 1.000),
    Artefact("C1561543", "year", 136, 1.000, 1.000),
    Artefact("C1522577", "followup", 106, 1.000, 1.000),
    Artefact("C0184666", "admission", 84, 1.000, 0.976),
    Artefact("C0809949", "admission", 82, 1.000, 1.000),
    Artefact("C4489276", "admission", 83, 1.000, 0.988),
    Artefact("C0262512", "history", 31, 1.000, 1.000),
    Artefact("C0262926", "history", 31, 1.000, 1.000),
    Artefact("C1697779", "immediate", 25, 1.000, 1.000),
    Artefact("C1553386", "normal", 204, 1.000, 0.990),
    Artefact("C0205161", "abnormal", 55, 1.000, 1.000),
    Artefact("C4283785", "complete", 112, 1.000, 1.000),
    Artefact("C1550472", "low", 77, 1.000, 1.000),
    Artefact("C1547226", "moderate", 37, 1.000, 1.000),
    Artefact("C4049705", "moderate", 37, 1.000, 1.000),
    Artefact("C4049706", "moderate", 37, 1.000, 1.000),
    Artefact("C4085643", "moderate", 37, 1.000, 1.000),
    Artefact("C4321335", "moderate", 37, 1.000, 1.000),
    Artefact("C1306232", "severe", 69, 1.000, 0.986),
    Artefact("C0542560", "degree", 25, 1.000, 1.000),
    Artefact("C0087136", "single", 48, 1.000, 1.000),
    Artefact("C0723338", "single", 49, 1.000, 0.980),
    Artefact("C1578513", "new", 29, 1.000, 1.000),
)
