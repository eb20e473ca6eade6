"""The converter of CheXpert Plus, on a folder in its layout whose contents are invented."""

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from mcmfh_lightning.datasets.chexpert_plus import LICENCE, TABLE
from mcmfh_lightning.shards import DatasetInfo
from tests.datasets.published import convert, edit, pairs_of, refused, run_page, write_csv, write_film

COLUMNS = [
    *("path_to_image", "path_to_dcm", "frontal_lateral", "ap_pa", "deid_patient_id", "patient_report_date_order"),
    *("report", "section_narrative", "section_clinical_history", "section_history", "section_comparison"),
    *("section_technique", "section_procedure_comments", "section_findings", "section_impression"),
    *("section_end_of_impression", "section_summary", "section_accession_number", "age", "sex", "race", "ethnicity"),
    *("interpreter_needed", "insurance_type", "recent_bmi", "deceased", "split"),
]
OBSERVATIONS = [
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation"),
    *("Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices"),
    "No Finding",
]
NOTHING = {"No Finding": 1.0}
FILMS = {
    # path: findings, impression, labels of the impression
    "train/patient00001/study1/view1_frontal": ("Heart\nlarge.", "1. Edema.", {"Edema": 1.0, "Pneumonia": -1.0}),
    "train/patient00001/study1/view2_lateral": ("Heart\nlarge.", "1. Edema.", {"Edema": 1.0, "Pneumonia": -1.0}),
    "train/patient00001/study2/view1_frontal": ("", '2. "Clear", lungs.', NOTHING),
    "train/patient00002/study1/view1_frontal": ("Findings alone.", "", NOTHING),
    "train/patient00002/study2/view1_frontal": ("", "", NOTHING),
    "train/patient00003/study1/view1_frontal": ("", "nan", NOTHING),
    "train/patient00003/study2/view1_frontal": ("", "Perhaps.", {"Pneumonia": -1.0}),
    "train/patient00004/study1/view1_frontal": ("", "No row of labels.", None),
    "train/patient00004/study2/view1_frontal": ("", "No file.", NOTHING),
    "train/patient00004/study3/view1_frontal": ("", "Damaged file.", NOTHING),
    "valid/patient00005/study1/view1_frontal": ("", "Tube.", {"Support Devices": 1.0, "Edema": 0.0}),
    "valid/patient00005/study1/view2_lateral": ("", "Tube.", {"Support Devices": 1.0, "Edema": 0.0}),
    **{f"train/patient000{n}/study1/view1_frontal": ("", f"Number {n}.", {"Fracture": 1.0}) for n in range(10, 30)},
}
TWICE, MISSING, DAMAGED = (
    "train/patient00001/study2/view1_frontal",
    "train/patient00004/study2/view1_frontal",
    "train/patient00004/study3/view1_frontal",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "chexpert-plus"
    (root / "chexbert_labels").mkdir(parents=True)
    rows = []
    labels: dict[str, list[dict[str, object]]] = {"impression": [], "findings": [], "report": []}
    for number, (path, (findings, impression, observed)) in enumerate(FILMS.items()):
        split, patient, _, view = path.split("/")
        filled = dict.fromkeys(COLUMNS, "") | {"path_to_image": f"{path}.jpg", "path_to_dcm": f"{path}.dcm"}
        filled |= {"frontal_lateral": view.partition("_")[2].title(), "deid_patient_id": patient, "split": split}
        filled |= {"section_findings": findings, "section_impression": impression, "age": 61, "sex": "Female"}
        filled["report"] = f"NARRATIVE: secret history\nFINDINGS: {findings}\nIMPRESSION: {impression}"
        rows += [[filled[column] for column in COLUMNS]] * (2 if path == TWICE else 1)
        if path != MISSING:
            write_film(root / "PNG" / f"{path}.png", 7 * number)
        if observed is not None:
            empty: dict[str, object] = {"path_to_image": f"{path}.jpg"} | dict.fromkeys(OBSERVATIONS)
            labels["impression"].append(empty | observed)
            labels["findings"].append(empty | (NOTHING if findings == "" else {"Cardiomegaly": 1}))
            labels["report"].append(empty | {"Lung Opacity": 1.0})
    damaged = root / "PNG" / f"{DAMAGED}.png"
    damaged.write_bytes(damaged.read_bytes()[:45])
    write_csv(root / TABLE, COLUMNS, rows)
    for section, records in labels.items():
        lines = "".join(f"{json.dumps(record)}\n" for record in records)
        (root / "chexbert_labels" / f"{section}_fixed.json").write_text(lines)
    return root


EXPECTED = {
    # path: text, labels
    "train/patient00001/study1/view1_frontal": ("Heart large. 1. Edema.", ("Edema",)),
    "train/patient00001/study1/view2_lateral": ("Heart large. 1. Edema.", ("Edema",)),
    "train/patient00001/study2/view1_frontal": ('2. "Clear", lungs.', ("No Finding",)),
    "train/patient00002/study1/view1_frontal": ("Findings alone.", ()),  # its No Finding is of no impression
    "train/patient00003/study2/view1_frontal": ("Perhaps.", ()),
    "train/patient00004/study1/view1_frontal": ("No row of labels.", ()),
    "valid/patient00005/study1/view1_frontal": ("Tube.", ("Support Devices",)),
    "valid/patient00005/study1/view2_lateral": ("Tube.", ("Support Devices",)),
    **{f"train/patient000{n}/study1/view1_frontal": (f"Number {n}.", ("Fracture",)) for n in range(10, 30)},
}


def test_each_film_becomes_the_pair_that_it_should(root, tmp_path):
    out = tmp_path / "pairs"
    assert len(FILMS) == 32
    assert convert("chexpert-plus", "--root", root, "--out", out) == 0
    pairs = pairs_of(out)
    assert pairs.keys() == EXPECTED.keys()
    splits: dict[str, set[str]] = {}
    for path, (text, labels) in EXPECTED.items():
        split, pair = pairs[path]
        assert (pair.text, pair.labels, pair.group_name) == (text, labels, path.split("/")[1])
        assert (pair.image, pair.image_format) == ((root / "PNG" / f"{path}.png").read_bytes(), "png")
        assert (pair.licence, pair.date) == (LICENCE, None)
        splits.setdefault(pair.group_name, set()).add(split)
    assert all(len(found) == 1 for found in splits.values())
    info = DatasetInfo.load(out)
    assert info.normal_label == "No Finding"
    assert info.skipped == {
        "report without findings and impression": 2,
        "missing image file": 1,
        "undecodable image": 1,
    }
    summary = info.settings["summary"]
    assert summary["read"] == {
        "films in the table": 32,
        "rows listed twice": 1,
        "image files found": 31,
        "patients": 25,
    }
    assert summary["kept"] == {
        "item with an uncertain finding (-1) read as absent": 3,
        "without a label: no impression, which the labels are of": 1,
        "without a label: nothing is marked as present": 1,
        "without a label: film is not in impression_fixed.json": 1,
    }
    assert not any(b"secret history" in path.read_bytes() for path in out.iterdir())


def test_options_choose_section_views_split_and_uncertain_findings(root, tmp_path, capsys):
    out = tmp_path / "frontal"
    options = ("--frontal-only", "--uncertain-is-present", "--split-by", "upstream")
    assert convert("chexpert-plus", "--root", root, "--out", out, *options) == 0
    pairs = pairs_of(out)
    assert pairs.keys() == {path for path in EXPECTED if path.endswith("frontal")}
    assert pairs["train/patient00003/study2/view1_frontal"][1].labels == ("Pneumonia",)
    assert {path: split for path, (split, _) in pairs.items() if split != "train"} == {
        "valid/patient00005/study1/view1_frontal": "val"
    }
    assert DatasetInfo.load(out).skipped["not a frontal view"] == 2
    assert "the split test has no item: --resplit 80/10/10" in " ".join(capsys.readouterr().err.split())
    assert convert("chexpert-plus", "--root", root, "--out", tmp_path / "findings", "--labels", "findings") == 0
    labels = {path: pair.labels for path, (_, pair) in pairs_of(tmp_path / "findings").items()}
    assert {path for path, found in labels.items() if found == ("Cardiomegaly",)} == {
        path for path in EXPECTED if FILMS[path][0] and FILMS[path][2]
    }
    assert set(labels.values()) == {("Cardiomegaly",), ()}  # no No Finding of sections that are not there
    assert convert("chexpert-plus", "--root", root, "--out", tmp_path / "report", "--labels", "report") == 0
    labels = {path: pair.labels for path, (_, pair) in pairs_of(tmp_path / "report").items()}
    assert set(labels.values()) == {("Lung Opacity",), ()}


def test_a_tree_of_jpeg_or_dicom_files_is_read_too(root, tmp_path):
    films = tmp_path / "films"
    for path in (root / "PNG").rglob("*.png"):
        target = films / path.relative_to(root / "PNG")
        target.parent.mkdir(parents=True, exist_ok=True)
        if "patient0001" in str(path):
            Image.open(path).save(target.with_suffix(".jpg"))
        else:
            shutil.copy(get_testdata_file("CT_small.dcm"), target.with_suffix(".dcm"))
    shutil.rmtree(root / "PNG")
    assert convert("chexpert-plus", "--root", root, "--images", films, "--out", tmp_path / "pairs") == 0
    pairs = pairs_of(tmp_path / "pairs")
    assert pairs.keys() == EXPECTED.keys() | {DAMAGED}  # whose file is whole here
    formats = {path: pair.image_format for path, (_, pair) in pairs.items()}
    assert formats["train/patient00010/study1/view1_frontal"] == "jpg"
    assert formats["train/patient00020/study1/view1_frontal"] == "png"


def test_the_page_can_be_followed(root, repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(repository / "docs/start/chexpert_plus.md", "chexpert-plus")
    assert pairs_of(tmp_path / "pairs").keys() == EXPECTED.keys()


LABELS = "chexbert_labels/impression_fixed.json"


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        (TABLE, b"section_findings", b"findings", r"row 1: no column 'section_findings' .*; copy the file"),
        (TABLE, b"view2_lateral.jpg", b"view1_frontal.jpg", r"row 3: path_to_image '.* is listed twice, .* in row 2"),
        (TABLE, b"train/patient00001", b"../patient00001", r"row 2: path_to_image '\.\./.* is not a path inside"),
        (TABLE, b",train/patient00004/study2", b",/etc/patient", r"row \d+: path_to_dcm '/etc.* is not a path inside"),
        (TABLE, b"Frontal", b"frontal", r"row 2: unknown frontal_lateral 'frontal', valid are .*mean 'Frontal'"),
        (TABLE, b"train\r", b"training\r", r"row 2: unknown split 'training', valid are train, valid; did you mean"),
        (TABLE, b",patient00001,", b",unknown,", r"row 2: deid_patient_id: no group"),
        (TABLE, b'"Heart\nlarge."', b"Heart\nlarge.", r"row 2: 14 fields, not 27"),
        (TABLE, b"Heart", b"H\xe9art", r"line \d+: byte \d+ is not UTF-8"),
        (LABELS, b'"Edema": 1.0', b'"Oedema": 1.0', r"row 1: no key 'Edema' .*did you mean 'Oedema'\? copy"),
        (LABELS, b'"Edema": 1.0', b'"Edema": "yes"', r"row 1: Edema: neither 1, 0 nor -1 \('yes'\); write 1"),
        (LABELS, b'"Edema": 1.0', b'"Edema": 0.7', r"row 1: Edema: neither 1, 0 nor -1 \(0\.7\)"),
        (LABELS, b"{", b"[{", r"row 1: not JSON .* one object a line is expected"),
        (LABELS, b"view2_lateral", b"view1_frontal", None),
        (LABELS, b'"Pneumonia": -1.0', b'"Pneumonia": NaN', None),
    ],
)
def test_a_wrong_row_ends_the_conversion_with_its_file_and_number(root, tmp_path, capsys, name, old, new, words):
    edit(root / name, old, new)
    arguments = ("chexpert-plus", "--root", root, "--out", tmp_path / "out")
    if words is None:  # the same values again, and another spelling of nothing
        assert convert(*arguments) == 0
        return
    line = refused(capsys, *arguments)
    assert re.search(rf"{name}, {words}", line)
    assert "large." not in line  # a report is never shown
    assert not (tmp_path / "out").exists()


def test_labels_that_contradict_each_other_are_refused(root, tmp_path, capsys):
    edit(root / LABELS, b"study2/view1_frontal", b"study1/view1_frontal")
    line = refused(capsys, "chexpert-plus", "--root", root, "--out", tmp_path / "out")
    assert re.search(r"row 3: path_to_image '.* is listed twice, with other values in row 1; keep the row", line)


def test_a_folder_that_lacks_something_is_refused(root, tmp_path, capsys):
    arguments = ("chexpert-plus", "--root", root, "--out", tmp_path / "out")
    (root / "PNG").rename(tmp_path / "PNG")
    words = r"holds none of the 32 images that the tables name, such as train/patient00001/.* by --images"
    assert re.search(words, refused(capsys, *arguments))
    (root / LABELS).write_text("[]\n")
    assert "row 1: a list, not an object; one object a line is expected" in refused(capsys, *arguments)
    (root / LABELS).write_text("")
    assert "impression_fixed.json: empty file" in refused(capsys, *arguments)
    (root / LABELS).unlink()
    assert re.search(r"impression_fixed\.json: no such table \(there are 'findings_f", refused(capsys, *arguments))
    (root / TABLE).unlink()
    assert re.search(rf"{TABLE}: no such table; give the folder", refused(capsys, *arguments))


def test_labels_can_be_mapped_to_the_words_of_other_collections(root, tmp_path):
    assert convert("chexpert-plus", "--root", root, "--out", tmp_path / "out", "--label-map", "chest") == 0
    info = DatasetInfo.load(tmp_path / "out")
    assert info.settings["summary"]["label_map"]["name"] == "chest-chexpert"
    assert info.normal_label == "normal"
