"""The tests of the suite that need a GPU, which are marked ``gpu``."""

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

from gpu_device import Device
from gpu_sections import Measured, Step

REPOSITORY = Path(__file__).parents[1]
MINUTES = 4


def marked() -> list[Path]:
    """List the files of tests with that mark, so that pytest does not import all others."""
    return sorted(path for path in (REPOSITORY / "tests").rglob("test_*.py") if "pytest.mark.gpu" in path.read_text())


def run_tests(paths: list[Path], folder: Path) -> Iterator[Measured]:
    """Run the marked tests of some files, and report how many passed.

    Raises:
        ValueError: If one fails, or none ran.
    """
    report = folder / "tests.xml"
    options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, paths)]
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=REPOSITORY, timeout=60 * MINUTES, check=False)  # noqa: S603  # our own tests
    if not report.exists():
        raise ValueError(f"pytest ended with code {done.returncode} and wrote no report")
    suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314  # what pytest has just written
    counts = {
        name: int(suite.get(name, 0)) if suite is not None else 0 for name in ("tests", "skipped", "failures", "errors")
    }
    if done.returncode or counts["failures"] or counts["errors"] or not counts["tests"]:
        raise ValueError(f"pytest ended with code {done.returncode}: {counts}")
    passed = counts["tests"] - counts["skipped"]
    note = f"{counts['skipped']} skipped, {time.perf_counter() - begin:.0f} s"
    yield Measured("tests marked gpu", ", ".join(path.name for path in paths), [passed], "passed", note=note)


def steps(device: Device, folder: Path) -> Iterator[Step]:
    """List the one step; without a GPU these tests are skipped."""
    yield "tests marked gpu", partial(run_tests, marked(), folder)
