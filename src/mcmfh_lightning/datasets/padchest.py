"""PadChest: chest films of one hospital with Spanish reports, to pair shards.

Source: Bustos et al., "PadChest: A large chest x-ray image dataset with multi-label annotated reports", Medical Image
Analysis 66, 2020, https://doi.org/10.1016/j.media.2020.101797; given out under a research use agreement at
https://bimcv.cipf.es/bimcv-projects/padchest. Nothing is downloaded here, and nothing is sent anywhere.

Decisions:

- *item* is a film; films of one study share report and labels.
- *text* is the report as the table has it: Spanish, in lower case, and shortened by upstream.
- *labels* are the entries of ``Labels``, a list that Python printed. ``exclude``, ``suboptimal study`` and
  ``unchanged`` say nothing about a finding and are left out; films that upstream excludes are skipped.
- *group* is the patient (``PatientID``): films of one patient look alike.
- *date* is the day of the study.
- The range of a 16-bit film is what `mcmfh_lightning.images.png` makes of its values.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console

from mcmfh_lightning.datasets.collection import Candidate, Collection
from mcmfh_lightning.datasets.source_options import MISSING_IMAGE, ShardOptions, require_images
from mcmfh_lightning.datasets.source_tables import Record, find_table, index_records, inner_path, read_csv
from mcmfh_lightning.datasets.table.labels import read_printed_list
from mcmfh_lightning.datasets.table.references import Groups
from mcmfh_lightning.datasets.table.values import is_missing
from mcmfh_lightning.shards import DatasetInfo

SOURCE = "PadChest (https://bimcv.cipf.es/bimcv-projects/padchest)"
LICENCE = "PadChest Dataset Research Use Agreement"
TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"

_COLUMNS = ("ImageID", "ImageDir", "StudyDate_DICOM", "PatientID", "Projection", "Report", "Labels")
_FRONTAL = ("PA", "AP", "AP_horizontal")
_EXCLUDED = "exclude"
_NO_FINDINGS = (_EXCLUDED, "suboptimal study", "unchanged")


@dataclass(frozen=True, kw_only=True)
class PadChestOptions:
    """Options of a conversion of PadChest.

    Args:
        root: Folder of the table PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.
        images: Folder of the films: in a folder for each ImageDir (0 to 54), or all in one. Default: root.
        frontal_only: Leave out films whose Projection is not PA, AP or AP_horizontal.
        split_by: Source of the splits: patient draws patients, date cuts in time. Default: patient.
    """

    root: Path
    images: Path | None = None
    frontal_only: bool = False
    split_by: Literal["patient", "date"] | None = None


def convert_padchest(options: PadChestOptions, shards: ShardOptions, out: Path, console: Console) -> DatasetInfo:
    """Write PadChest as pair shards; a folder that the same options finished is left alone.

    Args:
        options: What to read.
        shards: What to write.
        out: Folder of the shards.
        console: Where progress and warnings are shown.

    Raises:
        DataError: If `read_padchest` or `ShardOptions.write` raises it.
    """
    split_by = shards.choose_split(options.split_by, "patient", "patient")
    settings = {"frontal_only": options.frontal_only}
    return shards.write(
        partial(read_padchest, options),
        out,
        console,
        command="padchest",
        source=SOURCE,
        split_by=split_by,
        settings=settings,
    )


def read_padchest(options: PadChestOptions) -> Collection:
    """Read the table, and match it with the films that are there.

    Args:
        options: What to read.

    Returns:
        The collection, in the order of the table.

    Raises:
        DataError: If the table is missing or damaged, a row cannot be right, or no film is there.
    """
    images = options.images or options.root
    films, repeated = index_records(read_csv(find_table(options.root, TABLE), _COLUMNS), "ImageID")
    collection = Collection(read={"films in the table": len(films), "rows listed twice": repeated})
    groups = Groups()
    found = 0
    for image_id, film in films.items():
        image = _find(images, film)
        labels = list(_labels(film))
        with film.reading("PatientID"):
            patient = groups.read(film["PatientID"])
        if _EXCLUDED in map(str.casefold, (*labels, film["Projection"])):
            collection.skip("excluded by upstream", image_id)
        elif options.frontal_only and film["Projection"] not in _FRONTAL:
            collection.skip("not a frontal view", image_id)
        elif image is None:
            collection.skip(MISSING_IMAGE, image_id)
        elif is_missing(film["Report"]):
            found += 1
            collection.skip("no report", image_id)
        else:
            found += 1
            kept = tuple(sorted({label for label in labels if label.casefold() not in _NO_FINDINGS}))
            if not kept:
                collection.note("without a label: none that is a finding" if labels else "without a label: none given")
            collection.candidates.append(
                Candidate(
                    id=image_id,
                    image=image,
                    text=" ".join(film["Report"].split()),
                    labels=kept,
                    group=patient.number,
                    group_name=patient.name,
                    source=SOURCE,
                    licence=LICENCE,
                    date=_date(film),
                )
            )
    collection.read |= {"image files found": found, "patients": len({c.group for c in collection.candidates})}
    example = next((f"{film['ImageDir']}/{name}" for name, film in films.items()), "")
    require_images(collection, images, example, "--images")
    return collection


def _find(images: Path, film: Record) -> Path | None:
    """Find a film in the folder of its ImageDir, or directly in the folder of all."""
    name = inner_path(film, "ImageID", film["ImageID"])
    inner = inner_path(film, "ImageDir", film["ImageDir"], str(name))
    return next((path for path in (images / inner, images / name) if path.is_file()), None)


def _labels(film: Record) -> Iterator[str]:
    cell = film["Labels"]
    if not is_missing(cell):
        with film.reading("Labels"):
            yield from filter(None, (" ".join(name.split()) for name in read_printed_list(cell)))


def _date(film: Record) -> str | None:
    """Read the day of the study; a column of numbers in which one is missing has 20140915.0."""
    column = "StudyDate_DICOM"
    if is_missing(film[column]):
        return None
    digits = film[column].removesuffix(".0")
    try:
        if re.fullmatch(r"\d{8}", digits, re.ASCII):
            return date.fromisoformat(f"{digits[:4]}-{digits[4:6]}-{digits[6:]}").isoformat()
    except ValueError:
        pass
    raise film.error(f"{column} is not a day such as 20140915", "correct it, or leave it empty")
