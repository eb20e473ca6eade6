"""Labels that make most items relevant are named, and can be left out."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcmfh_lightning.cli.data import main
from mcmfh_lightning.evaluation.remarks import preview
from mcmfh_lightning.shards import DatasetInfo, PairShardReader
from mcmfh_lightning.shards.labels import BROAD, describe_broad_labels

SAID = "labels: two items share one with probability"
CASE = Path(__file__).parents[2].parent / "shared" / "cases" / "csv_nothing_shared"


def test_one_threshold_decides():
    assert describe_broad_labels(BROAD, {"CR": 0.9}, None) == ""
    assert describe_broad_labels(float("nan"), {}, None) == ""
    assert describe_broad_labels(BROAD + 0.01, {"CR": 0.9}, None).startswith(f"{SAID} 0.51")


def test_the_labels_of_many_items_are_named_and_the_normal_one_apart():
    shares = {"normal": 0.4, "frontal": 0.5, "CR": 0.7, "nodule": 0.1}
    line = describe_broad_labels(0.78, shares, "normal")
    assert "On many items: 'CR' (70%), 'frontal' (50%). If" in line
    assert "--drop-labels FILE" in line
    assert "'normal' is on 40%: read the abnormal queries" in line
    assert "nodule" not in line
    assert "NDCG" in line
    # Where many rare labels do it together, no label is to blame.
    assert "--drop-labels" not in describe_broad_labels(0.6, {f"label {i}": 0.1 for i in range(90)}, None)


@pytest.fixture
def collection(tmp_path):
    """A manifest of 30 films: a finding each, a modality and a plane."""
    (tmp_path / "films").mkdir()
    rng = np.random.default_rng(0)
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "text", "labels", "group", "split"])
        for number in range(30):
            picture = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / "films" / f"{number}.png")
            labels = f"finding {number % 5};{'CR' if number % 4 else 'DX'};{'frontal' if number % 3 else 'lateral'}"
            split = ("train", "val", "test")[number % 3]
            writer.writerow([number, f"{number}.png", f"Report {number}.", labels, f"P{number}", split])
    return tmp_path


def convert(folder, out, *options):
    paths = ["--manifest", str(folder / "pairs.csv"), "--images", str(folder / "films"), "--out", str(folder / out)]
    main(["manifest", *paths, *options])
    return DatasetInfo.load(folder / out)


def test_converter_and_stats_say_it_and_the_way_out_works(collection, capsys):
    info = convert(collection, "pairs")
    summary = info.settings["summary"]
    assert summary["share_probability"]["all"] > BROAD
    screen = " ".join(capsys.readouterr().out.split())
    assert f"{SAID} {summary['share_probability']['all']:.2f}" in screen
    for label in ("CR", "DX", "frontal", "lateral"):
        assert f"'{label}' ({summary['label_pairs'][label] / 30:.0%})" in screen
    main(["stats", str(collection / "pairs")])
    assert SAID in " ".join(capsys.readouterr().out.split())

    drop = collection / "drop.txt"
    drop.write_text("CR\nDX\nfrontal\nlateral\nsupine\n")
    info = convert(collection, "plain", "--drop-labels", str(drop))
    captured = capsys.readouterr()
    assert info.label_vocabulary == tuple(f"finding {i}" for i in range(5))
    assert SAID not in captured.out
    assert "1 of 5 labels to drop are on no item: 'supine'" in captured.err
    main(["stats", str(collection / "plain")])
    assert SAID not in capsys.readouterr().out


def test_a_file_of_labels_that_cannot_be_read_is_named(collection, capsys):
    with pytest.raises(SystemExit):
        convert(collection, "pairs", "--drop-labels", str(collection / "nowhere.txt"))
    assert "--drop-labels" in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_validation_split_where_nothing_is_shared(tmp_path):
    """The shared case; tests/callbacks/test_choice.py has its own."""
    if not CASE.is_dir():
        pytest.skip("the shared cases (../shared/cases) are not next to this checkout")
    out = tmp_path / "pairs"
    main(["manifest", "--manifest", str(CASE / "pairs.csv"), "--images", str(CASE / "films"), "--out", str(out)])
    found = preview(PairShardReader(out, "val"), None)
    assert found.undefined == "no query shares a label with an item of another group"
