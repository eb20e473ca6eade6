"""Write the phantom as Open-i ships its collection: an archive of reports, a folder of images, a table of splits."""

import csv
import gzip
import io
import os
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from mcmfh_lightning.datamodules.openi import NO_INDEXING
from mcmfh_lightning.datamodules.phantom.draw import draw_film
from mcmfh_lightning.datamodules.phantom.report import Report, write_report
from mcmfh_lightning.datamodules.phantom.study import PhantomStudy, sample_studies, sample_study
from mcmfh_lightning.datamodules.phantom.xml import major_terms, study_to_xml
from mcmfh_lightning.errors import DataError

REPORTS = "reports.tgz"
IMAGES = "images"
SPLITS_CSV = "splits.csv"


@dataclass(frozen=True)
class Record:
    """A study as it is put on disk, warts included.

    Attributes:
        study: the study.
        report: its report.
        major: its MeSH headings.
        drawn: ids of the films that get a file.
        truncated: whether the files end too early, as JPEGs do after a broken copy.
    """

    study: PhantomStudy
    report: Report
    major: tuple[str, ...]
    drawn: tuple[str, ...]
    truncated: bool = False


def write_phantom(out: Path, studies: int, seed: int, console: Console) -> None:
    """Write ``reports.tgz``, ``images/`` and ``splits.csv``; equal arguments give equal bytes.

    Args:
        out: a folder that does not exist yet or is empty.
        studies: number of studies; five more, one for each wart of real collections, are added.
        seed: of everything.
        console: where progress is shown.

    Raises:
        DataError: if the folder is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is not an empty folder: choose another --out, or delete this one first")
    (out / IMAGES).mkdir(parents=True)
    records = [_record(study) for study in sample_studies(studies, seed)] + _warts(studies, seed)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # threads: Pillow and NumPy draw outside the GIL
        done = pool.map(partial(_draw, folder=out / IMAGES), records)
        for _ in track(done, "Drawing films", total=len(records), console=console):
            pass
    _write_splits(out / SPLITS_CSV, records)
    _write_archive(out / REPORTS, records)  # last: with it, everything is there


def _record(study: PhantomStudy) -> Record:
    return Record(study, write_report(study), major_terms(study), study.images)


def _warts(studies: int, seed: int) -> list[Record]:
    """One study each: not indexed, without a text, without an image, with a missing file, with a broken one."""
    plain = [_record(sample_study(seed, studies + number, "train")) for number in range(1, 6)]
    silent = replace(plain[1].report, findings="", impression="")
    return [
        replace(plain[0], major=(NO_INDEXING,)),
        replace(plain[1], report=silent),
        replace(plain[2], study=replace(plain[2].study, images=()), drawn=()),
        replace(plain[3], drawn=()),
        replace(plain[4], truncated=True),
    ]


def _draw(record: Record, folder: Path) -> None:
    for exposure, image_id in enumerate(record.drawn):
        film = draw_film(record.study, exposure)
        if record.truncated:
            content = io.BytesIO()
            film.save(content, "JPEG")
            (folder / f"{image_id}.jpg").write_bytes(content.getvalue()[: len(content.getvalue()) // 2])
        else:
            film.save(folder / f"{image_id}.png", compress_level=3)


def _write_splits(path: Path, records: Sequence[Record]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image_id", "study_id", "study_date", "split"))
        for record in records:
            study = record.study
            for image_id in record.drawn:
                writer.writerow((image_id, f"CXR{study.number}", study.day.replace("-", ""), study.split))


def _write_archive(path: Path, records: Sequence[Record]) -> None:
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for record in records:
            xml = study_to_xml(record.study, record.report, record.major)
            member = tarfile.TarInfo(f"ecgen-radiology/{record.study.number}.xml")
            member.size = len(xml)
            tar.addfile(member, io.BytesIO(xml))
