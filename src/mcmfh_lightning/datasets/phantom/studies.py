"""Studies of the phantom: who has what, reports in the words of each split, and the files that Open-i ships.

Patients, findings and reports are drawn; every value depends on the seed and the number of the study.
"""

import csv
import gzip
import io
import os
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import yaml
from rich.console import Console
from rich.progress import track

from mcmfh_lightning.datasets.openi import NO_INDEXING
from mcmfh_lightning.datasets.phantom.anatomy import SIDES, Anatomy
from mcmfh_lightning.datasets.phantom.findings import LABELS, UNSIDED, Finding, PhantomStudy, draw_film
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.info import SPLITS, Split
from mcmfh_lightning.shards.labels import NORMAL

REPORTS = "reports.tgz"
IMAGES = "images"
SPLITS_CSV = "splits.csv"
TITLE = "mcmfh-lightning phantom: drawn chest films, not of patients"

_NORMAL_SHARE = 0.16
_MANY = (0.4, 0.36, 0.18, 0.06)  # shares of 1, 2, 3 and 4 findings in a study that has any
_SECOND_FILM = 0.15
_UNMENTIONED = 0.06
_SHARES: tuple[tuple[Split, float], ...] = (("val", 0.10), ("test", 0.15))
_FIRST_DAY = date(2011, 3, 18)
_DENIED = (1, 3)  # number of findings that a report denies: from, below


@dataclass(frozen=True)
class Wording:
    """Sentences of the reports of one split; ``phrases.yaml`` says what each field holds."""

    present: Mapping[str, Sequence[str]]
    absent: Mapping[str, Sequence[str]]
    anatomy: Sequence[str]
    normal: Sequence[str]
    indications: Sequence[str]


@cache
def _phrases() -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load((files(__package__) / "phrases.yaml").read_text("utf-8"))
    return content


def wordings() -> Mapping[Split, Wording]:
    """Return the sentences of each split."""
    return {split: Wording(**_phrases()[split]) for split in SPLITS}


def sample_studies(count: int, seed: int) -> list[PhantomStudy]:
    """Draw ``count`` studies; each depends only on the seed, its number and the count."""
    order = np.random.default_rng([seed, 0]).permutation(count)
    splits: list[Split] = ["train"] * count
    start = 0
    for split, share in _SHARES:
        for index in order[start : start + round(share * count)]:
            splits[index] = split
        start += round(share * count)
    return [sample_study(seed, number, split) for number, split in enumerate(splits, start=1)]


def sample_study(seed: int, number: int, split: Split) -> PhantomStudy:
    """Draw one study."""
    rng = np.random.default_rng([seed, number, 1])
    count = 0 if rng.random() < _NORMAL_SHARE else 1 + int(rng.choice(len(_MANY), p=_MANY))
    findings = tuple(
        Finding(
            label=str(label),
            side=SIDES[int(rng.integers(2))],
            size=float(rng.random()),
            across=float(rng.uniform(0.5, 0.75)),
            down=float(rng.uniform(0.25, 0.85)),
            seed=int(rng.integers(2**31)),
        )
        for label in rng.choice(LABELS, size=count, replace=False)
    )
    film = int(rng.integers(1, 3000))
    views = ("1001", "1002") if rng.random() < _SECOND_FILM else ("1001",)
    return PhantomStudy(
        seed=seed,
        number=number,
        split=split,
        anatomy=_anatomy(rng),
        findings=findings,
        mentioned=frozenset(finding.label for finding in findings if rng.random() >= _UNMENTIONED),
        day=(_FIRST_DAY + timedelta(days=int(rng.integers(365)))).isoformat(),
        images=tuple(f"CXR{number}_IM-{film:04d}-{view}" for view in views),
    )


def _anatomy(rng: np.random.Generator) -> Anatomy:
    base = 0.74 + rng.normal(0, 0.018)
    return Anatomy(
        middle=0.5 + float(rng.normal(0, 0.008)),
        apex=0.11 + float(rng.normal(0, 0.012)),
        base=(base - 0.012 + float(rng.normal(0, 0.006)), base + 0.012 + float(rng.normal(0, 0.006))),
        half_width=0.365 + float(rng.normal(0, 0.014)),
        heart=float(rng.uniform(0.4, 0.475)),
        curve=float(rng.normal(0, 0.004)),
        flat=0.0,
        breast=float(rng.uniform(0.07, 0.15)) if rng.random() < 0.45 else 0.0,
        ribs=float(rng.random()),
    )


class Report(NamedTuple):
    """Sections of an Open-i report."""

    comparison: str
    indication: str
    findings: str
    impression: str


def write_report(study: PhantomStudy) -> Report:
    """Write the report of a study.

    What is mentioned is stated, some of what is not there is denied, in shuffled order. The first findings come again
    in the impression, in other words. A study of which nothing is mentioned reads as normal; its labels stay true.
    """
    rng = np.random.default_rng([study.seed, study.number, 2])
    wording = wordings()[study.split]
    stated = [finding for finding in study.findings if finding.label in study.mentioned]
    sentences, impression = [], []
    for rank, finding in enumerate(stated):
        first, second = _pick(wording.present[finding.label], 2, rng)
        sentences.append(_fill(first, finding))
        if rank < 2:
            impression.append(_fill(second, finding))
    sentences += _denials(study, wording, rng) + _pick(wording.anatomy, int(rng.integers(1, 3)), rng)
    rng.shuffle(sentences)
    indication = _pick(wording.indications, 1, rng)[0]
    return Report("None.", indication, " ".join(sentences), " ".join(impression or _pick(wording.normal, 1, rng)))


def _denials(study: PhantomStudy, wording: Wording, rng: np.random.Generator) -> list[str]:
    present = {finding.label for finding in study.findings}
    deniable = [label for label in wording.absent if label not in present]
    count = min(len(deniable), int(rng.integers(*_DENIED)))
    return [_pick(wording.absent[label], 1, rng)[0] for label in _pick(deniable, count, rng)]


def _pick(options: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    return [options[int(index)] for index in rng.choice(len(options), size=count, replace=False)]


def _fill(template: str, finding: Finding) -> str:
    size = ("small", "moderate", "large")[min(2, int(3 * finding.size))]
    zone = ("upper", "mid", "lower")[0 if finding.down < 0.42 else 1 if finding.down < 0.65 else 2]
    sentence = template.format(side=finding.side, size=size, zone=zone)
    return sentence[0].upper() + sentence[1:]


@dataclass(frozen=True)
class Record:
    """Study as it is written to disk, with the faults of real collections.

    Attributes:
        study: The study.
        report: Its report.
        major: Its MeSH headings.
        drawn: Ids of the films that get a file.
        truncated: Whether the files end too early, as JPEGs do after a broken copy.
    """

    study: PhantomStudy
    report: Report
    major: tuple[str, ...]
    drawn: tuple[str, ...]
    truncated: bool = False


def write_phantom(out: Path, studies: int, seed: int, console: Console) -> None:
    """Write ``reports.tgz``, ``images/`` and ``splits.csv``; equal arguments give equal bytes.

    Args:
        out: A folder that does not exist yet or is empty.
        studies: Number of studies; five more, one for each fault of real collections, are added.
        seed: Seed of everything.
        console: Where progress is shown.

    Raises:
        DataError: If the folder is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is not an empty folder: choose another --out, or delete this one first")
    (out / IMAGES).mkdir(parents=True)
    records = [_record(study) for study in sample_studies(studies, seed)] + _faulty_records(studies, seed)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # threads: Pillow and NumPy draw outside the GIL
        done = pool.map(partial(_draw, folder=out / IMAGES), records)
        for _ in track(done, "Drawing films", total=len(records), console=console):
            pass
    _write_splits(out / SPLITS_CSV, records)
    _write_archive(out / REPORTS, records)  # last: with it, everything is there


def _record(study: PhantomStudy) -> Record:
    """Give a study its report and MeSH headings with qualifiers, as upstream writes them: ``Pleural Effusion/left``."""
    major = tuple(f.label if f.label in UNSIDED else f"{f.label}/{f.side}" for f in study.findings) or (NORMAL,)
    return Record(study, write_report(study), major, study.images)


def _faulty_records(studies: int, seed: int) -> list[Record]:
    """Make one study each: not indexed, without a text, without an image, with a missing file, with a broken one."""
    plain = [_record(sample_study(seed, studies + number, "train")) for number in range(1, 6)]
    return [
        replace(plain[0], major=(NO_INDEXING,)),
        replace(plain[1], report=plain[1].report._replace(findings="", impression="")),
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
            xml = _study_to_xml(record)
            member = tarfile.TarInfo(f"ecgen-radiology/{record.study.number}.xml")
            member.size = len(xml)
            tar.addfile(member, io.BytesIO(xml))


def _study_to_xml(record: Record) -> bytes:
    """Write the elements in upstream's order; the license says that the drawings are free (CC0)."""
    study = record.study
    sections = record.report._asdict().items()
    abstract = "".join(f"<AbstractText Label={quoteattr(k.upper())}>{escape(v)}</AbstractText>\n" for k, v in sections)
    mesh = "".join(f"<major>{escape(term)}</major>\n" for term in record.major)
    mesh += "".join(f"<automatic>{escape(label.lower())}</automatic>\n" for label in sorted(study.mentioned))
    images = "".join(
        f"<parentImage id={quoteattr(image_id)}>\n<figureId>F{number}</figureId>\n<caption>Xray Chest PA</caption>\n"
        "</parentImage>\n"
        for number, image_id in enumerate(study.images, start=1)
    )
    xml: str = _phrases()["xml"]
    return xml.format(number=study.number, title=escape(TITLE), abstract=abstract, mesh=mesh, images=images).encode()
