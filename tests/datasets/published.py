"""What the tests of converters of published collections share."""

import csv
import gzip
import io
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.shards import DatasetInfo, Pair, PairShardReader


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV, compressed if its name ends in .gz."""
    with io.StringIO(newline="") as text:
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(rows)
        content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def edit(path: Path, old: bytes, new: bytes) -> None:
    """Replace the first place where some bytes are, also in a compressed file."""
    packed = path.suffix == ".gz"
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    assert old in content, (path, old)
    content = content.replace(old, new, 1)
    path.write_bytes(gzip.compress(content) if packed else content)


def write_film(path: Path, gray: int) -> None:
    """Write a small picture of one gray in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 6), gray).save(path)


def convert(*args: object) -> int:
    """Return the exit code of mcmfh-data; with these few items labels need not be frequent."""
    try:
        command([*map(str, args), "--min-label-count", "1"])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def pairs_of(out: Path) -> dict[str, tuple[str, Pair]]:
    """Return split and pair of each item."""
    found = {}
    for split in DatasetInfo.load(out).splits:
        reader = PairShardReader(out, split)
        found |= {reader[at].id: (split, reader[at]) for at in range(len(reader))}
    return found


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """Return the one line with which a conversion ends that cannot be made."""
    assert convert(*args) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert lines[0].startswith("mcmfh-data: error: ")
    return lines[0]


def run_page(page: Path, name: str) -> None:
    """Run the conversions that a page shows, in the working folder."""
    lines = re.findall(rf"^    mcmfh-data ({name}.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines
    for line in lines:
        assert convert(*shlex.split(line)) == 0
