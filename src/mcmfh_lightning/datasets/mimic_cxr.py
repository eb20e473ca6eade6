"""MIMIC-CXR-JPG, chest films of one hospital, with the reports of MIMIC-CXR.

Source: Johnson et al., "MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs" (2019),
https://doi.org/10.13026/8360-t248, and "MIMIC-CXR Database", https://doi.org/10.13026/C2JT1Q. Both are given to
credentialed users alone: nothing is downloaded here, and nothing is sent anywhere.

Decisions:

- *item* is a film (``dicom_id``); films of one study share its report and labels.
- *text* is FINDINGS and IMPRESSION of the report, white space normalized. ``___``, the mark left by de-identification,
  stays: the words that it replaces are not known.
- *labels* are what one of both labelers, CheXpert's or NegBio, found in the report.
- *group* is the patient (``p10000032``): films of one patient look alike, and upstream splits by patient.
- *date*: none. Upstream moves the dates of each patient by another number of days, so that they order nothing.
"""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console

from mcmfh_lightning.datasets.chexpert_labels import OBSERVATIONS, ObservationLabels
from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.datasets.source_options import MISSING_IMAGE, ShardOptions, require_images
from mcmfh_lightning.datasets.source_tables import Record, find_table, index_records, read_csv
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.nearest import did_you_mean
from mcmfh_lightning.shards import DatasetInfo
from mcmfh_lightning.shards.info import Split

Labeler = Literal["chexpert", "negbio"]

SOURCE = "MIMIC-CXR-JPG (https://physionet.org/content/mimic-cxr-jpg)"
LICENCE = "PhysioNet Credentialed Health Data License 1.5.0"

_SPLITS: dict[str, Split] = {"train": "train", "validate": "val", "test": "test"}
_FRONTAL = ("AP", "PA")
_HEADINGS = (
    *("ADDENDUM", "CLINICAL HISTORY", "CLINICAL INFORMATION", "CLINICAL INDICATION", "COMPARISON", "COMPARISONS"),
    *("CONCLUSION", "EXAM", "EXAMINATION", "FINAL ADDENDUM", "FINAL REPORT", "FINDINGS", "FINDINGS AND IMPRESSION"),
    *("HISTORY", "IMPRESSION", "INDICATION", "NOTIFICATION", "PREAMBLE", "PROCEDURE", "REASON FOR EXAM"),
    *("REASON FOR EXAMINATION", "RECOMMENDATION", "RECOMMENDATIONS", "REFERENCE EXAM", "REPORT", "STUDY"),
    *("TECHNIQUE", "WET READ"),
)
_READ = ("FINDINGS", "FINDINGS AND IMPRESSION", "IMPRESSION", "CONCLUSION")
_NAMED = "|".join(sorted(_HEADINGS, key=len, reverse=True))
# FINAL REPORT stands alone on its line, without a colon.
_HEADING = re.compile(rf"^[ \t]*(?:({_NAMED})[ \t]*:|FINAL REPORT[ \t]*$)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class MimicCxrOptions:
    """Options of a conversion of MIMIC-CXR-JPG.

    Args:
        root: Folder of MIMIC-CXR-JPG: its tables, and the films below files.
        reports: Folder of MIMIC-CXR's reports: below files/p10/p10000032 is s50414267.txt. Default: root.
        labels: Labeler whose table is read: chexpert or negbio.
        uncertain_is_present: Let -1 (uncertain) count as present.
        frontal_only: Leave out films whose ViewPosition is not AP or PA.
        split_by: Source of the splits: upstream takes the split table, patient draws patients. Default: upstream, with
            resplit patient.
    """

    root: Path
    reports: Path | None = None
    labels: Labeler = "chexpert"
    uncertain_is_present: bool = False
    frontal_only: bool = False
    split_by: Literal["upstream", "patient"] | None = None


def convert_mimic_cxr(options: MimicCxrOptions, shards: ShardOptions, out: Path, console: Console) -> DatasetInfo:
    """Write MIMIC-CXR-JPG as pair shards; a folder that the same options finished is left alone.

    Args:
        options: What to read.
        shards: What to write.
        out: Folder of the shards.
        console: Where progress and warnings are shown.

    Raises:
        DataError: If `read_mimic_cxr` or `ShardOptions.write` raises it.
    """
    split_by = shards.choose_split(options.split_by, "upstream", "patient")
    read = partial(read_mimic_cxr, options, with_splits=split_by == "upstream")
    settings = {
        "labels": options.labels,
        "uncertain_is_present": options.uncertain_is_present,
        "frontal_only": options.frontal_only,
    }
    return shards.write(read, out, console, command="mimic-cxr", source=SOURCE, split_by=split_by, settings=settings)


def read_mimic_cxr(options: MimicCxrOptions, *, with_splits: bool) -> Collection:
    """Read the tables, and match them with the films and reports that are there.

    Args:
        options: What to read.
        with_splits: Whether the split table is read.

    Returns:
        The collection, in the order of the metadata table.

    Raises:
        DataError: If a table or folder is missing or damaged, a row cannot be right, or no film is there.
    """
    root, reports = options.root, options.reports or options.root
    if not (reports / "files").is_dir():
        fix = "give the folder where mimic-cxr-reports.zip was unpacked by --reports"
        raise DataError(f"{reports}: has no folder files of reports; {fix}")
    names = ("dicom_id", "subject_id", "study_id")
    films, repeated = _table(root, "metadata", (*names, "ViewPosition"), "dicom_id")
    labels, _ = _table(root, options.labels, ("subject_id", "study_id", *OBSERVATIONS), "study_id")
    splits = _table(root, "split", (*names, "split"), "dicom_id")[0] if with_splits else {}
    collection = Collection(read={"films in the metadata table": len(films), "rows listed twice": repeated})
    of_item = ObservationLabels(collection, uncertain_is_present=options.uncertain_is_present)
    texts: dict[str, str | None] = {}
    found = 0
    example = ""
    for dicom_id, film in films.items():
        study = _study_path(film)
        image = root / "files" / study / f"{dicom_id}.jpg"
        example = example or str(image.relative_to(root))
        split = _split(splits.get(dicom_id), film)
        if options.frontal_only and film["ViewPosition"] not in _FRONTAL:
            collection.skip("not a frontal view", dicom_id)
            continue
        if not image.is_file():
            collection.skip(MISSING_IMAGE, dicom_id)
            continue
        found += 1
        if study not in texts:
            texts[study] = _read_report(reports / "files" / f"{study}.txt", collection)
        text = texts[study]
        if not text:
            collection.skip("report without FINDINGS and IMPRESSION" if text == "" else "no report", dicom_id)
            continue
        row = _agreeing(labels.get(film["study_id"]), film, "subject_id")
        collection.candidates.append(
            Candidate(
                id=dicom_id,
                image=image,
                text=text,
                labels=of_item.read(row, f"study is not in the {options.labels} table"),
                group=int(film["subject_id"]),
                group_name=f"p{film['subject_id']}",
                source=SOURCE,
                licence=LICENCE,
                split=split,
            )
        )
        if "___" in text:
            collection.note("text contains ___ (de-identification)")
    collection.read |= {"image files found": found, "reports read": sum(text is not None for text in texts.values())}
    require_images(collection, root, example, "--root")
    of_item.finish()
    return collection


def _table(root: Path, kind: str, columns: tuple[str, ...], key: str) -> tuple[dict[str, Record], int]:
    return index_records(read_csv(find_table(root, f"mimic-cxr-2.0.0-{kind}.csv.gz"), columns), key)


def _study_path(film: Record) -> str:
    """Return the path of a study below ``files``; its parts are checked, so that it stays there."""
    for column, form, example in (
        ("dicom_id", r"[0-9a-f]{1,16}(-[0-9a-f]{1,16})*", "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"),
        ("subject_id", r"\d{8}", "10000032"),
        ("study_id", r"\d{8}", "50414267"),
    ):
        if not re.fullmatch(form, film[column], re.ASCII):
            raise film.error(f"{column} is not a number such as {example}")
    subject = film["subject_id"]
    return f"p{subject[:2]}/p{subject}/s{film['study_id']}"


def _split(row: Record | None, film: Record) -> Split | None:
    row = _agreeing(row, film, "subject_id", "study_id")
    if row is None:
        return None
    if row["split"] not in _SPLITS:
        near = did_you_mean(row["split"], _SPLITS)
        raise row.error(f"unknown split {row['split']!r}, valid are {', '.join(_SPLITS)}{near}")
    return _SPLITS[row["split"]]


def _agreeing(row: Record | None, film: Record, *columns: str) -> Record | None:
    """Return a row of another table, which must be of the same patient and study as the film."""
    for column in columns if row else ():
        if row is not None and row[column] != film[column]:
            raise row.error(f"{column} is another one than in {film.where}")
    return row


def _read_report(path: Path, collection: Collection) -> str | None:
    """Read the text of a study; None without a report that can be read, empty without the sections."""
    try:
        return report_text(path.read_bytes().decode())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        collection.skip("unreadable report", path.stem)
        return None


def report_text(report: str) -> str:
    r"""Return FINDINGS and IMPRESSION of a report, joined by a blank, white space normalized.

    A section ends at the next heading that MIMIC-CXR's reports have; other words in capitals with a colon, such as
    ``LUNGS:``, are a part of it.

    >>> report_text(" FINDINGS: \n Clear lungs.\n\n IMPRESSION:  Normal. \n NOTIFICATION:  None.")
    'Clear lungs. Normal.'
    """
    headings = list(_HEADING.finditer(report))
    ends = [*(heading.start() for heading in headings), len(report)][1:]
    parts = (report[heading.end() : end] for heading, end in zip(headings, ends, strict=True) if heading[1] in _READ)
    return " ".join(" ".join(parts).split())
