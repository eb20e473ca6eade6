"""The walkthroughs in examples/ run to their end, as written."""

import re
import runpy
import sys
from pathlib import Path

import pytest


@pytest.fixture
def run_example(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """Run an example in an empty folder, as its file is run; returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(repository / "examples" / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_codes_of_another_program_are_evaluated_alike_in_both_ways(run_example, tmp_path: Path) -> None:
    printed = run_example("evaluate_codes_of_another_program.py")
    in_report = re.search(r"mAP@all\D+([\d.]+)", printed)[1]
    in_a_loop = re.search(r"torchmetrics: mAP@all ([\d.]+)", printed)[1]
    assert in_report == in_a_loop
    assert (tmp_path / "runs" / "other_codes" / "report" / "results.json").is_file()


@pytest.mark.slow
def test_own_images_are_searched(run_example) -> None:
    printed = run_example("search_your_own_images.py", "--epochs", "3")
    assert len(re.findall(r"^\d\. CXR\S+, \d+ bits away", printed, re.MULTILINE)) == 5
    assert re.search(r"^like CXR\S+: CXR", printed, re.MULTILINE)
