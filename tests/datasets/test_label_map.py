"""``--label-map``: labels of another vocabulary, and what is lost on the way."""

import csv
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from mcmfh_lightning.cli.data import COMMANDS
from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.shards import DatasetInfo
from tests.datasets.manifests import make_images, pairs, run, tars, write_csv

LABELS = (
    *("hydropneumothorax", "edema;hydropneumothorax", "Clear", "Clear", "rare thing", "rare thing;CR", "CR", ""),
    *("edema", "effusion, pleural", "edema;rare thing", "Clear"),
)
MAP = (
    ("Clear", "normal"),
    ("edema", "pulmonary edema"),
    ("effusion, pleural", "pleural effusion"),
    ("hydropneumothorax", "pleural effusion"),
    ("hydropneumothorax", "pneumothorax"),
)
CANONICAL = (
    *(("pleural effusion", "pneumothorax"), ("pleural effusion", "pneumothorax", "pulmonary edema")),
    *(("normal",), ("normal",), (), (), (), (), ("pulmonary edema",), ("pleural effusion",), ("pulmonary edema",)),
    ("normal",),
)


def write_map(path: Path, rows: Sequence[Sequence[str]] = MAP) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # as Excel saves it
        csv.writer(file).writerows([("raw_label", "canonical_label"), *rows])
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve texts of twelve patients, with ``map.csv``."""
    make_images(tmp_path)
    splits = ("train", "val", "test")
    write_csv(tmp_path / "m.csv", [
        {"id": f"p{n}", "image": "a.png" * (n == 0), "text": f"Report {n}.", "labels": LABELS[n], "group": f"P-{n}",
         "split": splits[n % 3]}
        for n in range(12)
    ])  # fmt: skip
    write_map(tmp_path / "map.csv")
    return tmp_path


def convert(folder: Path, *options: str, out: str = "out", mapped: str = "map.csv") -> DatasetInfo:
    assert run(folder, folder / "m.csv", "--label-map", str(folder / mapped), *options, out=out) == 0
    return DatasetInfo.load(folder / out)


def test_a_label_may_become_several_and_what_is_lost_is_counted(folder: Path) -> None:
    info = convert(folder, "--normal-label", "Clear")
    assert {name: pair.labels for name, pair in pairs(folder / "out").items()} == {
        f"p{n}": CANONICAL[n] for n in range(12)
    }
    assert info.normal_label == "normal"
    counts = Counter(label for labels in CANONICAL for label in labels)
    assert info.settings["summary"]["label_pairs"] == counts
    assert set(info.label_vocabulary) == counts.keys()
    sha256 = hashlib.sha256((folder / "map.csv").read_bytes()).hexdigest()
    assert info.settings["label_map_sha256"] == sha256
    assert info.settings["summary"]["label_map"] == {
        "name": "map.csv",
        "sha256": sha256,
        "raw_labels": 6,
        "raw_labels_lost": 2,
        "lost": {"rare thing": 3, "CR": 2},
        "pairs_left_without_label": 3,
    }
    assert info.settings["summary"]["kept"]["without a label: none of its labels is in the label map"] == 3


def test_conversion_verify_and_stats_say_what_was_lost(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(folder)
    sha256 = hashlib.sha256((folder / "map.csv").read_bytes()).hexdigest()
    line = (
        f"label map map.csv (SHA-256 {sha256[:12]}...): 4 of 6 raw labels mapped, 2 lost (pairs with each: rare thing "
        "3; CR 2); 3 pairs left without a label by it"
    )
    assert line in " ".join(capsys.readouterr().out.split())
    for subcommand in ("verify", "stats"):
        command([subcommand, str(folder / "out")])
        assert line in " ".join(capsys.readouterr().out.split())
    assert run(folder, folder / "m.csv", out="raw") == 0
    assert "label map" not in capsys.readouterr().out


def test_labels_are_dropped_by_their_raw_and_their_canonical_names(folder: Path) -> None:
    (folder / "drop.txt").write_text("CR\npulmonary edema\n")
    info = convert(folder, "--drop-labels", str(folder / "drop.txt"))
    assert "pulmonary edema" not in info.label_vocabulary
    summary = info.settings["summary"]
    assert summary["dropped_labels"] == {"CR": 2, "pulmonary edema": 3}
    assert summary["label_map"]["lost"] == {"rare thing": 3}  # what is dropped on purpose is not lost
    assert summary["label_map"]["pairs_left_without_label"] == 2
    assert summary["kept"]["without a label: none of its labels is in the label map"] == 2
    # p6 has a dropped raw label alone, p8 and p10 dropped canonical ones.
    assert summary["kept"]["without a label: all dropped or below the minimum count"] == 3


def test_the_minimum_count_is_of_canonical_labels(folder: Path) -> None:
    assert convert(folder, "--min-label-count", "3").label_vocabulary == (
        "normal",
        "pleural effusion",
        "pulmonary edema",
    )


def test_the_drawn_split_is_that_of_the_raw_labels(folder: Path) -> None:
    convert(folder, "--resplit", "50/25/25", "--seed", "3")
    assert run(folder, folder / "m.csv", "--resplit", "50/25/25", "--seed", "3", out="raw") == 0
    one, other = (
        {split: entry.pairs for split, entry in DatasetInfo.load(folder / out).splits.items()} for out in ("out", "raw")
    )
    assert one == other
    assert list(pairs(folder / "out")) == list(pairs(folder / "raw"))


@pytest.mark.parametrize(
    ("rows", "normal", "found"),
    [
        (MAP, "Clear", "normal"),
        ([*MAP[1:], ("Clear", "nothing found")], "Clear", "nothing found"),
        (MAP, None, "normal"),  # a table that does not name its normal label, and a map that does
        (MAP[1:], None, None),
    ],
)
def test_the_normal_label_is_what_its_raw_name_becomes(
    folder: Path, rows: Sequence[Sequence[str]], normal: str | None, found: str | None
) -> None:
    write_map(folder / "map.csv", rows)
    assert convert(folder, *(("--normal-label", normal) if normal else ())).normal_label == found


@pytest.mark.parametrize(("rows", "targets"), [(MAP[1:], 0), ([*MAP, ("Clear", "healthy")], 2)])
def test_a_normal_label_that_is_lost_or_doubled_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], rows: Sequence[Sequence[str]], targets: int
) -> None:
    write_map(folder / "map.csv", rows)
    options = ("--label-map", str(folder / "map.csv"), "--normal-label", "Clear")
    assert run(folder, folder / "m.csv", *options) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        f"the normal label 'Clear' has {targets} canonical labels; write one row for it, such as Clear,normal" in line
    )


def test_raw_labels_that_no_pair_has_are_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_map(folder / "map.csv", [*MAP, ("Rare Thing", "mass")])
    convert(folder)
    said = capsys.readouterr().err
    assert "1 of 5 raw labels are on no pair: 'Rare Thing'; did you mean 'rare thing'?" in said


def test_a_finished_folder_is_complete_with_the_same_map_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(folder)
    before = tars(folder / "out")
    convert(folder)
    assert "already complete" in capsys.readouterr().err
    write_map(folder / "map.csv", MAP[1:])
    assert run(folder, folder / "m.csv", "--label-map", str(folder / "map.csv")) == 2
    assert "label_map_sha256" in capsys.readouterr().err
    assert run(folder, folder / "m.csv") == 2
    assert "label_map_sha256" in capsys.readouterr().err
    assert tars(folder / "out") == before


WRONG: Mapping[str, tuple[bytes | None, str]] = {
    "no file": (None, "map.csv: no such file, and the shipped maps are chest, chest-openi, chest-roco, "),
    "empty": (b"", "map.csv, row 1: the columns are missing; write raw_label and canonical_label once each"),
    "other columns": (b"raw,canonical\na,b\n", "row 1: the columns are 'raw', 'canonical'; write raw_label and "),
    "a column twice": (b"raw_label,canonical_label,raw_label\na,b,c\n", "row 1: the columns are 'raw_label', "),
    "semicolons": (b"raw_label;canonical_label\na;b\n", "canonical_label once each and commas between them"),
    "header alone": (b"raw_label,canonical_label\n", "map.csv: no row; write one for each raw label"),
    "blank rows alone": (b"raw_label,canonical_label\n,\n\n , \n", "map.csv: no row; write one for each raw label"),
    "no canonical label": (
        b"raw_label,canonical_label\nedema,x\nnodule, \n",
        "map.csv, row 3: 'nodule' has no canonical label; write one, or remove the row",
    ),
    "no raw label": (b"raw_label,canonical_label\n,mass\n", "row 2: no raw label for 'mass'; write it, or remove the"),
    "a row twice": (
        b"raw_label,canonical_label\nedema,x\n\nnodule,y\n edema ,x\n",
        "map.csv, row 5: 'edema' to 'x' is in row 2 already; remove one of them",
    ),
    "an unquoted comma": (
        b"raw_label,canonical_label\neffusion, pleural,effusion\n",
        "map.csv, row 2: 3 fields, not 2; put a label that holds a comma in quotes",
    ),
    "an open quote": (b'raw_label,canonical_label\nedema,x\n"nodule,y\n', "map.csv, row 3: "),
    "Latin-1": (
        "raw_label,canonical_label\nedema,x\nÖdem,y\n".encode("latin-1"),
        "map.csv, row 3: byte 34 is not UTF-8; save the file as CSV in UTF-8",
    ),
    "UTF-16": ("raw_label,canonical_label\na,b\n".encode("utf-16"), "row 1: byte 0 is not UTF-8; save the file"),
    "a long canonical label": (
        b"raw_label,canonical_label\nedema," + b"x" * 201 + b"\n",
        "map.csv, row 2: unusable label",
    ),
    "other labels": (
        b"raw_label,canonical_label\nOedema,x\n",
        "map.csv: none of the 6 raw labels is in it ('CR', 'Clear', 'edema' and 3 more); name the map of these labels",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_is_no_map_is_one_line_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    content, message = WRONG[case]
    path = folder / "map.csv"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert run(folder, folder / "m.csv", "--label-map", str(path)) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in line
    assert str(path) in line
    assert not (folder / "out").exists()


def test_a_collection_without_labels_has_none_to_map(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, folder / "m.csv", "--label-map", str(folder / "map.csv"), "--no-labels") == 2
    assert "map.csv: the collection has no labels; leave it out" in capsys.readouterr().err


def test_a_folder_is_not_a_map(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, folder / "m.csv", "--label-map", str(folder)) == 2
    assert f"--label-map {folder}: cannot be read (Is a directory); correct the path" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_that_counts_labels_takes_a_map(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """So does a converter that is added later."""
    command([name, "--help", "all"])
    shown = capsys.readouterr().out
    assert ("--label-map" in shown) == ("--min-label-count" in shown)


# --- relabel ---------------------------------------------------------------------------------------------------------


def relabel(folder: Path, source: str, out: str, *options: str) -> DatasetInfo:
    command(["relabel", str(folder / source), "--out", str(folder / out), *options])
    return DatasetInfo.load(folder / out)


def test_relabel_with_a_map_is_a_conversion_with_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    due = convert(folder, "--normal-label", "Clear")
    assert run(folder, folder / "m.csv", "--normal-label", "Clear", out="raw") == 0
    capsys.readouterr()
    info = relabel(folder, "raw", "new", "--label-map", str(folder / "map.csv"))
    assert "4 of 6 raw labels mapped" in capsys.readouterr().out
    assert tars(folder / "new") == tars(folder / "out")
    assert (info.label_vocabulary, info.normal_label) == (due.label_vocabulary, due.normal_label)
    assert info.settings["summary"]["label_map"] == due.settings["summary"]["label_map"]
    assert info.settings["relabeled"]["label_map_sha256"] == due.settings["label_map_sha256"]


def test_a_map_is_not_applied_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(folder)
    with pytest.raises(SystemExit):
        relabel(folder, "out", "new", "--label-map", str(folder / "map.csv"))
    assert "the labels are those of this map already; leave it out" in capsys.readouterr().err


def test_labels_of_a_table_are_mapped_and_an_earlier_account_is_forgotten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(folder)
    write_csv(folder / "labels.csv", [{"id": f"p{n}", "labels": "edema" if n % 2 else "odd"} for n in range(12)])
    table = ("--labels", str(folder / "labels.csv"))
    info = relabel(folder, "out", "new", *table, "--label-map", str(folder / "map.csv"))
    assert info.label_vocabulary == ("pulmonary edema",)
    assert info.settings["summary"]["label_map"]["lost"] == {"odd": 6}
    plain = relabel(folder, "out", "plain", *table)
    assert plain.label_vocabulary == ("edema", "odd")
    capsys.readouterr()
    command(["verify", str(folder / "plain")])
    assert "label map" not in capsys.readouterr().out
