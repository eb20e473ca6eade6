"""docs/guides/label_maps.md: its vocabulary is the shipped one, its commands and its code run as written."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from mcmfh_lightning.cli.data import main
from mcmfh_lightning.datasets.label_map import chest_labels
from mcmfh_lightning.datasets.phantom.studies import write_phantom
from mcmfh_lightning.shards import DatasetInfo
from tests.datasets.manifests import write_csv

NAMES = {"openi": "Open-i", "roco": "ROCO", "chexpert": "CheXpert", "padchest": "PadChest"}


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "guides" / "label_maps.md").read_text()


def test_vocabulary_of_the_page_is_the_shipped_one(page: str) -> None:
    shown = [row.strip("| ").split(" | ") for row in page.partition("## The vocabulary")[2].splitlines() if "|" in row]
    assert shown[2:] == [
        [name, entry["kind"], entry["definition"], ", ".join(shown for key, shown in NAMES.items() if key in entry)]
        for name, entry in chest_labels()["labels"].items()
    ]


def test_page_runs_as_written(page: str, code_blocks, run_as_written, tmp_path: Path) -> None:
    write_phantom(tmp_path, 80, 0, Console(quiet=True))
    given = ["--reports", "reports.tgz", "--images", "images", "--splits", "splits.csv", "--out", "pairs"]
    main(["openi", *(str(tmp_path / word) if word[0] != "-" else word for word in given), "--min-label-count", "1"])
    (table,) = code_blocks(page, "csv")
    (tmp_path / "map.csv").write_text(table)
    (tmp_path / "films").mkdir()
    raw = ("normal", "hydropneumothorax", '["effusion, pleural"]', "mass")
    rows = [{"id": n, "text": f"Report {n}.", "labels": raw[n % 4], "group": n} for n in range(40)]
    write_csv(tmp_path / "pairs.csv", rows)
    printed = run_as_written("".join(code_blocks(page, "bash")), tmp_path)
    assert len(re.findall(r"label map (?:chest-openi|map\.csv) ", printed)) == 3
    mapped = DatasetInfo.load(tmp_path / "mapped")
    assert set(mapped.label_vocabulary) == {"normal", "pneumothorax", "pleural effusion"}
    assert mapped.settings["summary"]["label_map"]["lost"] == {"mass": 10}
    assert "cardiomegaly" in DatasetInfo.load(tmp_path / "openi").label_vocabulary
    assert "cardiomegaly" in DatasetInfo.load(tmp_path / "relabeled").label_vocabulary
    assert DatasetInfo.load(tmp_path / "both").name == "openi+pairs"

    (code,) = code_blocks(page, "python")
    run_as_written(f"python - <<'END'\n{code}END", tmp_path)
    assert b"\nSupport Devices,medical device\n" in (tmp_path / "chexpert.csv").read_bytes()
