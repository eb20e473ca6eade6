"""What ``mcmfh-data manifest`` says of bad rows, where it lists them, and rows of which one side is kept."""

import csv
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow.parquet import write_table

from mcmfh_lightning.datasets.table.problems import problems_file
from mcmfh_lightning.shards import DatasetInfo

from .manifests import GOOD, make_images, pairs, run, write_csv

LONG = "sub/a film whose name has blanks and far more than the forty letters that are shown of other values.png"


@pytest.fixture
def folder(tmp_path) -> Path:
    make_images(tmp_path)
    (tmp_path / "images" / "sub" / "cut.png").write_bytes((tmp_path / "images" / "a.png").read_bytes()[:60])
    return tmp_path


def listed(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def many(images: int, dates: int) -> list[dict[str, object]]:
    """Good rows, then rows without a readable date, rows without their image, and one id that occurs twice."""
    fine = {"image": "a.png", "text": "t", "labels": ["x"], "date": "2011-11-22"}
    rows = [{**fine, "id": f"ok{i}", "group": f"g{i}"} for i in range(3)]
    rows += [{**fine, "id": f"d{i}", "group": f"d{i}", "date": "22/11/11"} for i in range(dates)]
    rows += [{**fine, "id": f"i{i}", "group": f"i{i}", "image": f"{i}{LONG}"} for i in range(images)]
    return [*rows, {**fine, "id": "ok0", "group": "last"}]


def test_each_kind_is_counted_before_the_examples_and_has_one(folder, capsys):
    path = write_csv(folder / "m.csv", many(images=35, dates=20))
    assert run(folder, path, "--split-by=date") == 2
    lines = capsys.readouterr().err.splitlines()
    start = lines.index(f"{path}: 56 of 59 rows are bad")
    assert lines[start + 1 : start + 5] == [
        "    rows  first row  problem",
        "      35         25  missing image file",
        "      20          5  impossible date",
        "       1         60  duplicate id",
    ]
    examples = [line for line in lines[start + 5 :] if line.startswith("    row ")]
    assert len(examples) == 20
    assert f"    row 25, column 'image': {'0' + LONG!r}" in examples
    assert "    row 60: 'ok0' is in row 2" in examples
    assert "    ... and 25 more" in lines
    assert "    ... and 11 more" in lines
    assert "what reads all of them is --date-format '%d/%m/%y'" in "\n".join(lines[:start])
    for words in (
        "56 of 59 rows are bad (missing image file: 35, impossible date: 20, duplicate id: 1), so nothing was written",
        "--bad-images keep-text (converts 35 texts alone)",
        "--skip-bad-rows (converts 3 rows)",
    ):
        assert words in lines[-1]
    assert len(listed(folder / "out-problems.csv")) == 56
    assert not (folder / "out").exists()


def test_names_are_never_wrapped_however_narrow_the_terminal_is(folder):
    path = write_csv(folder / "m.csv", many(images=1, dates=0))
    code = "import sys; from mcmfh_lightning.cli.data import main; main(sys.argv[1:])"
    arguments = ["manifest", "--manifest", path, "--images", folder / "images", "--out", folder / "out"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        env={"COLUMNS": "40", "PYTHONIOENCODING": "ascii", "PATH": ""},
    )
    assert done.returncode == 2
    assert f"    row 5, column 'image': {'0' + LONG!r}".encode() in done.stderr.splitlines()


def test_all_problems_are_listed_in_a_file_of_the_users_choice(folder):
    rows = [
        {"id": "=1+1", "image": "sub/cut.png", "text": "t", "labels": ["x"], "group": "g"},
        {"id": "b", "image": "=cmd.png", "text": "", "labels": ["x"], "group": ""},
    ]
    path = write_csv(folder / "m.csv", rows)
    assert run(folder, path, f"--problems={folder}/lists/mine.csv") == 2
    first, second, third = listed(folder / "lists" / "mine.csv")
    assert first == {
        "row": "2",
        "id": "'=1+1",  # a spreadsheet would run it
        "column": "image",
        "problem": "undecodable image",
        "detail": first["detail"],
        "fix": "copy it again, or convert it to JPEG or PNG",
        "outcome": "row left out",
    }
    assert first["detail"].startswith("sub/cut.png")
    assert (second["row"], second["problem"], second["detail"]) == ("3", "missing image file", "'=cmd.png'")
    assert (third["row"], third["column"], third["problem"]) == ("3", "group", "no group")


def test_a_list_of_an_earlier_run_is_removed_when_nothing_is_wrong(folder):
    bad = write_csv(folder / "m.csv", [{**GOOD[0], "image": "z.png"}])
    assert run(folder, bad) == 2
    assert (folder / "out-problems.csv").exists()
    assert run(folder, write_csv(folder / "m.csv", GOOD)) == 0
    assert not (folder / "out-problems.csv").exists()


@pytest.mark.parametrize("bad", [True, False])
def test_a_file_that_is_no_such_list_is_left_alone(folder, capsys, bad):
    rows = [{**GOOD[0], "image": "z.png" if bad else "a.png"}]
    path = write_csv(folder / "m.csv", rows)
    content = path.read_bytes()
    assert run(folder, path, f"--problems={path}") == (2 if bad else 0)
    assert path.read_bytes() == content
    assert f"{path} exists and is not a list of problems: name another file by --problems" in capsys.readouterr().err


def test_a_list_that_cannot_be_written_hides_nothing(folder, capsys):
    path = write_csv(folder / "m.csv", [{**GOOD[0], "image": "z.png"}])
    assert run(folder, path, f"--problems={path}/below/a/file.csv") == 2
    error = capsys.readouterr().err
    assert "file.csv cannot be written (Not a directory): name another file by --problems" in error
    assert "1 of 1 row is bad (missing image file: 1)" in error.splitlines()[-1]


def test_skipping_is_advised_and_done_only_where_rows_remain(folder, capsys):
    path = write_csv(folder / "m.csv", [{**row, "image": "z.png", "text": ""} for row in GOOD])
    for options in ((), ("--skip-bad-rows",)):
        assert run(folder, path, *options) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert "3 of 3 rows are bad (missing image file: 3), so nothing was written; fix them. The first: " in last
        assert "--skip-bad-rows" not in last
        assert "keep-text" not in last


def test_rows_that_remain_without_any_label_name_the_columns(folder, capsys):
    path = write_csv(folder / "m.csv", [{**GOOD[0], "labels": []}, {**GOOD[1], "image": "z.png"}])
    assert run(folder, path, "--skip-bad-rows") == 2
    assert f"{path}: no row has a label in 'labels'; fill it in" in capsys.readouterr().err.splitlines()[-1]


def test_a_row_whose_image_is_missing_or_broken_keeps_its_text_when_asked_for(folder, capsys):
    rows = [
        GOOD[0],
        {**GOOD[1], "image": "z.png"},
        {**GOOD[2], "image": "sub/cut.png"},
        {**GOOD[2], "id": "without", "image": "z.png", "text": ""},
    ]
    path = write_csv(folder / "m.csv", rows)
    assert run(folder, path, "--bad-images=keep-text") == 2  # nothing of the last row could be kept
    assert "1 of 4 rows is bad (missing image file: 1)" in capsys.readouterr().err
    assert run(folder, path, "--bad-images=keep-text", "--skip-bad-rows") == 0
    error = capsys.readouterr().err
    assert f"{path}: one side of 2 of 4 rows is bad, and the other side is kept" in error
    assert "2 items have one modality: they serve in databases" in error
    written = pairs(folder / "out")
    assert {name: (pair.image is None, pair.text) for name, pair in written.items()} == {
        "one": (False, GOOD[0]["text"]),
        "two": (True, GOOD[1]["text"]),
        "three": (True, GOOD[2]["text"]),
    }
    info = DatasetInfo.load(folder / "out")
    assert info.settings["bad_images"] == "keep-text"
    assert info.skipped == {"missing image file": 1}
    kept = info.settings["summary"]["kept"]
    assert kept["text alone: missing image file"] == 1
    assert kept["text alone: undecodable image"] == 1
    assert [row["outcome"] for row in listed(folder / "out-problems.csv")] == ["text kept", "text kept", "row left out"]


def test_a_row_whose_text_cannot_be_used_keeps_its_image_when_asked_for(folder):
    rows = [GOOD[0], {**GOOD[1], "text": "t" * 100_001}, {**GOOD[2], "image": "z.png"}]
    path = write_csv(folder / "m.csv", rows)
    assert run(folder, path, "--bad-texts=keep-image") == 2
    assert run(folder, path, "--bad-texts=keep-image", "--bad-images=keep-text") == 0
    written = pairs(folder / "out")
    assert written["two"].text is None
    assert written["two"].image is not None
    assert written["three"].image is None
    assert DatasetInfo.load(folder / "out").settings["summary"]["kept"]["image alone: text too long"] == 1


def test_a_side_is_not_kept_of_a_row_that_is_bad_otherwise(folder):
    rows = [GOOD[0], {**GOOD[1], "image": "z.png", "group": ""}, {**GOOD[2], "image": "z.png", "text": "t" * 100_001}]
    path = write_csv(folder / "m.csv", rows)
    assert run(folder, path, "--bad-images=keep-text", "--bad-texts=keep-image", "--skip-bad-rows") == 0
    assert set(pairs(folder / "out")) == {"one"}


def test_large_and_damaged_pictures_are_said_with_their_row_alone(folder, capsys, recwarn, monkeypatch):
    Image.new("L", (40, 30)).save(folder / "images" / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow warns of more
    rows = [{**GOOD[0], "image": "large.png"}, {**GOOD[1], "image": "sub/cut.png"}]
    assert run(folder, write_csv(folder / "m.csv", rows), "--skip-bad-rows") == 0
    assert not list(recwarn)
    error = capsys.readouterr().err
    assert "    row 3, column 'image': sub/cut.png" in error


def test_a_parquet_date_that_python_cannot_hold_is_a_bad_row(folder, capsys):
    dates = pa.array([0, 2**62, None], pa.timestamp("us"))
    columns = {"id": ["a", "b", "c"], "text": ["t"] * 3, "labels": [["x"]] * 3, "group": [1, 2, 3], "date": dates}
    write_table(pa.table(columns), folder / "m.parquet")
    assert run(folder, folder / "m.parquet") == 2
    assert "m.parquet, row 2, column 'date': value out of range (" in capsys.readouterr().err.splitlines()[-1]
    assert run(folder, folder / "m.parquet", "--skip-bad-rows") == 0
    assert {name: pair.date for name, pair in pairs(folder / "out").items()} == {"a": "1970-01-01", "c": None}


def test_one_item_is_one_item(folder, capsys):
    assert run(folder, write_csv(folder / "m.csv", [*GOOD[:2], {**GOOD[2], "image": ""}])) == 0
    assert "1 item has one modality: it serves in databases, never in training" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "file"), [("a/b", "a/b-problems.csv"), ("a/", "a-problems.csv"), (".", "../here-problems.csv")]
)
def test_problems_are_listed_next_to_the_folder(tmp_path, monkeypatch, out, file):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert problems_file(Path(out)).resolve() == Path(file).resolve()
