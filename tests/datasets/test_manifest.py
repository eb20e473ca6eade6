"""``mcmfh-data manifest``: what a table and a folder of images become."""

import csv
import datetime as dt
import hashlib
import io
import re
import shlex
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.datasets.collection import read_splits_csv
from mcmfh_lightning.datasets.openi import read_openi
from mcmfh_lightning.shards import DatasetInfo, Pair, PairShardReader

from ..images.dicom_files import PERSONAL, write_dicom
from .manifests import GOOD, WRITERS, make_images, pairs, run, tars, write_csv, write_jsonl, write_parquet


@pytest.fixture
def folder(tmp_path) -> Path:
    make_images(tmp_path)
    return tmp_path


# --- what good manifests become -------------------------------------------------------------------------------------


def test_every_value_arrives(folder):
    rows = [
        {**GOOD[0], "date": "20111122", "split": "train", "source": "St. Elsewhere", "licence": "CC0 1.0"},
        {**GOOD[1], "date": "2012-03-04", "split": "test", "source": None, "licence": None},
        {**GOOD[2], "date": None, "split": "test", "source": None, "licence": None},
    ]
    assert run(folder, write_csv(folder / "m.csv", rows), "--source", "clinic", "--licence", "CC BY 4.0") == 0
    found = pairs(folder / "out")
    one, two, three = found["one"], found["two"], found["three"]
    number = int.from_bytes(hashlib.sha256(b"P-17").digest()[:8], "big", signed=True)
    content = (folder / "images" / "a.png").read_bytes()
    assert one == Pair(
        "one", content, "png", "Lungs clear.", ("normal",), number, "2011-11-22", "St. Elsewhere", "CC0 1.0", "P-17"
    )
    assert two.text == 'Has "quotes",\ntwo lines'
    assert (two.image_format, two.labels, two.date) == ("jpg", ("edema", "nodule"), "2012-03-04")
    assert (three.text, three.date, three.source, three.licence) == ("Größe 3 µm", None, "clinic", "CC BY 4.0")
    assert two.group == three.group != one.group
    info = DatasetInfo.load(folder / "out")
    assert info.name == "m"
    assert info.normal_label == "normal"
    assert {split: entry.pairs for split, entry in info.splits.items()} == {"train": 1, "test": 2}
    assert not info.skipped
    assert not (folder / "out" / "skipped.csv").exists()


def test_three_formats_give_the_same_shards(folder):
    rows = [dict(row, date="2011-11-22") for row in GOOD]
    for ending, write in WRITERS.items():
        assert run(folder, write(folder / f"m.{ending}", rows), "--source=x", out=ending) == 0
    assert tars(folder / "csv")
    assert tars(folder / "csv") == tars(folder / "jsonl") == tars(folder / "parquet")


NAMES = ("1.2.276.0.7230010.3", "Fälle/2011/7", "Fälle.2011.7", "a b c", "影像-3", "..", "x" * 200, "-", "Falle-2011-7")


def test_ids_that_cannot_be_file_names_come_back_as_they_were(folder):
    rows = [{"id": name, "image": "a.png", "text": name, "labels": ["l"], "group": i} for i, name in enumerate(NAMES)]
    assert run(folder, write_csv(folder / "m.csv", rows)) == 0
    found = pairs(folder / "out")
    assert {name: pair.text for name, pair in found.items()} == {name: name for name in NAMES}


def test_integers_are_groups_as_they_are_and_other_names_are_hashed(folder):
    groups = ["7", "-3", "9223372036854775808", "Müller^Änne", "008", "9.0"]
    rows = [{"id": f"i{i}", "text": "t", "labels": ["l"], "group": group} for i, group in enumerate(groups)]
    assert run(folder, write_csv(folder / "m.csv", rows)) == 0
    found = [pairs(folder / "out")[f"i{i}"].group for i in range(len(groups))]
    assert found[:2] == [7, -3]
    assert not {8, 9} & set(found)
    assert len(set(found)) == len(groups)
    assert run(folder, write_jsonl(folder / "m.jsonl", [{**rows[0], "group": 7}]), out="json") == 0
    assert pairs(folder / "json")["i0"].group == 7


def test_a_group_has_the_same_split_whatever_else_is_in_the_manifest(folder):
    rows = [{"id": f"i{i}", "text": "t", "labels": ["l"], "group": f"case {i}"} for i in range(60)]
    assert run(folder, write_csv(folder / "all.csv", rows), "--resplit=50/20/30", "--no-stratify", out="all") == 0
    assert run(folder, write_csv(folder / "few.csv", rows[40:]), "--resplit=50/20/30", "--no-stratify", out="few") == 0
    of = {
        out: {i: s for s in ("train", "val", "test") for i in PairShardReader(folder / out, s).ids}
        for out in ("all", "few")
    }
    assert set(of["few"].values()) == {"train", "val", "test"}
    assert of["few"].items() <= of["all"].items()


def test_the_split_by_date(folder):
    rows = [
        {
            "id": f"i{i}",
            "text": "t",
            "labels": ["l"],
            "group": i // 2,
            "date": f"2011-01-{i // 2 + 1:02d}" if i % 2 else "",
        }
        for i in range(40)
    ]
    assert run(folder, write_csv(folder / "m.csv", rows), "--split-by", "date", "--resplit", "70/10/20") == 0
    split = {s: {int(i[1:]) for i in PairShardReader(folder / "out", s).ids} for s in ("train", "val", "test")}
    assert split == {"train": set(range(28)), "val": set(range(28, 32)), "test": set(range(32, 40))}


def test_dates_of_parquet_are_days(folder):
    rows = [
        {**GOOD[0], "date": dt.date(2011, 11, 22), "when": dt.datetime(2011, 11, 22, 13, 5)},
    ]
    assert run(folder, write_parquet(folder / "m.parquet", rows)) == 0
    assert run(folder, write_parquet(folder / "m.parquet", rows), "--date-column", "when", out="when") == 0
    assert pairs(folder / "out")["one"].date == pairs(folder / "when")["one"].date == "2011-11-22"


def test_columns_of_other_names(folder, capsys):
    names = {
        "id": "Untersuchung",
        "image": "Datei",
        "text": "Befund",
        "labels": "Codes",
        "group": "Patient",
        "date": "Tag",
        "split": "Teil",
        "source": "Haus",
        "licence": "Lizenz",
    }
    row = {**GOOD[0], "date": "2011-11-22", "split": "val", "source": "here", "licence": "CC0"}
    renamed = {names[key]: value for key, value in row.items()} | {"operator": "Smith"}
    options = [f"--{field}-column={column}" for field, column in names.items()]
    assert run(folder, write_csv(folder / "a.csv", [row]), "--name=x", out="plain") == 0
    assert run(folder, write_csv(folder / "b.csv", [renamed]), "--name=x", *options, out="renamed") == 0
    assert tars(folder / "plain") == tars(folder / "renamed")
    assert "columns that are not read: operator" in capsys.readouterr().err


def test_one_column_may_serve_twice(folder):
    rows = [{key: value for key, value in row.items() if key != "group"} for row in GOOD]
    assert run(folder, write_csv(folder / "m.csv", rows), "--group-column", "id") == 0
    assert len({pair.group for pair in pairs(folder / "out").values()}) == 3


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_encodings(folder, encoding, ending):
    rows = [dict(row, text=f"Größe, {row['id']}") for row in GOOD]
    write = {"csv": write_csv, "jsonl": write_jsonl}[ending]
    options = [] if encoding == "utf-8-sig" else ["--encoding", encoding]
    assert run(folder, write(folder / f"m.{ending}", rows, encoding), *options) == 0
    assert pairs(folder / "out")["one"].text == "Größe, one"


def test_line_separators_in_json_strings_end_no_line(folder):
    assert run(folder, write_jsonl(folder / "m.jsonl", [{**GOOD[0], "text": "one\u2028two\x85three"}])) == 0
    assert pairs(folder / "out")["one"].text == "one\u2028two\x85three"


def test_texts_beyond_the_limit_of_the_csv_module(folder):
    text = "word " * 19_999
    limit = csv.field_size_limit()
    csv.field_size_limit(1000)
    try:
        assert run(folder, write_csv(folder / "m.csv", [{**GOOD[0], "text": text}])) == 0
        assert csv.field_size_limit() == 1000
    finally:
        csv.field_size_limit(limit)
    assert pairs(folder / "out")["one"].text == text


def test_images_by_absolute_path_and_by_a_link_within(folder):
    (folder / "images" / "link.png").symlink_to(folder / "images" / "sub" / "c.png")
    rows = [
        {**GOOD[0], "image": str(folder / "images" / "a.png")},
        {**GOOD[1], "image": "sub/../link.png"},
    ]
    assert run(folder, write_csv(folder / "m.csv", rows)) == 0
    found = pairs(folder / "out")
    assert found["one"].image == (folder / "images" / "a.png").read_bytes()
    assert found["two"].image == (folder / "images" / "sub" / "c.png").read_bytes()


def test_items_of_one_modality_are_kept_and_reported(folder, capsys):
    rows = [*GOOD, {**GOOD[0], "id": "film", "text": None}, {**GOOD[0], "id": "report", "image": " "}]
    for ending, write in WRITERS.items():
        assert run(folder, write(folder / f"m.{ending}", rows), out=ending) == 0
        screen = capsys.readouterr()
        found = pairs(folder / ending)
        assert (found["film"].text, found["film"].image_format) == (None, "png")
        assert (found["report"].image, found["report"].text) == (None, "Lungs clear.")
        assert re.search(r"image without a text\W+1\W", screen.out)
        assert re.search(r"text without an image\W+1\W", screen.out)
        assert "2 items have one modality" in screen.err


def test_a_table_without_a_column_of_images_is_a_table_of_texts(folder):
    rows = [{key: value for key, value in row.items() if key != "image"} for row in GOOD]
    assert run(folder, write_csv(folder / "m.csv", rows)) == 0
    assert all(pair.image is None for pair in pairs(folder / "out").values())


@pytest.mark.parametrize(("cell", "hinted"), [("a|b", True), ("a, b", True), ("a;b", False), ("a", False)])
def test_another_separator_gets_a_hint(folder, capsys, cell, hinted):
    assert run(folder, write_csv(folder / "m.csv", [{**GOOD[0], "labels": cell}])) == 0
    error = capsys.readouterr().err
    assert (f"pass --label-separator {cell.strip('ab ')!r}" in error) is hinted


def test_the_separator_of_labels(folder):
    assert run(folder, write_csv(folder / "m.csv", [{**GOOD[0], "labels": " b | a;c||b"}]), "--label-separator=|") == 0
    assert pairs(folder / "out")["one"].labels == ("a;c", "b")


def test_a_second_run_is_already_complete_and_another_manifest_is_refused(folder, capsys):
    path = write_csv(folder / "m.csv", GOOD)
    assert run(folder, path) == run(folder, path) == 0
    assert "already complete" in capsys.readouterr().err
    write_csv(path, GOOD[:2])
    assert run(folder, path) == 2
    assert "holds a finished conversion" in capsys.readouterr().err


# --- the dedicated converter ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_thousand_real_pairs_give_the_shards_of_the_dedicated_converter(shared_data, tmp_path):
    real = shared_data / "openi"
    collection, _ = read_openi(real / "NLMCXR_reports.tgz", real / "images", "mesh_major")
    given = read_splits_csv(real / "splits.csv")
    candidates, (images, reports) = collection.candidates[:1000], (tmp_path / "images", tmp_path / "reports")
    images.mkdir()
    reports.mkdir()
    for candidate in candidates:
        shutil.copy(candidate.image, images)
    groups = {candidate.group for candidate in candidates}
    with tarfile.open(real / "NLMCXR_reports.tgz") as tar:
        for member in tar:
            name = Path(member.name).name
            if name.endswith(".xml") and int(name.removesuffix(".xml")) in groups:
                (reports / name).write_bytes(tar.extractfile(member).read())
    rows = [
        {
            "id": c.id,
            "image": c.image.name,
            "text": c.text,
            "labels": list(c.labels),
            "group": c.group,
            "date": given[c.id].date,
            "split": given[c.id].split,
            "source": c.source,
            "licence": c.licence,
        }
        for c in reversed(candidates)
    ]
    manifest = write_csv(tmp_path / "m.csv", rows)
    common = ["--images", str(images), "--min-label-count", "5", "--seed", "3"]
    splits = ["--splits", str(real / "splits.csv")]
    for by, same, drawn in (("csv", "given", []), ("study", "group", ["--no-stratify"])):
        command(["openi", "--reports", str(reports), *common, *splits, "--split-by", by, "--out", str(tmp_path / by)])
        ours = ["--manifest", str(manifest), *common, "--split-by", same, *drawn, "--out", str(tmp_path / same)]
        command(["manifest", *ours])
        dedicated, ours = DatasetInfo.load(tmp_path / by), DatasetInfo.load(tmp_path / same)
        assert sum(entry.pairs for entry in ours.splits.values()) == 1000
        theirs = {name: replace(pair, group_name=f"{pair.group}") for name, pair in pairs(tmp_path / by).items()}
        assert list(theirs.items()) == list(
            pairs(tmp_path / same).items()
        )  # a manifest has no CXR12 whose number is 12
        assert ours.label_vocabulary == dedicated.label_vocabulary
        assert (ours.source, ours.licence) == (dedicated.source, dedicated.licence)


def test_splits_of_the_manifest_are_not_read_when_new_ones_are_drawn(folder):
    rows = [{**row, "split": "nonsense"} for row in GOOD]
    assert run(folder, write_csv(folder / "m.csv", rows), "--resplit", "100/0/0") == 0
    assert set(DatasetInfo.load(folder / "out").splits) == {"train"}


# --- DICOM ----------------------------------------------------------------------------------------------------------


def test_of_a_dicom_file_nothing_but_the_picture_is_stored(folder):
    pixels = np.random.default_rng(0).integers(0, 4096, (32, 24), dtype=np.uint16)
    write_dicom(folder / "images" / "IM0001", pixels, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    rows = [*GOOD, {**GOOD[0], "id": "scan", "image": "IM0001"}]
    assert run(folder, write_csv(folder / "m.csv", rows)) == 0
    pair = pairs(folder / "out")["scan"]
    assert pair.image_format == "png"
    with Image.open(io.BytesIO(pair.image)) as picture:
        expected = np.clip(((pixels - 2047.5) / 4095 + 0.5) * 255, 0, 255)
        np.testing.assert_allclose(np.asarray(picture), expected, atol=0.51)
    for path in (folder / "out").rglob("*"):
        for value in (*PERSONAL.values(), "private note"):
            assert value.encode() not in path.read_bytes(), (path, value)


def test_the_example_of_the_documentation(repository, tmp_path):
    page = (repository / "docs" / "start" / "manifest.md").read_text()
    picture = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    for name in ("2011/0001.png", "2011/0002.dcm", "2012/0001.jpg"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_dicom(path, picture) if path.suffix == ".dcm" else Image.fromarray(picture).save(path)
    for language, ending in (("csv", "csv"), ("json", "jsonl")):
        (tmp_path / f"m.{ending}").write_text(re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)[1])
        assert run(tmp_path, tmp_path / f"m.{ending}", "--source=x", out=ending) == 0
    assert len(pairs(tmp_path / "csv")) == 3
    assert tars(tmp_path / "csv") == tars(tmp_path / "jsonl")


def test_the_commands_of_the_documentation_run_as_written(repository, tmp_path, monkeypatch):
    page = (repository / "docs" / "start" / "manifest.md").read_text().replace("\\\n", "")
    commands = [shlex.split(line) for line in re.findall(r"^    mcmfh-data (.*)$", page, re.MULTILINE)]
    assert len(commands) == 3
    make_images(tmp_path)
    (tmp_path / "images").rename(tmp_path / "films")
    rows = [dict(GOOD[0], date="January 22, 2020"), dict(GOOD[1], date="23.01.2020")]
    write_csv(tmp_path / "pairs.csv", rows)
    findings = [{"No Finding": "1.0", "Cardiomegaly": "", "Edema": "0.0"}, {"No Finding": "", "Edema": "-1.0"}]
    write_csv(tmp_path / "chexpert.csv", [row | found for row, found in zip(rows, findings, strict=True)])
    monkeypatch.chdir(tmp_path)
    for arguments in commands:
        shutil.rmtree("pairs", ignore_errors=True)
        command(arguments)
        found = pairs(tmp_path / "pairs")
        assert len(found) == 2
        dates = ["2020-01-22", "2020-01-23"] if "--date-format" in arguments else [None, None]
        assert [found[row["id"]].date for row in rows] == dates
        assert found["one"].labels == (("No Finding",) if "chexpert.csv" in arguments else ("normal",))


def test_every_option_of_the_documentation_exists(repository, capsys):
    page = (repository / "docs" / "start" / "manifest.md").read_text()
    command(["manifest", "--help", "all"])
    screen = capsys.readouterr().out
    for option in set(re.findall(r"`(--[a-z-]+)", page)):
        assert f"  {option} " in screen or f"  {option}\n" in screen, option
