"""The walkthroughs in examples/ run to their end, as written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


def _run(repository: Path, name: str, folder: Path, *arguments: str) -> str:
    command = [sys.executable, str(repository / "examples" / name), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_codes_of_another_program_are_evaluated_alike_in_both_ways(repository: Path, tmp_path: Path) -> None:
    printed = _run(repository, "evaluate_codes_of_another_program.py", tmp_path)
    in_report = re.search(r"mAP@all\D+([\d.]+)", printed)[1]
    in_a_loop = re.search(r"torchmetrics: mAP@all ([\d.]+)", printed)[1]
    assert in_report == in_a_loop
    assert (tmp_path / "runs" / "other_codes" / "report" / "results.json").is_file()


@pytest.mark.slow
def test_own_images_are_searched(repository: Path, tmp_path: Path) -> None:
    printed = _run(repository, "search_your_own_images.py", tmp_path, "--epochs", "3")
    assert len(re.findall(r"^\d\. CXR\S+, \d+ bits away", printed, re.MULTILINE)) == 5
    assert re.search(r"^like CXR\S+: CXR", printed, re.MULTILINE)
