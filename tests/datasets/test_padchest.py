"""The converter of PadChest, on a folder in its layout whose contents are invented."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.datasets.padchest import LICENCE, TABLE
from mcmfh_lightning.shards import DatasetInfo
from tests.datasets.published import convert, edit, pairs_of, refused, run_page, write_csv

COLUMNS = [
    *("", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM"),
    *("ViewPosition_DICOM", "Projection", "MethodProjection", "Pediatric", "Modality_DICOM", "Manufacturer_DICOM"),
    *("PhotometricInterpretation_DICOM", "PixelRepresentation_DICOM", "PixelAspectRatio_DICOM"),
    *("SpatialResolution_DICOM", "BitsStored_DICOM", "WindowCenter_DICOM", "WindowWidth_DICOM", "Rows_DICOM"),
    *("Columns_DICOM", "XRayTubeCurrent_DICOM", "Exposure_DICOM", "ExposureInuAs_DICOM", "ExposureTime"),
    *("RelativeXRayExposure_DICOM", "ReportID", "Report", "MethodLabel", "Labels", "Localizations"),
    *("LabelsLocalizationsBySentence", "labelCUIS", "LocalizationsCUIS"),
]
REPORT = "sin hallazg patolog edad pacient .  derram pleural ."
TEXT = "sin hallazg patolog edad pacient . derram pleural ."
NORMAL = "['normal']"
TRAPS = {
    # film: patient, date, projection, report, labels as the table has them
    1: (1, "20140915", "PA", REPORT, "['pleural effusion', ' cardiomegaly ', 'pleural effusion']"),
    2: (1, "20140915", "L", REPORT, "['pleural effusion', ' cardiomegaly ', 'pleural effusion']"),
    3: (2, "20100101.0", "AP_horizontal", "torax norm .", "['normal', '']"),
    4: (2, "20110101", "PA", "", NORMAL),
    5: (3, "", "AP", "sin cambi .", "['unchanged', 'suboptimal study']"),
    6: (3, "20110101", "PA", "nan", NORMAL),
    7: (4, "20110101", "COSTAL", "parrill costal .", "['rib fracture', \"Kerley's lines\"]"),
    8: (4, "20110101", "EXCLUDE", "no valor .", NORMAL),
    9: (5, "20110101", "PA", "no valor .", "['exclude']"),
    10: (5, "20110101", "PA", "sin etiquet .", ""),
    11: (6, "20110101", "PA", "lista vac .", "[]"),
    12: (7, "20110101", "PA", "sin pelicul .", NORMAL),  # no file
    13: (7, "20110101", "PA", "rot .", NORMAL),  # damaged file
    14: (7, "20110101", "PA", "ñ á .", "['aortic elongation']"),  # listed twice
}
FILMS = TRAPS | {n: (n // 2, f"{2000 + n}0101", "PA", f"film {n} .", "['nodule']") for n in range(20, 40)}
DEPTHS = {0: 4095, 1: 65535, 2: 1023}
"""Greatest value of a film, by its number modulo 3."""


def name(film: int) -> str:
    return f"21684011136696401382954316651201333813574788{film:02d}_02-094-102.png"


def patient(number: int) -> str:
    return f"8398604886942923316379882356814609{number:02d}"


def pixels(film: int) -> np.ndarray:
    """Four grays that become 0, 85, 51 and 255 in 8 bits, whatever the greatest value is."""
    top = DEPTHS[film % 3]
    return np.array([[0, top // 3, top // 5 if top % 5 == 0 else top // 3, top]] * 3, dtype=np.uint16)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "padchest"
    root.mkdir()
    rows = []
    for film, (subject, day, projection, report, labels) in FILMS.items():
        filled = dict.fromkeys(COLUMNS, "1") | {"": film, "ImageID": name(film), "ImageDir": film % 2}
        filled |= {"StudyDate_DICOM": day, "PatientID": patient(subject), "Projection": projection}
        filled |= {"Report": report, "Labels": labels, "LabelsLocalizationsBySentence": "[['normal'], ['normal']]"}
        rows += [[filled[column] for column in COLUMNS]] * (2 if film == 14 else 1)
        if film != 12:
            folder = root / str(film % 2)
            folder.mkdir(exist_ok=True)
            Image.fromarray(pixels(film)).save(folder / name(film))
        if film == 13:
            (folder / name(film)).write_bytes((folder / name(film)).read_bytes()[:45])
    write_csv(root / TABLE, COLUMNS, rows)
    return root


EXPECTED = {
    # film: patient, date, text, labels
    1: (1, "2014-09-15", TEXT, {"cardiomegaly", "pleural effusion"}),
    2: (1, "2014-09-15", TEXT, {"cardiomegaly", "pleural effusion"}),
    3: (2, "2010-01-01", "torax norm .", {"normal"}),
    5: (3, None, "sin cambi .", set()),
    7: (4, "2011-01-01", "parrill costal .", {"rib fracture", "Kerley's lines"}),
    10: (5, "2011-01-01", "sin etiquet .", set()),
    11: (6, "2011-01-01", "lista vac .", set()),
    14: (7, "2011-01-01", "ñ á .", {"aortic elongation"}),
    **{film: (film // 2, f"{2000 + film}-01-01", f"film {film} .", {"nodule"}) for film in range(20, 40)},
}


def test_each_film_becomes_the_pair_that_it_should(root, tmp_path, capsys):
    out = tmp_path / "pairs"
    assert len(FILMS) == 34
    assert convert("padchest", "--root", root, "--out", out) == 0
    pairs = pairs_of(out)
    assert pairs.keys() == {name(film) for film in EXPECTED}
    splits: dict[str, set[str]] = {}
    for film, (subject, day, text, labels) in EXPECTED.items():
        split, pair = pairs[name(film)]
        assert (pair.group_name, pair.date, pair.text, set(pair.labels)) == (patient(subject), day, text, labels)
        assert pair.licence == LICENCE
        splits.setdefault(pair.group_name, set()).add(split)
    assert all(len(found) == 1 for found in splits.values())
    info = DatasetInfo.load(out)
    assert info.normal_label == "normal"
    assert info.skipped == {
        "no report": 2,
        "excluded by upstream": 2,
        "missing image file": 1,
        "undecodable image": 1,
    }
    summary = info.settings["summary"]
    assert summary["read"] == {
        "films in the table": 34,
        "rows listed twice": 1,
        "image files found": 31,
        "patients": 17,
    }
    assert summary["kept"]["without a label: none given"] == 2
    assert summary["kept"]["without a label: none that is a finding"] == 1
    assert "warning: images of several depths" in " ".join(capsys.readouterr().err.split())


def test_each_depth_is_scaled_by_its_own_range(root, tmp_path):
    """Values of 10, 12 and 16 bits: the greatest is white, and a third of it 85 of 255."""
    assert convert("padchest", "--root", root, "--out", tmp_path / "pairs") == 0
    pairs = pairs_of(tmp_path / "pairs")
    for film in (20, 21, 22):
        image = np.asarray(Image.open(io.BytesIO(pairs[name(film)][1].image)))
        fifth = 51 if DEPTHS[film % 3] % 5 == 0 else 85
        assert image.dtype == np.uint8
        assert image.tolist() == [[0, 85, fifth, 255]] * 3
    counts = DatasetInfo.load(tmp_path / "pairs").settings["summary"]["image_bits"]
    assert counts == {"10": 11, "12": 8, "16": 9}


def test_one_range_can_scale_all_films(root, tmp_path):
    assert convert("padchest", "--root", root, "--out", tmp_path / "pairs", "--value-range", 0, 65535) == 0
    image = Image.open(io.BytesIO(pairs_of(tmp_path / "pairs")[name(21)][1].image))  # 12 bits
    assert max(image.getextrema()) == 16  # 4095 of 65535


def test_frontal_views_of_a_flat_folder_are_split_by_date(root, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    for path in root.rglob("*.png"):
        path.rename(films / path.name)
    options = ("--images", films, "--frontal-only", "--split-by", "date", "--resplit", "60/20/20")
    assert convert("padchest", "--root", root, "--out", tmp_path / "pairs", *options) == 0
    pairs = pairs_of(tmp_path / "pairs")
    assert pairs.keys() == {name(film) for film in EXPECTED if film not in (2, 5, 7)}  # 5 is of an unknown day
    assert DatasetInfo.load(tmp_path / "pairs").skipped["not a frontal view"] == 2
    days = {split: [pair.date for other, pair in pairs.values() if other == split] for split in ("train", "test")}
    assert max(days["train"]) < min(days["test"])


def test_the_page_can_be_followed(root, repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(repository / "docs/start/padchest.md", "padchest")
    assert len(pairs_of(tmp_path / "pairs")) == len(EXPECTED)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"ImageDir", b"Folder", r"row 1: no column 'ImageDir' .* copy the file"),
        (b"labelCUIS", b"Labels", r"row 1: two columns 'Labels'"),
        (b"Labels", b"labels", r"row 1: no column 'Labels' .*did you mean 'labels'"),
        (b"78802_02", b"78801_02", r"row 3: ImageID '.* is listed twice, with other values in row 2; keep the row"),
        (b"2168", b"../../2168", r"row 2: ImageID '../../2168.* is not a path inside the folder of images"),
        (b"png,1,2014", b"png,/etc,2014", r"row 2: ImageDir '/etc/.* is not a path inside the folder of images"),
        (b"20140915", b"20141315", r"row 2: StudyDate_DICOM is not a day such as 20140915; correct it, or leave it"),
        (b"20140915", b"2014.5", r"row 2: StudyDate_DICOM is not a day such as 20140915"),
        (b"['pleural effusion'", b"['pleural effusion", r"row 2: Labels: labels look like a list that cannot be read"),
        (b"['pleural effusion'", b"[pleural effusion", r"row 2: Labels: labels look like a list that cannot be read"),
        (patient(1).encode(), b"8.3986E+35", r"row 2: PatientID: group rounded by a spreadsheet .*; export the column"),
        (patient(1).encode(), b"", r"row 2: PatientID: no group .*; fill in the study or patient"),
        (b"patolog", b"patol\xf3gicos", r"line 2: byte \d+ is not UTF-8; copy the file"),
        (b"sin hallazg", b'"sin hallazg', r"row 2: (unexpected end of data|',' expected)"),
        (b",sin hallazg", b",sin, hallazg", r"row 2: 37 fields, not 36"),
    ],
)
def test_a_wrong_row_ends_the_conversion_with_its_file_and_number(root, tmp_path, capsys, old, new, words):
    edit(root / TABLE, old, new)
    line = refused(capsys, "padchest", "--root", root, "--out", tmp_path / "out")
    assert re.search(rf"{TABLE}, {words}", line)
    assert "hallazg" not in line  # a report is never shown
    assert not (tmp_path / "out").exists()


def test_a_folder_that_lacks_something_is_refused(root, tmp_path, capsys):
    arguments = ("padchest", "--root", root, "--out", tmp_path / "out")
    assert re.search(
        r"holds none of the \d+ images that the tables name, such as 1/2168.*\.png; give .* by --images",
        refused(capsys, *arguments, "--images", tmp_path),
    )
    (root / TABLE).rename(root / "PADCHEST_chest_x_ray_images_labels_160K.csv")
    assert re.search(r"no such table \(there is 'PADCHEST_.*160K\.csv'\); give", refused(capsys, *arguments))
    (root / f"{TABLE}.gz").write_bytes(b"not compressed")
    assert re.search(r"damaged, or not a gzip file .* off the name", refused(capsys, *arguments))


def test_labels_can_be_mapped_to_the_words_of_other_collections(root, tmp_path):
    assert convert("padchest", "--root", root, "--out", tmp_path / "out", "--label-map", "chest") == 0
    info = DatasetInfo.load(tmp_path / "out")
    assert info.settings["summary"]["label_map"]["name"] == "chest-padchest"
    assert {"normal", "pleural effusion", "cardiomegaly"} <= set(info.label_vocabulary)
