"""The shipped maps: one vocabulary, mappings that the collections bear out, and the name ``chest``."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring
from PIL import Image

from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.datasets.label_map import chest_labels, read_label_map, shipped_map, to_csv
from mcmfh_lightning.datasets.openi import read_reports
from mcmfh_lightning.datasets.roco_metadata import read_part
from mcmfh_lightning.shards import DatasetInfo, PairShardReader
from tests.datasets.manifests import make_images, pairs, run, write_csv
from tests.datasets.test_openi import report, write_archive

COLLECTIONS = ("openi", "roco", "chexpert", "padchest")
OBSERVATIONS = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion"),
    *("Lung Opacity", "No Finding", "Pleural Effusion", "Pneumonia", "Pneumothorax", "Support Devices"),
)
BROADER = {
    "opacity": ("airspace disease", "consolidation", "infiltrate"),
    "airspace disease": ("consolidation",),
    "effusion": ("pleural effusion", "pericardial effusion"),
    "nodule or mass": ("nodule", "mass"),
    "medical device": ("catheter", "tube", "pacemaker or defibrillator", "stent"),
}


def test_vocabulary_is_documented() -> None:
    labels = chest_labels()["labels"]
    assert list(chest_labels()["collections"]) == list(COLLECTIONS)
    for name, entry in labels.items():
        assert entry["kind"] in {"normal", "finding", "device", "body part", "modality"}, name
        assert 0 < len(entry["definition"]) < 80, name
        assert entry.keys() - {"kind", "definition"}, name
        assert entry.keys() <= {"kind", "definition", *COLLECTIONS}, name


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_narrower_labels_have_the_broader_one_too(collection: str) -> None:
    for raw, targets in shipped_map(collection).targets.items():
        for broad, narrow in BROADER.items():
            assert not set(narrow) & set(targets) or broad in targets, (raw, broad)


def test_all_observations_but_one_are_mapped() -> None:
    assert set(shipped_map("chexpert").targets) == set(OBSERVATIONS)


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_shipped_map_is_the_same_as_a_file(collection: str, tmp_path: Path) -> None:
    shipped = shipped_map(collection)
    (tmp_path / "map.csv").write_bytes(to_csv(shipped.targets))
    read = read_label_map(str(tmp_path / "map.csv"), "manifest")
    assert (read.targets, read.sha256) == (shipped.targets, shipped.sha256)


@pytest.mark.parametrize(
    ("converter", "name"),
    [
        *(("openi", "chest-openi"), ("roco", "chest-roco"), ("padchest", "chest-padchest")),
        *(("mimic-cxr", "chest-chexpert"), ("chexpert-plus", "chest-chexpert")),
    ],
)
def test_chest_is_the_map_of_the_collection(converter: str, name: str) -> None:
    assert read_label_map("chest", converter) == read_label_map(name, "manifest")
    assert read_label_map("chest", converter).name == name


def test_open_i_is_converted_and_relabeled_by_name(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    headings = [("normal",), ("Hydropneumothorax/right", "Lung/hypoinflation"), ("Nipple Shadow",)]
    files = {}
    for number, major in enumerate(headings, start=1):
        Image.new("L", (4, 4)).save(images / f"CXR{number}_IM.png")
        files[f"{number}.xml"] = report(number, f"CXR{number}_IM", major=major, findings=f"Report {number}.")
    write_archive(tmp_path / "reports.tgz", files)
    given = ["openi", "--reports", str(tmp_path / "reports.tgz"), "--images", str(images), "--min-label-count", "1"]
    command([*given, "--out", str(tmp_path / "out"), "--label-map", "chest"])
    found = {name: pair.labels for name, pair in pairs(tmp_path / "out").items()}
    assert found == {
        "CXR1_IM": ("normal",),
        "CXR2_IM": ("effusion", "lung", "pleural effusion", "pneumothorax"),
        "CXR3_IM": (),
    }
    account = DatasetInfo.load(tmp_path / "out").settings["summary"]["label_map"]
    assert (account["name"], account["lost"]) == ("chest-openi", {"Nipple Shadow": 1})
    command([*given, "--out", str(tmp_path / "raw")])
    command(["relabel", str(tmp_path / "raw"), "--out", str(tmp_path / "new"), "--label-map", "chest"])
    assert {name: pair.labels for name, pair in pairs(tmp_path / "new").items()} == found


def test_a_table_needs_the_whole_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_images(tmp_path)
    labels = ("No Finding", "Support Devices", "Pleural Other", "Edema")
    rows = [{"id": n, "text": f"Report {n}.", "labels": labels[n], "group": n, "split": "train"} for n in range(4)]
    write_csv(tmp_path / "m.csv", rows)
    assert run(tmp_path, tmp_path / "m.csv", "--label-map", "chest") == 2
    assert "it is not known which collection the labels are of; name the map, chest-openi, " in capsys.readouterr().err
    assert run(tmp_path, tmp_path / "m.csv", "--label-map", "chest-chexprt") == 2
    assert "did you mean 'chest-chexpert'?" in capsys.readouterr().err
    assert run(tmp_path, tmp_path / "m.csv", "--label-map", "chest-chexpert", "--normal-label", "No Finding") == 0
    info = DatasetInfo.load(tmp_path / "out")
    assert info.normal_label == "normal"
    assert {PairShardReader(tmp_path / "out", "train")[n].labels for n in range(4)} == {
        ("normal",),
        ("medical device",),
        (),
        ("pulmonary edema",),
    }


# --- what the real collections say -----------------------------------------------------------------------------------

QUALIFIED = {
    "Aorta": {"tortuous", "prominent", "enlarged"},
    "Aorta, Thoracic": {"tortuous", "prominent", "enlarged"},
    "Costophrenic Angle": {"blunted", "obscured"},
    "Sulcus": {"blunted", "obscured"},
    "Mediastinum": {"prominent", "enlarged"},
    "Pulmonary Artery": {"prominent", "enlarged"},
    "Lymph Nodes": {"enlarged"},
    "Lymph nodes": {"enlarged"},
    "Cervical Vertebrae": {"degenerative"},
    "Lumbar Vertebrae": {"degenerative"},
    "Spine": {"degenerative"},
    "Thoracic Vertebrae": {"degenerative"},
    "Thoracic vertebrae": {"degenerative"},
    "Osteophyte": {"thoracic vertebrae", "cervical vertebrae", "lumbar vertebrae", "spine"},
    "Blister": {"lung"},
    "Cavitation": {"lung"},
    "Volume Loss": {"lung", "thorax"},
}
"""What headings that are mapped to a finding are qualified with."""


def test_headings_that_are_body_parts_stand_for_one_finding(shared_data: Path) -> None:
    total: Counter[str] = Counter()
    qualified: Counter[str] = Counter()
    for _, xml in read_reports(shared_data / "openi" / "NLMCXR_reports.tgz"):
        for major in fromstring(xml).iterfind("MeSH/major"):
            heading, *qualifiers = (major.text or "").split("/")
            total[heading] += 1
            qualified[heading] += bool(QUALIFIED.get(heading, set()).intersection(qualifiers))
    assert {heading: total[heading] for heading in QUALIFIED if qualified[heading] < 0.95 * total[heading]} == {}
    assert set(shipped_map("openi").targets) <= total.keys()  # none is misspelled


def test_concepts_echo_their_words(shared_data: Path) -> None:
    part = read_part(shared_data / "roco/data/test/radiology", "cuis")
    rows_of_cui, rows_of_word = defaultdict(set), defaultdict(set)
    for name, cuis in part.labels.items():
        for cui in cuis:
            rows_of_cui[cui].add(name)
        for word in part.keywords[name]:
            rows_of_word[word].add(name)
    entries = [entry["roco"] for entry in chest_labels()["labels"].values() if "roco" in entry]
    listed = [(words, cui) for entry in entries for words, cuis in entry.items() for cui in cuis]
    assert len(listed) > 100
    for words, cui in listed:
        for word in words.split(", "):
            assert len(rows_of_word[word] & rows_of_cui[cui]) >= 0.9 * len(rows_of_word[word]) > 0, (word, cui)
        named = set.union(*(rows_of_word[word] for word in words.split(", ")))
        assert len(rows_of_cui[cui] & named) >= 0.9 * len(rows_of_cui[cui]), cui
