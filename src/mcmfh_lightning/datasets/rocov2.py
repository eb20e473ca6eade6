"""ROCOv2: figures of open-access radiology articles with captions and UMLS concepts, to pair shards.

Source: Rückert et al., "ROCOv2: Radiology Objects in COntext Version 2, an Updated Multimodal Image Dataset",
Scientific Data 11, 2024, https://doi.org/10.1038/s41597-024-03496-6; data at https://doi.org/10.5281/zenodo.10821435.

Decisions:

- *text* is the caption, white space normalized; a figure without one is kept as an image without a text.
- *labels* are the concepts (CUIs) of ``*_concepts.csv``, or of ``*_concepts_manual.csv``: modality, body region and
  direction, which people checked. ``cui_mapping.csv`` has their names.
- *group* is the article, by its number in PubMed Central: figures of one article show one patient, or look alike.
- *licence* is how the article's attribution begins (``CC BY``); *source* has the attribution and the link.
- *date* stays empty. PubMed Central numbers articles as they come in, which dates no examination.
"""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console

from mcmfh_lightning.datasets.collection import Candidate, Collection, index_images
from mcmfh_lightning.datasets.source_options import MISSING_IMAGE, ShardOptions, require_images
from mcmfh_lightning.datasets.source_tables import Record, find_table, index_records, read_csv
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.shards.info import Split

Concepts = Literal["concepts", "concepts_manual"]

SOURCE = "ROCOv2 (https://doi.org/10.5281/zenodo.10821435)"

_SPLITS: dict[str, Split] = {"train": "train", "valid": "val", "test": "test"}
_LICENCES = "license_information.csv"
_ID = re.compile(r"\w[\w.-]{0,190}")


@dataclass(frozen=True, kw_only=True)
class Rocov2Options:
    """Options of a conversion of ROCOv2.

    Args:
        root: Folder of its tables, and of the unpacked images: train, valid and test, or train_images and so on.
        labels: Tables of concepts that are read: concepts takes all, concepts_manual the ones that people checked.
        split_by: Source of the splits: upstream takes train, valid and test, article draws articles. Default:
            upstream, with resplit article.
    """

    root: Path
    labels: Concepts = "concepts"
    split_by: Literal["upstream", "article"] | None = None


@dataclass(frozen=True)
class _Tables:
    """Tables of one split, each by image id, and its images by the same."""

    captions: dict[str, Record]
    concepts: dict[str, Record]
    images: dict[str, Path]


def convert_rocov2(options: Rocov2Options, shards: ShardOptions, out: Path, console: Console) -> DatasetInfo:
    """Write ROCOv2 as pair shards; a folder that the same options finished is left alone.

    Args:
        options: What to read.
        shards: What to write.
        out: Folder of the shards.
        console: Where progress and warnings are shown.

    Raises:
        DataError: If `read_rocov2` or `ShardOptions.write` raises it.
    """
    split_by = shards.choose_split(options.split_by, "upstream", "article")
    settings = {"labels": options.labels}
    return shards.write(
        partial(read_rocov2, options),
        out,
        console,
        command="rocov2",
        source=SOURCE,
        split_by=split_by,
        settings=settings,
    )


def read_rocov2(options: Rocov2Options) -> Collection:
    """Read the tables, and match them with the images that are there.

    Args:
        options: What to read.

    Returns:
        The collection, by split and in the order of the captions; `Candidate.split` is upstream's.

    Raises:
        DataError: If a table is missing or damaged, a row cannot be right, an id is in two splits, or no image is
            there.
    """
    root = options.root
    licences = _read(root, _LICENCES, ("ID", "PMCID", "Attribution", "Link"), "ID")
    names = _read(root, "cui_mapping.csv", ("CUI", "Canonical name"), "CUI")
    collection = Collection(gloss={cui: record["Canonical name"] for cui, record in names.items()})
    of_split = {split: _read_split(root, split, options.labels) for split in _SPLITS}
    collection.read = {f"captions of {split}": len(tables.captions) for split, tables in of_split.items()}
    seen: dict[str, Record] = {}
    for split, tables in of_split.items():
        for image_id, caption in tables.captions.items():
            if not _ID.fullmatch(image_id):
                raise caption.error("ID is not the name of an image such as ROCOv2_2023_train_000001")
            if image_id in seen:
                raise caption.error(f"{image_id} is in {seen[image_id].where} too", "keep it in one split")
            seen[image_id] = caption
            if image_id not in licences:
                collection.skip(f"not in {_LICENCES}", image_id)
            elif image_id not in tables.images:
                collection.skip(MISSING_IMAGE, image_id)
            else:
                _add(collection, tables, image_id, licences[image_id], _SPLITS[split])
    named = {image_id for tables in of_split.values() for image_id in tables.images}
    collection.read |= {
        "image files found": len(collection.candidates),
        "image files no caption names": len(named - seen.keys()),
        "articles": len({item.group for item in collection.candidates}),
    }
    require_images(collection, root, f"train/{next(iter(seen), '')}.jpg" if seen else "", "--root")
    return collection


def _read(root: Path, name: str, columns: tuple[str, ...], key: str) -> dict[str, Record]:
    return index_records(read_csv(find_table(root, name), columns), key)[0]


def _read_split(root: Path, split: str, labels: Concepts) -> _Tables:
    folders = (root / f"{split}_images" / split, root / f"{split}_images", root / split)
    images = next((folder for folder in folders if folder.is_dir()), None)
    return _Tables(
        captions=_read(root, f"{split}_captions.csv", ("ID", "Caption"), "ID"),
        concepts=_read(root, f"{split}_{labels}.csv", ("ID", "CUIs"), "ID"),
        images={} if images is None else index_images(images),
    )


def _add(collection: Collection, tables: _Tables, image_id: str, licence: Record, split: Split) -> None:
    article = re.fullmatch(r"(?:PMC)?(\d{1,18})", licence["PMCID"], re.ASCII)
    if article is None:
        raise licence.error("PMCID is not the number of an article such as PMC4608653")
    attribution = " ".join(licence["Attribution"].split())
    name = attribution.partition("[")[0].strip()
    labels = _cuis(tables.concepts.get(image_id))
    collection.candidates.append(
        Candidate(
            id=image_id,
            image=tables.images[image_id],
            text=" ".join(tables.captions[image_id]["Caption"].split()) or None,
            labels=labels,
            group=int(article[1]),
            group_name=f"PMC{article[1]}",
            source=", ".join(filter(None, (f"PMC{article[1]}", attribution, licence["Link"], f"from {SOURCE}"))),
            licence=name or "licence not stated",
            split=split,
        )
    )
    if not labels:
        collection.note("without a label: no concept")


def _cuis(record: Record | None) -> tuple[str, ...]:
    if record is None:
        return ()
    cuis = {cui.strip() for cui in record["CUIs"].split(";")} - {""}
    for cui in sorted(cuis):
        if not re.fullmatch(r"C\d{7}", cui, re.ASCII):
            raise record.error(f"{cui!r} is not a CUI such as C0040405; CUIs have a semicolon between them")
    return tuple(sorted(cuis))
