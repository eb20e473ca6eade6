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
"""

from collections.abc import Collection as Container
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from mcmfh_lightning.datamodules.collection import Candidate, Collection
from mcmfh_lightning.datamodules.images import index_images
from mcmfh_lightning.datamodules.roco.metadata import LabelScheme, Part, read_part
from mcmfh_lightning.datamodules.roco.words import typical_words
from mcmfh_lightning.datamodules.shards.info import Split
from mcmfh_lightning.errors import DataError

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
