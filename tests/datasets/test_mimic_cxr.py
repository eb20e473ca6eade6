"""The converter of MIMIC-CXR-JPG, on a folder in its layout whose contents are invented."""

import gzip
import re
from pathlib import Path

import pytest

from mcmfh_lightning.datasets.mimic_cxr import LICENCE, report_text
from mcmfh_lightning.shards import DatasetInfo
from tests.datasets.published import convert, edit, pairs_of, refused, run_page, write_csv, write_film

IDS = ["dicom_id", "subject_id", "study_id"]
METADATA = [
    *(*IDS, "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime"),
    *("ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning"),
    "PatientOrientationCodeSequence_CodeMeaning",
]
LABELS = [
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture"),
    *("Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax"),
    "Support Devices",
]
FULL = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___-year-old woman with cough.

 COMPARISON:  None.

 FINDINGS:

 Frontal and lateral views.
 LUNGS:  Small   effusion on ___.

 IMPRESSION:

 1.  Small left effusion.

 NOTIFICATION:  Phoned to the ward.
"""
WET_READ = (
    " WET READ: ___ 3:46 AM\n  Looks fine.\n ______\n   FINAL REPORT\n HISTORY:  Fall.\n\n IMPRESSION:  Rib fracture.\n"
)
BARE = "                                 FINAL REPORT\n PORTABLE CHEST\n\n Tube in place.\n"
REPORTS: dict[int, tuple[int, str, str | bytes | None, dict[str, float]]] = {
    # study: patient, split, report, labels
    1: (1, "train", FULL, {"Pleural Effusion": 1.0, "Pneumonia": -1.0, "Edema": 0.0}),
    2: (1, "train", WET_READ, {"Fracture": 1.0, "Support Devices": 1.0}),
    3: (2, "train", BARE, {"Support Devices": 1.0}),
    4: (2, "train", None, {"Edema": 1.0}),
    5: (3, "train", b" FINDINGS:  Schr\xf6der.\n", {"Edema": 1.0}),
    6: (3, "train", " IMPRESSION: Perhaps pneumonia.", {"Pneumonia": -1.0}),
    7: (4, "validate", " IMPRESSION: No row of labels.", {}),
    8: (5, "test", " FINDINGS: Clear lungs.\n CONCLUSION: Normal.", {"No Finding": 1.0}),
    **{n: (n, "train", f" FINDINGS: Number {n}.", {"Edema": 1.0}) for n in range(11, 19)},
}
FILMS = {  # film: study, view
    **dict(enumerate([(1, "PA"), (1, "LATERAL"), (1, "AP"), (2, "LL"), (3, "AP"), (4, "PA"), (5, "PA"), (6, "")], 1)),
    **dict(enumerate([(7, "PA"), (8, "PA"), (8, "LATERAL"), (8, "PA"), (8, "PA"), (7, "AP")], 9)),
    **{2 * n + m: (n, ("PA", "LATERAL")[m]) for n in range(11, 19) for m in (0, 1)},
}
MISSING, BROKEN, WITHOUT_SPLIT, TWICE = 12, 13, 14, 11


def dicom(film: int) -> str:
    return f"{film:08x}-bde0afdd-112c0b34-7bc16630-4e384014"


def patient(number: int) -> str:
    return str(10000000 + number)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Tables, films and reports, in one folder."""
    root = tmp_path / "mimic"
    metadata, splits = [], []
    for film, (study, view) in FILMS.items():
        subject, split, _, _ = REPORTS[study]
        ids = [dicom(film), patient(subject), 50000000 + study]
        metadata.append([*ids, "CHEST (PA AND LAT)", view, 8, 6, 21800506, 213014.531, "CHEST", "", "Erect"])
        splits.append([ids[0], ids[2], ids[1], split])
        image = root / "files/p10" / f"p{patient(subject)}" / f"s{ids[2]}" / f"{ids[0]}.jpg"
        if film != MISSING:
            write_film(image, 5 * film)
        if film == BROKEN:
            image.write_bytes(image.read_bytes()[:40])
    metadata.append(metadata[list(FILMS).index(TWICE)])
    splits = [row for row in splits if row[0] != dicom(WITHOUT_SPLIT)]
    rows = [
        [patient(subject), 50000000 + study, *(labels.get(name, "") for name in LABELS)]
        for study, (subject, _, _, labels) in REPORTS.items()
        if study != 7
    ]
    write_csv(root / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, metadata)
    write_csv(root / "mimic-cxr-2.0.0-split.csv.gz", ["dicom_id", "study_id", "subject_id", "split"], splits)
    write_csv(root / "mimic-cxr-2.0.0-chexpert.csv.gz", ["subject_id", "study_id", *LABELS], rows)
    negbio = [[*row[:2], *(1.0 if name == "Cardiomegaly" else "" for name in LABELS)] for row in rows]
    write_csv(root / "mimic-cxr-2.0.0-negbio.csv.gz", ["subject_id", "study_id", *LABELS], negbio)
    for study, (subject, _, report, _) in REPORTS.items():
        path = root / "files/p10" / f"p{patient(subject)}" / f"s{50000000 + study}.txt"
        if report is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(report if isinstance(report, bytes) else report.encode())
    return root


EFFUSION = "Frontal and lateral views. LUNGS: Small effusion on ___. 1. Small left effusion."
EXPECTED = {
    # film: split, patient, text, labels
    1: ("train", 1, EFFUSION, "Pleural Effusion"),
    2: ("train", 1, EFFUSION, "Pleural Effusion"),
    3: ("train", 1, EFFUSION, "Pleural Effusion"),
    4: ("train", 1, "Rib fracture.", "Fracture, Support Devices"),
    8: ("train", 3, "Perhaps pneumonia.", ""),
    9: ("val", 4, "No row of labels.", ""),
    10: ("test", 5, "Clear lungs. Normal.", "No Finding"),
    11: ("test", 5, "Clear lungs. Normal.", "No Finding"),
    **{film: ("train", film // 2, f"Number {film // 2}.", "Edema") for film in range(22, 38)},
}


def test_each_film_becomes_the_pair_that_it_should(root, tmp_path, capsys):
    out = tmp_path / "pairs"
    assert len(FILMS) == 30
    assert convert("mimic-cxr", "--root", root, "--out", out) == 0
    pairs = pairs_of(out)
    assert pairs.keys() == {dicom(film) for film in EXPECTED}
    for film, (split, subject, text, labels) in EXPECTED.items():
        found, pair = pairs[dicom(film)]
        assert (found, pair.text, ", ".join(pair.labels)) == (split, text, labels)
        assert (pair.group, pair.group_name) == (int(patient(subject)), f"p{patient(subject)}")
        study = 50000000 + FILMS[film][0]
        path = root / f"files/p10/p{patient(subject)}/s{study}/{dicom(film)}.jpg"
        assert (pair.image, pair.image_format, pair.date) == (path.read_bytes(), "jpg", None)
        assert pair.licence == LICENCE
    info = DatasetInfo.load(out)
    assert info.name == "mimic-cxr"
    assert info.normal_label == "No Finding"
    assert info.skipped == {
        "report without FINDINGS and IMPRESSION": 1,
        "no report": 2,
        "unreadable report": 1,
        "missing image file": 1,
        "undecodable image": 1,
        "without a split": 1,
    }
    summary = info.settings["summary"]
    assert summary["read"] == {
        "films in the metadata table": 30,
        "rows listed twice": 1,
        "image files found": 29,
        "reports read": 14,
    }
    assert summary["kept"] == {
        "item with an uncertain finding (-1) read as absent": 4,
        "text contains ___ (de-identification)": 3,
        "without a label: nothing is marked as present": 1,
        "without a label: study is not in the chexpert table": 2,
    }
    assert summary["label_pairs"] == {
        "Edema": 16,
        "Pleural Effusion": 3,
        "No Finding": 2,
        "Fracture": 1,
        "Support Devices": 1,
    }
    assert "undecodable image" in capsys.readouterr().out


def test_options_choose_labeler_views_and_uncertain_findings(root, tmp_path):
    assert convert("mimic-cxr", "--root", root, "--out", tmp_path / "negbio", "--labels", "negbio") == 0
    assert {pair.labels for _, pair in pairs_of(tmp_path / "negbio").values()} == {("Cardiomegaly",), ()}
    assert DatasetInfo.load(tmp_path / "negbio").normal_label is None
    out = tmp_path / "frontal"
    assert convert("mimic-cxr", "--root", root, "--out", out, "--frontal-only", "--uncertain-is-present") == 0
    pairs = pairs_of(out)
    assert pairs.keys() == {dicom(film) for film in EXPECTED if FILMS[film][1] in ("PA", "AP")}
    assert pairs[dicom(1)][1].labels == ("Pleural Effusion", "Pneumonia")
    assert DatasetInfo.load(out).skipped["not a frontal view"] == 12


def test_patients_are_drawn_whole_without_the_split_table(root, tmp_path):
    (root / "mimic-cxr-2.0.0-split.csv.gz").unlink()
    assert convert("mimic-cxr", "--root", root, "--out", tmp_path / "out", "--resplit", "50/25/25") == 0
    splits: dict[str, set[str]] = {}
    for split, pair in pairs_of(tmp_path / "out").values():
        splits.setdefault(pair.group_name, set()).add(split)
    assert len(splits) == 12
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "val", "test"}


def _move_reports(root: Path, reports: Path) -> Path:
    for path in [*root.rglob("s*.txt")]:
        target = reports / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    return reports


def test_the_page_can_be_followed(root, repository, tmp_path, monkeypatch):
    _move_reports(root, tmp_path / "mimic-cxr")
    root.rename(tmp_path / "mimic-cxr-jpg")
    monkeypatch.chdir(tmp_path)
    run_page(repository / "docs/start/mimic_cxr.md", "mimic-cxr")
    assert len(pairs_of(tmp_path / "pairs")) == len(EXPECTED)


def test_reports_and_unpacked_tables_may_be_elsewhere(root, tmp_path):
    reports = _move_reports(root, tmp_path / "reports")
    table = root / "mimic-cxr-2.0.0-split.csv.gz"
    (root / "mimic-cxr-2.0.0-split.csv").write_bytes(gzip.decompress(table.read_bytes()))
    table.unlink()
    assert convert("mimic-cxr", "--root", root, "--reports", reports, "--out", tmp_path / "out") == 0
    assert len(pairs_of(tmp_path / "out")) == len(EXPECTED)


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (" FINDINGS:  A.\n\n FINDINGS: B.", "A. B."),
        (" FINDINGS AND IMPRESSION: A.", "A."),
        (" IMPRESSION: A.\n\n RECOMMENDATION(S): B.\n RECOMMENDATIONS: C.", "A. RECOMMENDATION(S): B."),
        (" FINAL ADDENDUM\n IMPRESSION:\n", ""),
        (" IMPRESSION: A.\n   FINAL REPORT  \n B.", "A."),
        ("findings: in small letters", ""),
        (" FINDINGS: A.\r\n TECHNIQUE: B.\r\n IMPRESSION: C.\r\n", "A. C."),
        ("", ""),
    ],
)
def test_sections_end_at_the_next_heading(report, text):
    assert report_text(report) == text


@pytest.mark.parametrize(
    ("table", "old", "new", "words"),
    [
        ("metadata", b"dicom_id,", b"dicom_ids,", r"metadata\.csv\.gz, row 1: no column 'dicom_id' .*mean 'dicom_ids'"),
        ("split", b",split\r", b",fold\r", r"split\.csv\.gz, row 1: no column 'split' .* again"),
        ("chexpert", b"Edema", b"Oedema", r"chexpert\.csv\.gz, row 1: no column 'Edema'"),
        ("split", b",train", b",trains", r"row 2: unknown split 'trains', valid are .* mean 'train'\?"),
        ("split", b"10000001,", b"10000009,", r"split.* row 2: subject_id is another one than in .*metadata.* row 2"),
        ("chexpert", b"10000001,", b"10000009,", r"chexpert.* row 2: subject_id is another one"),
        ("chexpert", b"-1.0", b"-2.0", r"row 2: Pneumonia: neither 1, 0 nor -1 \('-2.0'\); write 1 for present"),
        ("metadata", b"00000002-", b"00000001-", r"row 3: dicom_id '0000.* is listed twice, .* row 2; keep the row"),
        ("metadata", b"00000001-", b"../../../", r"row 2: dicom_id is not a number such as 02aa804e-"),
        ("metadata", b"10000001,", b"1000001.0,", r"row 2: subject_id is not a number such as 10000032"),
        ("metadata", b",50000001,", b",,", r"row 2: study_id is not a number such as 50414267"),
        ("metadata", b",Erect", b"", r"row 2: 11 fields, not 12"),
        ("metadata", b",Erect", b',"Ere\xffct"', r"line 2: byte 120 is not UTF-8; copy the file"),
        ("metadata", b"00000002-", b'"0000', r"metadata\.csv\.gz, row 3: unexpected end of data"),
        ("chexpert", b"50000002", b"50000001", r"row 3: study_id '50000001' is listed twice, with other values"),
    ],
)
def test_a_wrong_row_ends_the_conversion_with_its_file_and_number(root, tmp_path, capsys, table, old, new, words):
    edit(root / f"mimic-cxr-2.0.0-{table}.csv.gz", old, new)
    assert re.search(words, refused(capsys, "mimic-cxr", "--root", root, "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def _truncate(root: Path) -> None:
    path = root / "mimic-cxr-2.0.0-metadata.csv.gz"
    path.write_bytes(path.read_bytes()[:-20])


def _save_a_page(root: Path) -> None:
    (root / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(b"<html>Log in</html>")


def _take_images_away(root: Path) -> None:
    for path in root.rglob("*.jpg"):
        path.unlink()


FOLDERS = {
    "no table": (
        lambda root: (root / "mimic-cxr-2.0.0-metadata.csv.gz").rename(root / "metadata.csv.gz"),
        r"mimic-cxr-2\.0\.0-metadata\.csv\.gz: no such table \(there are 'metadata\.csv\.gz', .* by --root",
    ),
    "empty table": (
        lambda root: (root / "mimic-cxr-2.0.0-split.csv.gz").write_bytes(gzip.compress(b"")),
        r"split\.csv\.gz: empty file",
    ),
    "truncated": (_truncate, r"metadata\.csv\.gz, line \d+: damaged gzip file"),
    "a page of a web site": (_save_a_page, r"metadata\.csv\.gz, line 1: damaged, or not a gzip file .*off the name"),
    "no images": (_take_images_away, r"holds none of the 30 images that the tables name, such as files/p10/p10000001/"),
    "no reports": (lambda root: (root / "files").rename(root / "elsewhere"), r"has no folder files .* --reports"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_lacks_something_is_refused(root, tmp_path, capsys, name):
    change, words = FOLDERS[name]
    change(root)
    assert re.search(words, refused(capsys, "mimic-cxr", "--root", root, "--out", tmp_path / "out"))


def test_upstreams_split_that_cuts_a_patient_is_refused(root, tmp_path, capsys):
    edit(root / "mimic-cxr-2.0.0-split.csv.gz", b"train", b"test")
    words = refused(capsys, "mimic-cxr", "--root", root, "--out", tmp_path / "out")
    assert "p10000001" in words
    assert "--resplit 80/10/10" in words


def test_upstreams_split_and_a_new_one_exclude_each_other(root, tmp_path, capsys):
    options = ("--split-by", "upstream", "--resplit", "80/10/10")
    assert "leave out one" in refused(capsys, "mimic-cxr", "--root", root, "--out", tmp_path / "out", *options)


def test_labels_are_mapped_to_the_shipped_vocabulary(root, tmp_path):
    out = tmp_path / "pairs"
    assert convert("mimic-cxr", "--root", root, "--out", out, "--label-map", "chest") == 0
    info = DatasetInfo.load(out)
    assert info.settings["summary"]["label_map"]["name"] == "chest-chexpert"
    assert info.normal_label == "normal"
    assert pairs_of(out)[dicom(10)][1].labels == ("normal",)
    assert set(pairs_of(out)[dicom(4)][1].labels) == {"fracture", "medical device"}


def test_files_of_options_are_read_before_the_collection(tmp_path, capsys):
    arguments = ("mimic-cxr", "--root", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert "chest-mimic: no such file" in refused(capsys, *arguments, "--label-map", "chest-mimic")
    assert "drop.txt: cannot be read" in refused(capsys, *arguments, "--drop-labels", tmp_path / "drop.txt")
