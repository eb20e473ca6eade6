"""Columns of a manifest that are switched off, or whose labels begin with a word."""

from pathlib import Path

import pytest

from mcmfh_lightning.shards import DatasetInfo

from .manifests import GOOD, make_images, pairs, run, write_csv

BODY = (
    {"id": "1", "text": "a", "Body part": "Brain and Neuro", "plane": "axial", "Edema": "1", "group": "g1"},
    {"id": "2", "text": "b", "Body part": "Chest;Heart", "plane": "", "Edema": "0", "group": "g2"},
    {"id": "3", "text": "c", "Body part": "Heart", "plane": "Heart", "Edema": "", "group": "g3"},
)


@pytest.fixture
def folder(tmp_path) -> Path:
    make_images(tmp_path)
    return tmp_path


def labels(out: Path) -> dict[str, tuple[str, ...]]:
    return {name: tuple(sorted(pair.labels)) for name, pair in pairs(out).items()}


def test_labels_of_a_column_begin_with_its_name_or_with_a_word_of_the_users_choice(folder, capsys):
    path = write_csv(folder / "m.csv", BODY)
    columns = ("--label-columns=Body part=location", "--label-columns=plane", "--label-columns=Edema")
    assert run(folder, path, *columns, "--prefix-labels") == 0
    assert labels(folder / "out") == {
        "1": ("Edema", "location: Brain and Neuro", "plane: axial"),
        "2": ("location: Chest", "location: Heart"),
        "3": ("location: Heart", "plane: Heart"),  # one word in two columns: two labels
    }
    assert "stands in the columns" not in capsys.readouterr().err
    settings = DatasetInfo.load(folder / "out").settings
    assert settings["label_columns"] == ["Body part=location", "plane", "Edema"]
    assert settings["prefix_labels"] is True
    assert run(folder, path, *columns, out="some") == 0
    assert labels(folder / "some")["1"] == ("Edema", "axial", "location: Brain and Neuro")


def test_a_column_whose_own_name_holds_an_equals_sign(folder):
    rows = [{"id": "1", "text": "a", "a=b": "left", "group": 1}, {"id": "2", "text": "b", "a=b": "right", "group": 2}]
    path = write_csv(folder / "m.csv", rows)
    assert run(folder, path, "--label-columns=a=b") == 0
    assert labels(folder / "out") == {"1": ("left",), "2": ("right",)}
    assert run(folder, path, "--label-columns=a=b=c=d", out="named") == 0
    assert labels(folder / "named") == {"1": ("c=d: left",), "2": ("c=d: right",)}
    assert run(folder, path, "--label-columns=a=b=", "--prefix-labels", out="bare") == 0
    assert labels(folder / "bare") == {"1": ("left",), "2": ("right",)}


def test_numbers_become_labels_behind_a_word_and_findings_stay_findings(folder, capsys):
    rows = [
        {"id": f"{i}", "text": "t", "grade": grade, "Edema": state, "group": i}
        for i, (grade, state) in enumerate([(3, 1), (4, 0), (3, -1)])
    ]
    path = write_csv(folder / "m.csv", rows)
    assert run(folder, path, "--label-columns=grade", "--label-columns=Edema") == 2
    assert "or let a word precede them: --label-columns grade=class" in capsys.readouterr().err
    assert run(folder, path, "--label-columns=grade=grade", "--label-columns=Edema=finding") == 0
    assert labels(folder / "out") == {"0": ("finding: Edema", "grade: 3"), "1": ("grade: 4",), "2": ("grade: 3",)}


def test_a_normal_label_behind_a_word_is_found_and_named(folder, capsys):
    rows = [{"id": f"{i}", "text": "t", "finding": word, "group": i} for i, word in enumerate(["No Finding", "mass"])]
    path = write_csv(folder / "m.csv", rows)
    column = "--label-columns=finding=finding"
    assert run(folder, path, column) == 0
    assert "If they do, pass --normal-label 'finding: No Finding'" in capsys.readouterr().err
    assert run(folder, path, column, "--normal-label=finding: No Finding", out="normal") == 0
    assert DatasetInfo.load(folder / "normal").normal_label == "finding: No Finding"


@pytest.mark.parametrize(
    ("field", "of_one"),
    [
        ("date", (True, "Lungs clear.", None, "P-17")),
        ("image", (False, "Lungs clear.", "2011-11-22", "P-17")),
        ("text", (True, None, "2011-11-22", "P-17")),
        ("split", (True, "Lungs clear.", "2011-11-22", "P-17")),
    ],
)
def test_a_column_that_is_switched_off_is_not_read(folder, capsys, field, of_one):
    rows = [{**row, "date": "2011-11-22", "split": "test"} for row in GOOD]
    rows[1] |= {"date": "", field: "\0"}  # would be refused
    rows[2] |= {"date": ""}
    path = write_csv(folder / "m.csv", [{**rows[0]}, rows[2]])
    assert run(folder, path, "--no-column", field) == 0
    one = pairs(folder / "out")["one"]
    assert (one.image is not None, one.text, one.date, one.group_name) == of_one
    assert f"columns that are not read: {field}" in capsys.readouterr().err
    assert DatasetInfo.load(folder / "out").settings["split_by"] == ("group" if field == "split" else "given")


def test_labels_are_switched_off_like_other_columns(folder):
    assert run(folder, write_csv(folder / "m.csv", GOOD), "--no-column=labels", "--no-column=date") == 0
    assert DatasetInfo.load(folder / "out").label_vocabulary == ()


def test_groups_are_switched_off_only_by_saying_that_each_row_stands_alone(folder, capsys):
    path = write_csv(folder / "m.csv", GOOD)
    assert run(folder, path, "--no-column=group") == 2
    assert "films of one patient could then be in train and in test" in capsys.readouterr().err
    assert run(folder, path, "--no-column=group", "--group-column=id") == 0
    assert {pair.group_name for pair in pairs(folder / "out").values()} == {"one", "two", "three"}


WRONG = {
    "no such field": (["--no-column=dates"], "--no-column 'dates': write one of image, text, labels", "'date'?"),
    "column in place of its field": (["--no-column=day", "--date-column=day"], "did you mean 'date'?", ""),
    "a column that is named": (["--no-column=date", "--date-column=day"], "--date-column 'day': leave out one", ""),
    "ids": (["--no-column=id"], "--no-column id: each row needs an id; name the column of ids by --id-column", ""),
    "both sides": (["--no-column=text", "--no-column=image"], "nothing is left to convert; leave out one of", ""),
    "image of texts alone": (["--no-column=text", "--image-column=x"], "no column 'x' (has", "correct --image-column"),
    "given splits": (
        ["--no-column=split", "--split-by=given"],
        "--split-by given and --no-column split: leave out",
        "",
    ),
    "dates to split by": (["--no-column=date", "--split-by=date"], "--split-by date and --no-column date: leave", ""),
    "format": (["--no-column=date", "--date-format=%Y"], "--date-format and --no-column date: leave out one", ""),
    "names of splits": (["--no-column=split", "--split-names=a=val"], "--split-names and --no-column split", ""),
    "empty name": (["--date-column="], "--date-column is empty; name a column, or pass --no-column date", ""),
    "empty group": (["--group-column="], "--group-column is empty; name a column", ""),
    "typo of a column": (
        ["--group-column=grup"],
        "no column 'grup' (has",
        "did you mean 'group'? correct --group-col",
    ),
    "typo of labels": (
        ["--label-columns=lables"],
        "no column 'lables' (has",
        "'labels'? correct --label-columns",
    ),
    "letters": (["--text-column=txet"], "no column 'txet' (has", "did you mean 'text'? correct --text-column"),
    "twice": (["--label-columns=labels=a", "--label-columns=labels"], "--label-columns names 'labels' twice", ""),
    "prefix of one column": (["--prefix-labels"], "--prefix-labels is about several columns of labels", "--label-col"),
    "labels twice off": (["--no-column=labels", "--normal-label=x"], "--no-labels reads no labels; leave out", ""),
    "typo of a split": (["--split-names=dev=tets"], "--split-names 'dev=tets': write NAME=train", "mean 'test'?"),
    "typo of an encoding": (["--encoding=utf8-sgi"], "no text encoding is called 'utf8-sgi'", "correct --encoding"),
    "nothing to stratify": (["--no-stratify", "--split-by=date"], "--no-stratify is about splits that are drawn", ""),
    "shares": (["--resplit=80/10"], "--resplit '80/10' does not divide into train, val and test", "such as 80/10/10"),
    "separator": (["--label-separator="], "--label-separator is empty; give one or more characters", ""),
    "findings": (["--uncertain-is-present"], "--uncertain-is-present is about columns of one finding each", ""),
}


@pytest.mark.parametrize(("options", "words", "more"), WRONG.values(), ids=WRONG)
def test_wrong_options_are_one_line_that_names_the_fix(folder, capsys, options, words, more):
    path = write_csv(folder / "m.csv", [{**row, "date": "2011-11-22"} for row in GOOD])
    assert run(folder, path, *options) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert error.startswith("mcmfh-data: error: ")
    assert words in error
    assert more in error
    assert not list(folder.glob("out*"))


def test_a_column_that_only_looks_like_a_field_can_be_switched_off(folder, capsys):
    rows = [{**row, "Dates": "see letter"} for row in GOOD]
    path = write_csv(folder / "m.csv", rows)
    assert run(folder, path) == 2
    assert "pass --date-column Dates, or --no-column date if it is something else" in capsys.readouterr().err
    assert run(folder, path, "--no-column=date") == 0
