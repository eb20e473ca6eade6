"""Write the phantom as Open-i ships its collection: an archive of reports, a folder of images, a table of splits.

From a study to a film: pose, exposure and noise differ between films, patient and findings do not.

A study as the XML of Open-i's reports archive.
"""

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
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from mcmfh_lightning.datasets.openi import NO_INDEXING
from mcmfh_lightning.datasets.phantom.anatomy import SIZE, Canvas, Grid, clouds, draw_anatomy, lung_mask
from mcmfh_lightning.datasets.phantom.findings import PAINTS, SHAPES, UNSIDED, Finding
from mcmfh_lightning.datasets.phantom.study import PhantomStudy, Report, sample_studies, sample_study, write_report
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.labels import NORMAL

FILM_SIZE = 224


def draw_film(study: PhantomStudy, exposure: int) -> Image.Image:
    """Draw one film of a study, (224, 224) grey; the same arguments give the same pixels.

    Args:
        study: the patient and the findings.
        exposure: number of the film.
    """
    patient = np.random.default_rng([study.seed, study.number])
    anatomy = study.anatomy
    for finding in study.findings:
        if finding.label in SHAPES:
            anatomy = SHAPES[finding.label](anatomy, finding)
    canvas = Canvas()
    draw_anatomy(canvas, anatomy, patient)
    lungs = lung_mask(anatomy)
    findings = {finding.label: finding for finding in study.findings}
    for label, paint in PAINTS.items():
        if label in findings:
            finding = findings[label]
            paint(canvas, anatomy, lungs, finding, np.random.default_rng(finding.seed))
    return _develop(canvas.density, np.random.default_rng([study.seed, study.number, exposure]))


def _develop(density: Grid, rng: np.random.Generator) -> Image.Image:
    """Expose the plate (Beer-Lambert: the film blackens with exp(-density)), move the patient, add noise."""
    density = density + 0.025 * clouds(rng, 8) + 0.012 * clouds(rng, 40)
    light = 1 - np.exp(-np.maximum(density, 0) * np.float32(rng.uniform(1.35, 1.9)))
    light = (light / np.float32(rng.uniform(0.84, 0.92))) ** np.float32(rng.uniform(0.85, 1.15))
    plate = Image.fromarray(np.clip(light, 0, 1).astype(np.float32))
    angle, zoom = rng.normal(0, 0.025), SIZE / FILM_SIZE * rng.uniform(0.88, 0.97)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    x, y = SIZE / 2 + rng.normal(0, 0.012, 2) * SIZE  # what comes to lie in the middle of the film
    half = FILM_SIZE / 2
    turned = (cos, -sin, x - half * (cos - sin), sin, cos, y - half * (sin + cos))
    plate = plate.transform((FILM_SIZE, FILM_SIZE), Image.Transform.AFFINE, turned, Image.Resampling.BILINEAR)
    grain = rng.standard_normal((FILM_SIZE, FILM_SIZE), dtype=np.float32) * np.float32(rng.uniform(0.008, 0.022))
    return Image.fromarray(np.clip((np.asarray(plate) + grain) * 255, 0, 255).astype(np.uint8))


TITLE = "mcmfh-lightning phantom: drawn chest films, not of patients"


def study_to_xml(study: PhantomStudy, report: Report, major: tuple[str, ...]) -> bytes:
    """Write the elements in upstream's order; the licence says that the drawings are free (CC0)."""
    sections = {
        "COMPARISON": report.comparison,
        "INDICATION": report.indication,
        "FINDINGS": report.findings,
        "IMPRESSION": report.impression,
    }
    abstract = "".join(f"<AbstractText Label={quoteattr(k)}>{escape(v)}</AbstractText>\n" for k, v in sections.items())
    mesh = "".join(f"<major>{escape(term)}</major>\n" for term in major)
    automatic = sorted(label.lower() for label in study.mentioned)
    mesh += "".join(f"<automatic>{escape(term)}</automatic>\n" for term in automatic)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<eCitation>
<meta type="rr"/>
<uId id="CXR{study.number}"/>
<pmcId id="{study.number}"/>
<docSource>CXR</docSource>
<IUXRId id="{study.number}"/>
<licenseType>open-access</licenseType>
<licenseURL>https://creativecommons.org/publicdomain/zero/1.0/</licenseURL>
<ccLicense>cc0</ccLicense>
<articleURL/>
<articleDate>2013-08-01</articleDate>
<articleType>XR</articleType>
<publisher>mcmfh-lightning</publisher>
<title>{escape(TITLE)}</title>
<MedlineCitation>
<Article PubModel="Electronic">
<ArticleTitle>{escape(TITLE)}</ArticleTitle>
<Abstract>
{abstract}</Abstract>
</Article>
</MedlineCitation>
<MeSH>
{mesh}</MeSH>
{"".join(_image(image_id, number) for number, image_id in enumerate(study.images, start=1))}</eCitation>
""".encode()


def major_terms(study: PhantomStudy) -> tuple[str, ...]:
    """MeSH headings with qualifiers, as upstream writes them: ``Pleural Effusion/left``."""
    return tuple(_term(finding) for finding in study.findings) or (NORMAL,)


def _term(finding: Finding) -> str:
    return finding.label if finding.label in UNSIDED else f"{finding.label}/{finding.side}"


def _image(image_id: str, number: int) -> str:
    return f"""<parentImage id={quoteattr(image_id)}>
<figureId>F{number}</figureId>
<caption>Xray Chest PA</caption>
</parentImage>
"""


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
