"""docs/guides/label_maps.md: its vocabulary is the shipped one, its commands and its code run as written."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from mcmfh_lightning.cli.data import main
from mcmfh_lightning.datasets.label_map import chest_labels
from mcmfh_lightning.shards import DatasetInfo
from tests.datasets.manifests import write_csv
from tests.datasets.test_openi import report, write_archive

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


def _write_openi(folder: Path, studies: int) -> None:
    """Write the files of a collection like Open-i, with tiny films."""
    reports, places = {}, ["image_id,study_id,study_date,split"]
    (folder / "images").mkdir()
    for number in range(studies):
        film = f"CXR{number}_IM-0001-1001"
        Image.new("L", (8, 8), number).save(folder / "images" / f"{film}.png")
        heading = ("normal", "Cardiomegaly/mild")[number % 2]
        reports[f"{number}.xml"] = report(number, film, findings=f"Report {number}.", major=(heading,))
        places.append(f"{film},CXR{number},20120316,{('train', 'val', 'test')[number % 3]}")
    write_archive(folder / "reports.tgz", reports)
    (folder / "splits.csv").write_text("\n".join(places) + "\n")


def test_page_runs_as_written(
    page: str, code_blocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _write_openi(tmp_path, 30)
    given = ["--reports", "reports.tgz", "--images", "images", "--splits", "splits.csv", "--out", "pairs"]
    main(["openi", *given, "--min-label-count", "1"])
    (table,) = code_blocks(page, "csv")
    (tmp_path / "map.csv").write_text(table)
    (tmp_path / "films").mkdir()
    raw = ("normal", "hydropneumothorax", '["effusion, pleural"]', "mass")
    rows = [{"id": n, "text": f"Report {n}.", "labels": raw[n % 4], "group": n} for n in range(40)]
    write_csv(tmp_path / "pairs.csv", rows)
    capsys.readouterr()
    for command in code_blocks(page, "bash"):
        program, *arguments = shlex.split(command)
        assert program == "mcmfh-data"
        main(arguments)
    printed = capsys.readouterr().out
    assert len(re.findall(r"label map (?:chest-openi|map\.csv) ", printed)) == 3
    mapped = DatasetInfo.load(tmp_path / "mapped")
    assert set(mapped.label_vocabulary) == {"normal", "pneumothorax", "pleural effusion"}
    assert mapped.settings["summary"]["label_map"]["lost"] == {"mass": 10}
    assert "cardiomegaly" in DatasetInfo.load(tmp_path / "openi").label_vocabulary
    assert "cardiomegaly" in DatasetInfo.load(tmp_path / "relabeled").label_vocabulary
    assert DatasetInfo.load(tmp_path / "both").name == "openi+pairs"

    (code,) = code_blocks(page, "python")
    exec(compile(code, "label_maps.md", "exec"), {"__name__": "__main__"})
    assert b"\nSupport Devices,medical device\n" in (tmp_path / "chexpert.csv").read_bytes()
