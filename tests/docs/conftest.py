import csv
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from mcmfh_lightning.datasets.phantom.studies import write_phantom


@pytest.fixture(scope="session")
def code_blocks() -> Callable[[str, str], list[str]]:
    """Find the fenced blocks of a language in a page."""
    return lambda page, language: re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.fixture(scope="session")
def run_as_written() -> Callable[..., str]:
    """Run shell commands in a folder, without network; returns what they print."""

    def run(commands: str, folder: Path, **variables: str) -> str:
        env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
        env |= variables
        done = subprocess.run(["bash", "-euc", commands], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture(scope="session")
def own_table(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Write the tables and films that the pages begin with: ``pairs.csv``, ``films``, ``new.csv`` and ``new_films``."""
    drawn = tmp_path_factory.mktemp("phantom")
    write_phantom(drawn, 400, 0, Console(quiet=True))

    def write(folder: Path) -> None:
        rows = _sound_rows(drawn)
        _write_rows(folder / "pairs.csv", folder / "films", "F", rows[:-8])
        _write_rows(folder / "new.csv", folder / "new_films", "N", rows[-8:])

    return write


def _sound_rows(drawn: Path) -> list[tuple[Path, str, str, str]]:
    """List film, text, labels and study of the phantom's sound films, each study's together."""
    rows = []
    with tarfile.open(drawn / "reports.tgz") as reports:
        for member in reports:
            if not member.isfile():
                continue
            study = ET.parse(reports.extractfile(member)).getroot()
            text = " ".join(part.text or "" for part in study.iter("AbstractText")).strip()
            labels = ";".join(sorted({(label.text or "").split("/")[0] for label in study.iter("major")}))
            for film in study.iter("parentImage"):
                path = drawn / "images" / f"{film.get('id')}.png"
                if text and labels and _is_whole(path):
                    rows.append((path, text, labels, film.get("id").split("_")[0]))
    return rows


def _is_whole(film: Path) -> bool:
    """Whether the file is there, with the end mark of a PNG: the phantom has broken ones on purpose."""
    return film.is_file() and film.read_bytes().endswith(b"IEND\xaeB`\x82")


def _write_rows(table: Path, films: Path, letter: str, rows: Sequence[tuple[Path, str, str, str]]) -> None:
    """Write a table of the pages' columns, with ids such as F0001 and groups such as P-0001."""
    films.mkdir()
    groups: dict[str, str] = {}
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "text", "labels", "group"])
        for number, (film, text, labels, study) in enumerate(rows, start=1):
            name = f"{letter}{number:04}"
            group = groups.setdefault(study, f"{'P' if letter == 'F' else 'Q'}-{len(groups) + 1:04}")
            (films / f"{name}.png").write_bytes(film.read_bytes())
            writer.writerow([name, f"{name}.png", text, labels, group])
