import csv
import re
import tarfile
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mcmfh_lightning.datasets.openi import parse_study, read_reports
from mcmfh_lightning.datasets.phantom.findings import LABELS, PhantomStudy, draw_film
from mcmfh_lightning.datasets.phantom.studies import sample_studies, wordings, write_phantom, write_report
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.shards.labels import NORMAL, share_probability

SEEDS = (0, 1)


@pytest.fixture(scope="module", params=SEEDS)
def studies(request) -> list[PhantomStudy]:
    return sample_studies(1600, request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "out"
    write_phantom(out, studies=8, seed=5, console=Console(quiet=True))
    return out


def labels_of(study: PhantomStudy) -> tuple[str, ...]:
    return tuple(finding.label for finding in study.findings) or (NORMAL,)


def sentences_of(study: PhantomStudy) -> set[str]:
    report = write_report(study)
    text = f"{report.indication} {report.findings} {report.impression}"
    return {sentence.strip() for sentence in re.split(r"(?<=\.)\s", text)}


def test_chance_and_label_shares_are_within_the_promised_bounds(studies):
    pairs = [(labels_of(study), study.number) for study in studies for _ in study.images]
    sharing = share_probability([p[0] for p in pairs], [p[1] for p in pairs], [NORMAL, *LABELS])
    assert 0.15 <= sharing <= 0.30
    counts = Counter(label for labels, _ in pairs for label in labels)
    assert set(counts) == {NORMAL, *LABELS}
    assert max(counts.values()) <= 0.30 * len(pairs)
    assert min(counts.values()) >= 0.05 * len(pairs)


def test_splits_are_by_study_and_large_enough(studies):
    counts = Counter(study.split for study in studies)
    assert counts == {"train": 1200, "val": 160, "test": 240}
    assert len({study.number for study in studies}) == len(studies)
    films = Counter(len(study.images) for study in studies)
    assert 0.10 < films[2] / len(studies) < 0.20


def test_ids_are_those_of_the_collection_and_unique(studies):
    ids = [image_id for study in studies for image_id in study.images]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(rf"CXR{study.number}_IM-\d{{4}}-100\d", i) for study in studies for i in study.images)


def test_no_sentence_is_shared_between_splits(studies):
    seen = {split: set().union(*(sentences_of(s) for s in studies if s.split == split)) for split in wordings()}
    assert all(len(sentences) > 30 for sentences in seen.values())
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["val"]
    assert not seen["val"] & seen["test"]


@pytest.mark.parametrize("split", wordings())
def test_every_finding_has_words_of_its_own_in_every_split(split):
    wording = wordings()[split]
    assert set(wording.present) == set(LABELS)
    assert all(len(set(phrases)) == len(phrases) >= 2 for phrases in wording.present.values())
    phrases = [phrase for options in wording.present.values() for phrase in options]
    assert len(set(phrases)) == len(phrases)


@cache
def pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"\\w+", re.escape(template)), re.IGNORECASE)


def test_reports_state_what_is_mentioned_and_never_deny_what_is_there(studies):
    unmentioned = denied = 0
    for study in studies[:400]:
        wording, sentences = wordings()[study.split], sentences_of(study)
        for label in labels_of(study):
            if label == NORMAL:
                continue
            stated = any(pattern(t).fullmatch(sentence) for sentence in sentences for t in wording.present[label])
            assert stated == (label in study.mentioned)
            assert not sentences & set(wording.absent.get(label, ()))
            unmentioned += not stated
        denied += bool(sentences & {t for options in wording.absent.values() for t in options})
    findings = sum(len(study.findings) for study in studies[:400])
    assert 0.02 < unmentioned / findings < 0.12
    assert denied / 400 > 0.9


def test_the_same_seed_gives_the_same_films_and_reports():
    first, second, other = (sample_studies(12, seed) for seed in (4, 4, 5))
    assert first == second
    assert first != other
    assert [write_report(s) for s in first] == [write_report(s) for s in second]
    assert draw_film(first[3], 0).tobytes() == draw_film(second[3], 0).tobytes()
    assert draw_film(first[3], 0).tobytes() != draw_film(other[3], 0).tobytes()


def test_two_films_of_a_study_differ_in_pose_and_noise_only():
    study = next(s for s in sample_studies(40, 0) if len(s.images) == 2)
    films = [np.asarray(draw_film(study, exposure), dtype=float) for exposure in (0, 1)]
    assert np.abs(films[0] - films[1]).mean() > 1
    assert np.corrcoef(films[0].ravel(), films[1].ravel())[0, 1] > 0.7


@pytest.fixture(scope="module")
def few() -> list[PhantomStudy]:
    return sample_studies(200, 1)


@pytest.mark.parametrize("label", LABELS)
def test_a_finding_is_visible(few, label):
    """Removing it changes a patch of the film by more than five times the strongest noise."""
    study = next(s for s in few if label in labels_of(s))
    without = replace(study, findings=tuple(f for f in study.findings if f.label != label))
    change = np.asarray(draw_film(study, 0), dtype=float) - np.asarray(draw_film(without, 0), dtype=float)
    assert np.count_nonzero(np.abs(change) > 5 * 0.022 * 255) > 25


def test_findings_are_all_that_sets_films_apart():
    """The label's name has no influence: a normal film is one whatever the split and the mentions say."""
    study = next(s for s in sample_studies(40, 0) if not s.findings)
    renamed = replace(study, split="test", mentioned=frozenset({"Nodule"}), images=("CXR9_IM-0001-1001",))
    assert draw_film(study, 0).tobytes() == draw_film(renamed, 0).tobytes()


def test_the_files_are_those_of_the_collection(folder):
    studies = [parse_study(xml) for _, xml in read_reports(folder / "reports.tgz")]
    assert len(studies) == 8 + 5
    assert {study.licence for study in studies} == {"CC0 1.0"}
    assert not any("Open-i" in study.source or "Indiana" in study.source for study in studies)
    with tarfile.open(folder / "reports.tgz") as tar:
        assert tar.getnames()[0] == "ecgen-radiology/1.xml"
    truth = {study.number: set(labels_of(study)) for study in sample_studies(8, 5)}
    assert {s.number: set(s.labels("mesh_major")) for s in studies if s.number <= 8} == truth
    with (folder / "splits.csv").open() as file:
        rows = {row["image_id"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {path.stem for path in (folder / "images").iterdir()}
    for path in (folder / "images").glob("*.png"):
        with Image.open(path) as film:
            assert (film.size, film.mode, film.info) == ((224, 224), "L", {})


def test_equal_arguments_write_equal_bytes(folder, tmp_path):
    again = tmp_path / "again"
    write_phantom(again, studies=8, seed=5, console=Console(quiet=True))
    contents = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (folder, again)
    ]
    assert contents[0] == contents[1]


def test_a_folder_with_files_is_refused(folder):
    with pytest.raises(DataError, match="not an empty folder"):
        write_phantom(folder, studies=1, seed=0, console=Console(quiet=True))
