"""From ROCO's repository to a collection.

Source: Pelka et al., "Radiology Objects in COntext (ROCO): a multimodal image dataset", LABELS at MICCAI 2018,
https://doi.org/10.1007/978-3-030-01364-6_20. The repository, https://github.com/razorx89/roco-dataset, has the
metadata; its ``scripts/fetch.py`` downloads the images into ``data/<train|validation|test>/<subset>/images``.

Decisions:

- *text* is the caption, white space normalised (upstream's begin with a blank, and some contain tabs).
- *labels* are UMLS concepts (``cuis.txt``) or the names of semantic types (``semtypes.txt``). A program looked up both
  from words of the caption, so a label says that the caption has a word, not that a reader saw something.
- *group* is the article, by its number in PubMed Central (``PMC123`` is 123): figures of one article show one patient,
  or look alike.
- *licence* is the article's, as ``licences.txt`` has it; *source* names the article and its file.
- *date* stays empty. PubMed Central numbers articles as they come in, which is an order to split by and not a date.

Which word of a caption stands behind a label.

CUIs of ROCO that echo a word of the page and say nothing about the picture.

ROCO's CUIs were looked up in keywords of the caption by spelling. ``arrow``, the most frequent keyword of all, brings
along four concepts; left in, they would make every figure with an arrow relevant to every other one.

A CUI is an artefact if one of the ``PAGE_WORDS`` is its best predictor (`typical_words`) with precision and recall of
0.9 or more. Measured over the metadata of test/radiology (8,179 rows), for CUIs on 25 rows or more; a test measures
again. Words of modality, anatomy, finding and treatment are no page words, however common: ``tomography``, ``chest``,
``lesion``. Neither are ``scan`` and ``contrast``, which tell how a picture was made. ``view``, ``show``, ``figure``,
``patient``, ``case`` and ``left`` are the best predictor of no CUI as frequent as that.
"""

from collections import Counter
from collections.abc import Collection as Container
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.datasets.roco.metadata import LabelScheme, Part, read_part
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.images.finding import index_images
from mcmfh_lightning.shards.info import Split


@dataclass(frozen=True)
class Word:
    """How well the presence of a word predicts a label.

    Attributes:
        word: the word.
        items: items with the label.
        precision: share of the items with the word that have the label.
        recall: share of the items with the label that have the word.
    """

    word: str
    items: int
    precision: float
    recall: float


def typical_words(labels: Mapping[str, Iterable[str]], words: Mapping[str, Iterable[str]]) -> dict[str, Word]:
    """Find the word with the best F1 for each label, ties by alphabet.

    Args:
        labels: labels of each item.
        words: words of each item.

    Returns:
        The word of each label; labels whose items have no word at all are left out.
    """
    label_sets = {item: set(found) for item, found in labels.items()}
    word_sets = {item: set(words.get(item, ())) for item in labels}
    items = Counter(label for found in label_sets.values() for label in found)
    total = Counter(word for found in word_sets.values() for word in found)
    together = Counter(
        (label, word) for item, found in label_sets.items() for label in found for word in word_sets[item]
    )
    best: dict[str, tuple[float, Word]] = {}
    for (label, word), both in sorted(together.items()):
        f1 = 2 * both / (items[label] + total[word])
        if label not in best or f1 > best[label][0]:
            best[label] = f1, Word(word, items[label], both / total[word], both / items[label])
    return {label: word for label, (_, word) in best.items()}


Subset = Literal["radiology", "non-radiology"]
SUBSETS: tuple[Subset, ...] = get_args(Subset)

REPOSITORY = "ROCO (https://github.com/razorx89/roco-dataset)"

MISSING_IMAGE = "missing image file"
OTHER_LICENCE = "licence not asked for"
NO_METADATA = "no metadata folder"

_SPLITS: Mapping[str, Split] = {"train": "train", "validation": "val", "test": "test"}
_NO_LABEL: Mapping[LabelScheme, str] = {
    "cuis": "without a label: no CUI",
    "semtypes": "without a label: no semantic type",
}


def read_roco(
    root: Path, subsets: Container[Subset], scheme: LabelScheme, licences: Container[str] | None = None
) -> Collection:
    """Read the metadata and match it with the images that are there.

    Args:
        root: the repository, with its folder ``data``.
        subsets: which of both halves.
        scheme: what the labels are.
        licences: the licences to keep, as ``licences.txt`` names them; None keeps all.

    Returns:
        The collection, by id; `Candidate.split` is upstream's.

    Raises:
        DataError: no metadata, metadata that cannot be read, an id in two folders, or a licence that nothing has.
    """
    collection = Collection()
    parts = _read_parts(root, subsets, scheme, collection)
    if licences is not None:
        _require_known(licences, parts.values())
    files: dict[str, Path] = {}
    folder_of: dict[str, str] = {}
    for folder, part in parts.items():
        images = root / "data" / folder / "images"
        here = index_images(images) if images.is_dir() else {}
        files |= here
        for roco_id in part.ids():
            if roco_id in folder_of:
                raise DataError(
                    f"{root / 'data'}: {roco_id} is in {folder_of[roco_id]} and in {folder}; restore the metadata from "
                    "the repository"
                )
            folder_of[roco_id] = folder
            reason = part.gap(roco_id) or _why_not(here.get(roco_id), part.licences[roco_id].name, licences)
            if reason is not None:
                collection.skip(reason, roco_id)
                continue
            collection.candidates.append(_candidate(roco_id, part, here[roco_id], _SPLITS[folder.partition("/")[0]]))
            if not part.labels[roco_id]:
                collection.note(_NO_LABEL[scheme])
    collection.candidates.sort(key=lambda candidate: candidate.id)
    collection.read |= {
        "image files": len(files),
        "image files no row names": len(files.keys() - folder_of.keys()),
        "pairs found": len(collection.candidates),
        "articles of these pairs": len({candidate.group for candidate in collection.candidates}),
    }
    if scheme == "cuis":
        labels = {roco_id: sets for part in parts.values() for roco_id, sets in part.labels.items()}
        keywords = {roco_id: words for part in parts.values() for roco_id, words in part.keywords.items()}
        collection.gloss = {label: best.word for label, best in typical_words(labels, keywords).items()}
    return collection


def _read_parts(root: Path, subsets: Container[Subset], scheme: LabelScheme, collection: Collection) -> dict[str, Part]:
    """Read the metadata folders that are there, by name such as ``test/radiology``."""
    parts: dict[str, Part] = {}
    for name in (f"{split}/{subset}" for split in _SPLITS for subset in SUBSETS if subset in subsets):
        folder = root / "data" / name
        if folder.is_dir():
            parts[name] = read_part(folder, scheme)
            collection.read[f"rows of {name}"] = len(parts[name].captions)
        else:
            collection.skip(NO_METADATA, name)
    if not parts:
        raise DataError(
            f"{root}: has none of the folders {', '.join(collection.skipped[NO_METADATA])} below data/; give the "
            "folder of the roco-dataset repository, with its scripts/fetch.py run"
        )
    return parts


def _require_known(licences: Container[str], parts: Iterable[Part]) -> None:
    known = {licence.name for part in parts for licence in part.licences.values()}
    for name in licences:
        if name not in known:
            raise DataError(f"--licences: no image has the licence {name!r}; there are {', '.join(sorted(known))}")


def _why_not(image: Path | None, licence: str, licences: Container[str] | None) -> str | None:
    if image is None:
        return MISSING_IMAGE
    return OTHER_LICENCE if licences is not None and licence not in licences else None


def _candidate(roco_id: str, part: Part, image: Path, split: Split) -> Candidate:
    licence = part.licences[roco_id]
    return Candidate(
        id=roco_id,
        image=image,
        text=part.captions[roco_id] or None,
        labels=part.labels[roco_id],
        group=licence.article,
        group_name=f"PMC{licence.article}",
        source=f"PMC{licence.article} {licence.file}, from {REPOSITORY}",
        licence=licence.name,
        split=split,
    )


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
