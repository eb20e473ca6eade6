import json
import subprocess
import sys
from pathlib import Path

import pytest

from mcmfh_lightning.cli.data import COMMANDS
from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.shards import DatasetInfo, PairShardReader


def main(args: list[str]) -> int:
    """Return the exit code of the command."""
    try:
        command(args)
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("data") / "phantom"
    assert main(["phantom", "--out", str(out), "--studies", "40", "--seed=1"]) == 0
    return out


def openi(phantom: Path, out: Path, *options: str) -> int:
    paths = ["--reports", str(phantom / "reports.tgz"), "--images", str(phantom / "images"), "--out", str(out)]
    return main(["openi", *paths, *options])


def test_the_phantom_passes_through_the_converter_with_its_faults(phantom, tmp_path, capsys):
    out = tmp_path / "pairs"
    splits = str(phantom / "splits.csv")
    assert openi(phantom, out, "--splits", splits, "--min-label-count", "2", "--name", "phantom") == 0
    info = DatasetInfo.load(out)
    assert info.name == "phantom"
    assert info.normal_label == "normal"
    assert info.licence == "CC0 1.0"
    assert set(info.splits) == {"train", "val", "test"}
    assert info.skipped.keys() == {
        "missing image file",
        "report without an image",
        "report without FINDINGS and IMPRESSION",
        "undecodable image",
    }
    assert info.settings["summary"]["kept"]["without a label: No Indexing"] >= 1
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    assert printed.isascii()
    screen = " ".join(printed.split())
    for words in ("pairs found", "undecodable image: CXR", "No Indexing", "P(share a label)"):
        assert words in screen
    pair = PairShardReader(out, "train")[0]
    assert pair.date is not None
    assert pair.image_format == "png"


def test_options_are_spelt_with_either_dash(phantom, tmp_path):
    spelled = {"a": ["--split-by=study", "--min-label-count=3"], "b": ["--split_by", "study", "--min_label_count", "3"]}
    for out, options in spelled.items():
        assert openi(phantom, tmp_path / out, *options) == 0
    assert DatasetInfo.load(tmp_path / "a").settings == DatasetInfo.load(tmp_path / "b").settings


def test_the_split_by_date_takes_the_dates_of_the_table(phantom, tmp_path):
    options = ["--splits", str(phantom / "splits.csv"), "--split-by", "date", "--min-label-count", "1"]
    assert openi(phantom, tmp_path / "pairs", *options) == 0
    days = {s: [PairShardReader(tmp_path / "pairs", s)[i].date or "" for i in range(2)] for s in ("train", "test")}
    assert max(days["train"]) < min(days["test"])


def test_automatic_terms_are_another_vocabulary(phantom, tmp_path):
    assert openi(phantom, tmp_path / "pairs", "--labels", "mesh_automatic", "--min-label-count", "1") == 0
    vocabulary = DatasetInfo.load(tmp_path / "pairs").label_vocabulary
    assert {"normal", "pleural effusion"} <= set(vocabulary)
    assert "Pleural Effusion" not in vocabulary


def test_a_second_run_is_already_complete(phantom, tmp_path, capsys):
    for _ in range(2):
        assert openi(phantom, tmp_path / "pairs", "--min-label-count", "2") == 0
    assert "already complete" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--min-label-count", "1000"], "lower --min-label-count"),
        (["--split-by", "date"], "column study_date of --splits"),
        (["--splits", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(phantom, tmp_path, capsys, options, words):
    assert openi(phantom, tmp_path / "pairs", *options) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("mcmfh-data: error: ")
    assert words in error
    assert "Traceback" not in error


def test_a_folder_that_is_not_there_is_named(phantom, tmp_path, capsys):
    reports = ["--reports", str(phantom / "reports.tgz")]
    assert main(["openi", *reports, "--images", "nowhere", "--out", str(tmp_path)]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_help_names_each_option(capsys):
    assert main(["openi", "--help", "all"]) == 0
    screen = " ".join(capsys.readouterr().out.split())
    for words in ("--min-label-count", "pairs that a label needs", "--mirror", "--images-sha256"):
        assert words in screen


@pytest.mark.slow
def test_the_real_collection_with_its_table(shared_data, tmp_path):
    real = shared_data / "openi"
    paths = ["--reports", str(real / "NLMCXR_reports.tgz"), "--images", str(real / "images")]
    assert main(["openi", *paths, "--splits", str(real / "splits.csv"), "--out", str(tmp_path / "pairs")]) == 0
    info = DatasetInfo.load(tmp_path / "pairs")
    assert {split: entry.pairs for split, entry in info.splits.items()} == {"train": 5939, "val": 738, "test": 749}
    assert info.num_labels == 79
    assert info.normal_label == "normal"
    assert info.label_vocabulary[0] == "normal"
    assert info.licence == "CC BY-NC-ND 4.0"
    assert info.skipped == {"report without an image": 104, "missing image file": 44}
    assert info.settings["summary"]["share_probability"]["all"] == pytest.approx(0.20, abs=0.01)


def test_help_phantom_and_verify_run_without_torch(phantom, tmp_path):
    """A page of options should not take seconds, nor a check of a folder the memory of a training library."""
    assert openi(phantom, tmp_path / "pairs", "--min-label-count", "2") == 0
    commands = [["--help"], *([name, "--help"] for name in COMMANDS)]
    commands.append(["phantom", "--studies", "2", "--out", str(tmp_path / "phantom")])
    commands.append(["verify", str(tmp_path / "pairs")])
    code = """
import json, sys
from mcmfh_lightning.cli.data import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as stop:
        assert not stop.code, arguments
assert not {"torch", "lightning", "matplotlib", "pandas"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
