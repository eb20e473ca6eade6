"""CheXpert Plus: chest films of one hospital with the sections of their reports, to pair shards.

Source: Chambon et al., "CheXpert Plus: Augmenting a Large Chest X-ray Dataset with Text Radiology Reports, Patient
Demographics and Additional Image Formats", 2024, https://arxiv.org/abs/2405.19538; given out under a research use
agreement at https://aimi.stanford.edu/datasets/chexpert-plus. Nothing is downloaded here, and nothing is sent anywhere.

Decisions:

- *item* is a film (``train/patient00001/study1/view1_frontal``); films of one study share its report.
- *text* is the section of findings and that of the impression, white space normalized. Age, sex, race and what else the
  table says about a patient is not read.
- *labels* are the labeler's, by film, of the impression, the findings or the whole report. Where that section is empty
  the labeler's row is not read: it says ``No Finding`` of nothing.
- *group* is the patient (``deid_patient_id``): films of one patient look alike.
- *date*: none. The table has the order of a patient's studies, and no day.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from rich.console import Console

from mcmfh_lightning.datasets.chexpert_labels import OBSERVATIONS, ObservationLabels
from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.datasets.source_options import MISSING_IMAGE, ShardOptions, require_images
from mcmfh_lightning.datasets.source_tables import (
    Record,
    find_table,
    index_records,
    inner_path,
    read_csv,
    read_json_lines,
)
from mcmfh_lightning.datasets.table.references import Groups
from mcmfh_lightning.datasets.table.values import is_missing
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.shards.info import Split

LabeledSection = Literal["impression", "findings", "report"]

SOURCE = "CheXpert Plus (https://aimi.stanford.edu/datasets/chexpert-plus)"
LICENCE = "Stanford University Dataset Research Use Agreement"
TABLE = "df_chexpert_plus_240401.csv"

_PATH = "path_to_image"
_SPLITS: dict[str, Split] = {"train": "train", "valid": "val"}
_VIEWS = ("Frontal", "Lateral")
_COLUMNS = (_PATH, "path_to_dcm", "frontal_lateral", "deid_patient_id", "section_findings", "section_impression")
_ENDINGS = (".png", ".jpg", ".jpeg", ".dcm")


@dataclass(frozen=True, kw_only=True)
class ChexpertPlusOptions:
    """Options of a conversion of CheXpert Plus.

    Args:
        root: Folder of the table df_chexpert_plus_240401.csv, and of the labels, in chexbert_labels or directly.
        images: Folder that holds train and valid, of PNG, JPEG or DICOM files. Default: root/PNG, or root.
        labels: Section that the labels are of: impression, findings or report.
        uncertain_is_present: Let -1 (uncertain) count as present.
        frontal_only: Leave out films whose frontal_lateral is not Frontal.
        split_by: Source of the splits: patient draws patients, upstream takes train and valid and leaves no test.
            Default: patient.
    """

    root: Path
    images: Path | None = None
    labels: LabeledSection = "impression"
    uncertain_is_present: bool = False
    frontal_only: bool = False
    split_by: Literal["patient", "upstream"] | None = None


def convert_chexpert_plus(
    options: ChexpertPlusOptions, shards: ShardOptions, out: Path, console: Console
) -> DatasetInfo:
    """Write CheXpert Plus as pair shards; a folder that the same options finished is left alone.

    Args:
        options: What to read.
        shards: What to write.
        out: Folder of the shards.
        console: Where progress and warnings are shown.

    Raises:
        DataError: If `read_chexpert_plus` or `ShardOptions.write` raises it.
    """
    split_by = shards.choose_split(options.split_by, "patient", "patient")
    settings = {
        "labels": options.labels,
        "uncertain_is_present": options.uncertain_is_present,
        "frontal_only": options.frontal_only,
    }
    read = partial(read_chexpert_plus, options)
    return shards.write(
        read, out, console, command="chexpert-plus", source=SOURCE, split_by=split_by, settings=settings
    )


def read_chexpert_plus(options: ChexpertPlusOptions) -> Collection:
    """Read the table and the labels, and match them with the films that are there.

    Args:
        options: What to read.

    Returns:
        The collection, in the order of the table; `Candidate.split` is upstream's.

    Raises:
        DataError: If the table or the labels are missing or damaged, a row cannot be right, or no film is there.
    """
    root, section = options.root, options.labels
    labeled = section if section == "report" else f"section_{section}"
    columns = tuple(dict.fromkeys((*_COLUMNS, "split", labeled)))
    films, repeated = index_records(read_csv(find_table(root, TABLE), columns), _PATH)
    labels_folder = root / "chexbert_labels" if (root / "chexbert_labels").is_dir() else root
    labels_file = find_table(labels_folder, f"{section}_fixed.json")
    labels, _ = index_records(read_json_lines(labels_file, (_PATH, *OBSERVATIONS)), _PATH)
    images = options.images or _images_below(root)
    collection = Collection(read={"films in the table": len(films), "rows listed twice": repeated})
    of_item = ObservationLabels(collection, uncertain_is_present=options.uncertain_is_present)
    groups = Groups()
    found = 0
    for film in films.values():
        path = inner_path(film, _PATH, film[_PATH])
        item_id = str(path.with_suffix(""))
        split, view = _choice(film, "split", _SPLITS), _choice(film, "frontal_lateral", _VIEWS)
        image = _find(images, path, film)
        with film.reading("deid_patient_id"):
            patient = groups.read(film["deid_patient_id"])
        if options.frontal_only and view != _VIEWS[0]:
            collection.skip("not a frontal view", item_id)
            continue
        if image is None:
            collection.skip(MISSING_IMAGE, item_id)
            continue
        found += 1
        text = " ".join(filter(None, (_section(film, "section_findings"), _section(film, "section_impression"))))
        if not text:
            collection.skip("report without findings and impression", item_id)
            continue
        row = labels.get(film[_PATH])
        absent = f"film is not in {labels_file.name}"
        if not _section(film, labeled):
            row, absent = None, f"no {section}, which the labels are of"
        collection.candidates.append(
            Candidate(
                id=item_id,
                image=image,
                text=text,
                labels=of_item.read(row, absent),
                group=patient.number,
                group_name=patient.name,
                source=SOURCE,
                licence=LICENCE,
                split=_SPLITS[split],
            )
        )
    collection.read |= {"image files found": found, "patients": len({c.group for c in collection.candidates})}
    require_images(collection, images, next(iter(films), ""), "--images")
    of_item.finish()
    return collection


def _images_below(root: Path) -> Path:
    folders = (root / "PNG" / "PNG", root / "PNG", root)
    return next((folder for folder in folders if any((folder / split).is_dir() for split in _SPLITS)), root)


def _find(images: Path, path: PurePosixPath, film: Record) -> Path | None:
    """Find a film, whatever format its tree has; the tree of DICOM files may name it in its own way."""
    candidates = [path.with_suffix(ending) for ending in _ENDINGS]
    if film["path_to_dcm"]:
        candidates.append(inner_path(film, "path_to_dcm", film["path_to_dcm"]))
    return next((images / candidate for candidate in candidates if (images / candidate).is_file()), None)


def _choice(film: Record, column: str, valid: dict[str, Split] | tuple[str, ...]) -> str:
    value = film[column]
    if value not in valid:
        raise film.error(f"unknown {column} {value!r}, valid are {', '.join(valid)}{did_you_mean(value, valid)}")
    return value


def _section(film: Record, column: str) -> str:
    text = " ".join(film[column].split())
    return "" if is_missing(text) else text
