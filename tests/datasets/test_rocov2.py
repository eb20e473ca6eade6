"""The converter of ROCOv2, on a folder in its layout whose contents are invented."""

import re
from pathlib import Path

import pytest

from mcmfh_lightning.shards import DatasetInfo
from tests.datasets.published import convert, edit, pairs_of, refused, run_page, write_csv, write_film

CT, XRAY, CHEST, ARROW = "C0040405", "C1306645", "C0817096", "C1837463"
NUMBERS = {"train": range(1, 25), "valid": range(1, 5), "test": range(1, 7)}
ARTICLES = {"train": 100, "valid": 200, "test": 300}


def image_id(split: str, number: int) -> str:
    return f"ROCOv2_2023_{split}_{number:06d}"


def caption(split: str, number: int) -> str:
    return "" if (split, number) == ("train", 3) else f" Axial CT,\nnumber {number}\t of {split}: naïve  arrow. "


def concepts(number: int) -> str:
    return f"{CT};{ARROW};{CHEST}" if number % 2 else XRAY


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two figures an article; train 3 has no caption, 4 no image, 5 no license, 6 no concepts, 7 a damaged image."""
    root = tmp_path / "rocov2"
    root.mkdir()
    licences = []
    for split, numbers in NUMBERS.items():
        ids = {number: image_id(split, number) for number in numbers}
        rows = [(ids[n], caption(split, n)) for n in numbers]
        rows += rows[-1:] if split == "test" else []  # a row that is written twice
        write_csv(root / f"{split}_captions.csv", ["ID", "Caption"], rows)
        known = [(ids[n], concepts(n)) for n in numbers if (split, n) != ("train", 6)]
        write_csv(root / f"{split}_concepts.csv", ["ID", "CUIs"], known)
        write_csv(root / f"{split}_concepts_manual.csv", ["ID", "CUIs"], [(name, CT) for name in ids.values()])
        folder = root / {"train": "train_images/train", "valid": "valid_images", "test": "test"}[split]
        for number, name in ids.items():
            article = f"PMC{ARTICLES[split] + (number + 1) // 2}"
            if (split, number) != ("train", 4):
                write_film(folder / f"{name}.jpg", 8 * number)
            if (split, number) != ("train", 5):
                link = f"https://example.org/{article}"
                licences.append((name, article, "CC BY-NC [Doe et al. (2020)]" if number % 3 else "CC BY [Roe]", link))
        if split == "train":
            damaged = folder / f"{ids[7]}.jpg"
            damaged.write_bytes(damaged.read_bytes()[:50])
            write_film(folder / "ROCOv2_2023_train_999999.jpg", 3)
    write_csv(root / "license_information.csv", ["ID", "PMCID", "Attribution", "Link"], licences)
    names = [(CT, "X-Ray Computed Tomography"), (XRAY, "Plain x-ray"), (CHEST, "Chest"), (ARROW, "Arrow")]
    write_csv(root / "cui_mapping.csv", ["CUI", "Canonical name"], names)
    return root


def test_each_figure_becomes_the_pair_that_it_should(root, tmp_path, capsys):
    out = tmp_path / "pairs"
    assert convert("rocov2", "--root", root, "--out", out) == 0
    pairs = pairs_of(out)
    kept = {(split, number) for split, numbers in NUMBERS.items() for number in numbers}
    kept -= {("train", 4), ("train", 5), ("train", 7)}
    assert pairs.keys() == {image_id(*key) for key in kept}
    split, pair = pairs["ROCOv2_2023_train_000001"]
    assert (split, pair.text) == ("train", "Axial CT, number 1 of train: naïve arrow.")
    assert pair.labels == (CT, CHEST, ARROW)  # in the order of the vocabulary
    assert (pair.group, pair.group_name, pair.licence, pair.date) == (101, "PMC101", "CC BY-NC", None)
    assert pair.source.startswith("PMC101, CC BY-NC [Doe et al. (2020)], https://example.org/PMC101, from ROCOv2")
    image = root / "train_images/train/ROCOv2_2023_train_000001.jpg"
    assert (pair.image, pair.image_format) == (image.read_bytes(), "jpg")
    assert pairs["ROCOv2_2023_train_000003"][1].text is None
    assert pairs["ROCOv2_2023_train_000006"][1].labels == ()
    split, pair = pairs["ROCOv2_2023_valid_000002"]
    assert (split, pair.labels, pair.group_name, pair.licence) == ("val", (XRAY,), "PMC201", "CC BY-NC")
    split, pair = pairs["ROCOv2_2023_test_000006"]
    assert (split, pair.labels, pair.group_name, pair.licence) == ("test", (XRAY,), "PMC303", "CC BY")
    info = DatasetInfo.load(out)
    assert info.licence == "CC BY; CC BY-NC"
    assert info.skipped == {"not in license_information.csv": 1, "missing image file": 1, "undecodable image": 1}
    summary = info.settings["summary"]
    assert summary["read"] == {
        "captions of train": 24,
        "captions of valid": 4,
        "captions of test": 6,
        "image files found": 32,
        "image files no caption names": 1,
        "articles": 17,
    }
    assert summary["kept"] == {"image without a text": 1, "without a label: no concept": 1}
    assert summary["label_gloss"][CT] == "X-Ray Computed Tomography"
    assert f"{CT} (X-Ray Computed Tomography)" in " ".join(capsys.readouterr().out.split())


def test_concepts_that_people_checked_can_be_chosen(root, tmp_path):
    assert convert("rocov2", "--root", root, "--out", tmp_path / "out", "--labels", "concepts_manual") == 0
    assert {pair.labels for _, pair in pairs_of(tmp_path / "out").values()} == {(CT,)}


def test_an_article_in_two_splits_is_refused_or_drawn_whole(root, tmp_path, capsys):
    edit(root / "license_information.csv", b"PMC303", b"PMC101")
    words = refused(capsys, "rocov2", "--root", root, "--out", tmp_path / "out")
    assert re.search(r"group PMC101: \S+ in train, \S+ in test; draw whole groups again with --resplit", words)
    assert convert("rocov2", "--root", root, "--out", tmp_path / "out", "--resplit", "60/20/20") == 0
    pairs = pairs_of(tmp_path / "out").values()
    splits = {pair.group_name: {split for split, other in pairs if other.group == pair.group} for _, pair in pairs}
    assert all(len(found) == 1 for found in splits.values())


def test_the_page_can_be_followed(root, repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(repository / "docs/start/rocov2.md", "rocov2")
    assert len(pairs_of(tmp_path / "pairs")) == 31


@pytest.mark.parametrize(
    ("table", "old", "new", "words"),
    [
        ("train_captions", b"ID,", b"Id,", r"train_captions\.csv, row 1: no column 'ID' .*did you mean 'Id'"),
        ("train_concepts", b"CUIs", b"CUI", r"train_concepts\.csv, row 1: no column 'CUIs'"),
        ("license_information", b"PMCID", b"Article", r"row 1: no column 'PMCID' .*; copy the file"),
        ("train_captions", b"train_000002", b"train_000001", r"row 3: ID 'R.*1' is listed twice, .* row 2; keep the"),
        ("test_captions", b"_test_000001", b"_train_000001", r"test_captions\.csv, row 2: .* is in .*train.*row 2 too"),
        ("train_captions", b"ROCOv2_2023_train_000002", b"../secret", r"row 3: ID is not the name of an image such as"),
        ("train_concepts", b";C1837463", b",C1837463", r"train_concepts\.csv, row 2: 3 fields, not 2"),
        ("train_concepts", b"C1837463", b"C183746", r"row 2: 'C183746' is not a CUI such as C0040405"),
        ("train_concepts", b";C1837463", b" C1837463", r"row 2: '.*' is not a CUI .* semicolon between them"),
        ("license_information", b"PMC101", b"101.0", r"row 2: PMCID is not the number of an article"),
        ("train_captions", b"na\xc3\xafve", b"na\xefve", r"train_captions\.csv, line 3: byte 22 is not UTF-8"),
        ("cui_mapping", b"Chest", b'"Chest', r"cui_mapping\.csv, row 4: unexpected end of data"),
    ],
)
def test_a_wrong_row_ends_the_conversion_with_its_file_and_number(root, tmp_path, capsys, table, old, new, words):
    edit(root / f"{table}.csv", old, new)
    assert re.search(words, refused(capsys, "rocov2", "--root", root, "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_lacks_something_is_refused(root, tmp_path, capsys):
    arguments = ("rocov2", "--root", root, "--out", tmp_path / "out")
    for split in NUMBERS:
        for path in (root / split, root / f"{split}_images"):
            if path.exists():
                path.rename(tmp_path / path.name)
    words = refused(capsys, *arguments)
    assert re.search(r"holds none of the 33 images that the tables name, such as train/ROCOv2_2023_train_000001", words)
    (root / "valid_concepts.csv").rename(root / "validation_concepts.csv")
    assert re.search(r"valid_concepts\.csv: no such table \(there are .* by --root", refused(capsys, *arguments))
    (root / "train_captions.csv").write_bytes(b"")
    (root / "valid_concepts.csv").write_bytes(b"ID,CUIs\n")
    assert re.search(r"train_captions\.csv: empty file", refused(capsys, *arguments))


def test_two_files_of_one_figure_are_refused(root, tmp_path, capsys):
    write_film(root / "test/ROCOv2_2023_test_000001.png", 1)
    words = refused(capsys, "rocov2", "--root", root, "--out", tmp_path / "out")
    assert "keep one file per image id" in words


def test_no_shipped_map_is_taken_by_itself(root, tmp_path, capsys):
    """That of ROCO was measured on ROCO's captions: it has to be named."""
    arguments = ("rocov2", "--root", root, "--out", tmp_path / "out", "--label-map")
    assert "name the map, chest-openi, chest-roco" in refused(capsys, *arguments, "chest")
