"""What is typed wins over the project file, and only what contradicts it is left out; each command line is run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mcmfh_lightning.cli import archive, data, main
from mcmfh_lightning.cli.project import with_project

SPLITS = ("train",) * 6 + ("val",) * 2 + ("test",) * 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def table(folder: Path) -> Path:
    """A table of 20 rows whose columns have other names, and a column ``date`` that holds none."""
    rows = ["Nr,Bild,Befund,Diagnosen,Z,group,Tag,fold,date"]
    for number in range(20):
        image = f"{number}.png"
        Image.new("L", (8, 8), number).save(folder / image)
        cells = (number, image, f"text {number}", "zb;b" if number % 2 else "b", number % 2, f"g{number}")
        rows.append(",".join(map(str, (*cells, f"2020-01-{28 - number:02}", SPLITS[number % 10], "unknown"))))
    (folder / "own.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "own.csv"


def converted(keys: str, words: str) -> tuple[Mapping[str, Any], Mapping[str, int]]:
    """Write a project file and run the converter; its settings, and the number of pairs of each split."""
    head = '[mcmfh-data.manifest]\nmanifest = "own.csv"\nimages = "."\nout = "new"\nid-column = "Nr"\n'
    Path("mcmfh.toml").write_text(f'{head}image-column = "Bild"\n{keys}', encoding="utf-8")
    data.main(["manifest", *words.split()])
    info = json.loads(Path("new/dataset.json").read_text(encoding="utf-8"))
    pairs = {split: entry["pairs"] for split, entry in info["splits"].items()}
    return {**info["settings"], "labels": sorted(info["label_vocabulary"])}, pairs


COLUMNS = 'text-column = "Befund"\nlabels-column = "Diagnosen"\n'
KEPT = {
    "a column is switched off": (COLUMNS, "--no-column date", {"labels": ["b", "zb"], "normal_labels": []}),
    "the normal label": (
        COLUMNS,
        "--no-column date --normal-label zb",
        {"labels": ["b", "zb"], "normal_labels": ["zb"]},
    ),
    "shares of a cut by date": (
        f'{COLUMNS}date-column = "Tag"\nsplit-by = "date"\n',
        "--resplit 70/10/20",
        {"split_by": "date", "split_shares": [70, 10, 20]},
    ),
    "shares of drawn splits": (
        f'{COLUMNS}no-column = "date"\nresplit = "60/20/20"\n',
        "--no-stratify",
        {"split_by": "group", "split_shares": [60, 20, 20]},
    ),
    "names of given splits": (
        f'{COLUMNS}no-column = "date"\nsplit-column = "fold"\nsplit-names = ["dev=val"]\n',
        "--split-by given",
        {"split_by": "given", "split_names": {"dev": "val"}},
    ),
    "groups of one row": (
        f'{COLUMNS}group-column = "Nr"\n',
        "--no-column group --no-column date",
        {"labels": ["b", "zb"]},
    ),
    "a switch that is off": (
        f'{COLUMNS}no-column = "date"\nno-labels = true\n'.replace('labels-column = "Diagnosen"\n', ""),
        "--no-labels=false --labels-column Diagnosen",
        {"labels": ["b", "zb"]},
    ),
}
"""Keys of the file, what is typed, and the settings that are the file's still."""


@pytest.mark.parametrize("name", KEPT)
def test_what_does_not_contradict_is_kept(table, name):
    keys, words, expected = KEPT[name]
    settings, _ = converted(keys, words)
    assert settings["columns"]["text"] == "Befund"
    assert {key: settings[key] for key in expected} == expected


def test_a_cut_by_date_stays_one(table):
    keys, words, _ = KEPT["shares of a cut by date"]
    _, pairs = converted(keys, words)
    assert pairs == {"train": 14, "val": 2, "test": 4}


OFF = f'{COLUMNS}no-column = "date"\n'
DROPPED = {
    "column of splits": (f'{OFF}split-by = "group"\n', "--split-column fold", {"split_by": "given"}),
    "column of splits, drawn by": (
        f'{OFF}resplit = "60/20/20"\nno-stratify = true\n',
        "--split-column fold",
        {"split_by": "given"},
    ),
    "names of splits": (
        f'{OFF.replace("date", "source")}date-column = "Tag"\nsplit-column = "fold"\nsplit-by = "date"\n',
        "--split-names dev=val",
        {"split_by": "given", "split_names": {"dev": "val"}},
    ),
    "shares": (
        f'{OFF}split-column = "fold"\nsplit-by = "given"\nsplit-names = ["dev=val"]\n',
        "--resplit 50/25/25",
        {"split_by": "group", "split_shares": [50, 25, 25], "split_names": {}},
    ),
    "drawn by group": (
        f'{OFF}split-column = "fold"\nsplit-names = ["dev=val"]\n',
        "--split-by group",
        {"split_by": "group", "split_names": {}},
    ),
    "given": (
        f'{OFF}split-column = "fold"\nresplit = "60/20/20"\nno-stratify = true\n',
        "--split-by given",
        {"split_by": "given", "split_shares": None},
    ),
    "several columns of labels": (OFF, "--label-columns Z", {"label_columns": ["Z"], "labels": ["Z"]}),
    "one column of labels": (
        'text-column = "Befund"\nlabel-columns = ["Z"]\nuncertain-is-present = true\nno-column = "date"\n',
        "--labels-column Diagnosen",
        {"label_columns": [], "labels": ["b", "zb"]},
    ),
    "no labels": (f'{OFF}normal-label = ["zb"]\n', "--no-labels", {"labels": []}),
    "labels after all": (
        'text-column = "Befund"\nno-labels = true\nno-column = "date"\n',
        "--labels-column Diagnosen",
        {"labels": ["b", "zb"]},
    ),
    "the field of labels is switched off": (
        f'{COLUMNS}normal-label = ["zb"]\n',
        "--no-column labels --no-column date",
        {"labels": []},
    ),
    "one of two fields is read after all": (
        'text-column = "Befund"\nno-column = ["date", "labels"]\n',
        "--labels-column Diagnosen --date-column Tag --split-by date",
        {"labels": ["b", "zb"], "split_by": "date"},
    ),
}
"""Keys of the file that contradict what is typed, and the settings that follow from what is typed."""


@pytest.mark.parametrize("name", DROPPED)
def test_what_contradicts_is_left_out(table, name):
    keys, words, expected = DROPPED[name]
    settings, pairs = converted(keys, words)
    assert settings["columns"]["text"] == "Befund"
    assert {key: settings[key] for key in expected} == expected
    if settings["split_by"] == "given":
        assert pairs == {"train": 12, "val": 4, "test": 4}


@pytest.mark.parametrize(
    ("keys", "words", "line"),
    [
        (
            f'{COLUMNS}date-column = "Tag"\nsplit-by = "date"\n',
            "--no-stratify",
            "these are taken from dates; leave it out",
        ),
        (
            f'{OFF}split-column = "fold"\nsplit-by = "given"\n',
            "--no-stratify",
            "these are taken from the column of splits",
        ),
        ('text-column = "Befund"\nno-labels = true\n', "--normal-label zb", "--no-labels reads no labels"),
    ],
)
def test_what_may_be_meant_in_two_ways_is_refused(table, capsys, keys, words, line):
    with pytest.raises(SystemExit) as stop:
        converted(keys, words)
    assert stop.value.code == 2
    assert line in " ".join(capsys.readouterr().err.split())
    assert not Path("new").exists()


def test_features_of_another_place_come_without_the_pairs(folder, capsys):
    Path("mcmfh.toml").write_text('[mcmfh-archive.add]\narchive = "a"\nfeatures = "f"\npairs = "p"\n')
    with pytest.raises(SystemExit):
        archive.main(["add", "--features", "other"])
    assert capsys.readouterr().err.splitlines()[0] == "mcmfh.toml: --archive a"


def test_a_run_is_continued_and_measured_in_its_folder(folder, make_features, capsys, lightning_log):
    """With the command that SIGTERM's message names, and with a path of its checkpoint."""
    features = make_features(folder / "features", train=64, evaluated=12)
    run = (
        f'config = "experiments/two_tower.yaml"\ndata.root = "{features}"\nrun-dir = "runs/mine"\n'
        "trainer.max-epochs = 1\ndata.global-batch-size = 32\n"
    )
    Path("mcmfh.toml").write_text(f"[mcmfh.fit]\n{run}[mcmfh.test]\n{run}", encoding="utf-8")
    best, last = (f"runs/mine/fit/checkpoints/{name}.ckpt" for name in ("best", "last"))
    main.main(["fit"])
    for path in ("last", last):
        lightning_log.clear()
        main.main(["fit", "--ckpt-path", path])
        assert f"Restored all states from the checkpoint at {last}" in lightning_log.text
    main.main(["test", "--ckpt-path", "best"])
    main.main(["test", "--ckpt-path", best])
    report = json.loads(Path("runs/mine/test/metrics.json").read_text(encoding="utf-8"))
    assert report["checkpoint"]["path"].endswith(best)
    assert [path.name for path in Path("runs").iterdir()] == ["mine"]
    assert capsys.readouterr().err.count("--run-dir runs/mine") == 5


def test_another_run_does_not_continue_from_the_weights_of_the_file(folder):
    Path("mcmfh.toml").write_text('[mcmfh.fit]\nrun-dir = "runs/mine"\nckpt-path = "last"\n', encoding="utf-8")
    assert with_project(["fit", "--run-dir", "runs/other"]) == ["fit", "--run-dir", "runs/other"]
