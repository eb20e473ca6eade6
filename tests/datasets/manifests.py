"""Manifests of three formats, and what became of them, for tests."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow.parquet import write_table

from mcmfh_lightning.cli.data import main as command
from mcmfh_lightning.shards import DatasetInfo, Pair, PairShardReader

Rows = Sequence[Mapping[str, object]]


def make_images(folder: Path) -> None:
    """``images/`` with a.png, b.jpg and sub/c.png."""
    (folder / "images" / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "sub/c.png"):
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(folder / "images" / name)


def run(folder: Path, manifest: Path, *options: str, out: str = "out") -> int:
    """The exit code of the command; images are in ``folder/images``."""
    paths = ["--manifest", str(manifest), "--out", str(folder / out)]
    if "--images" not in options:
        paths += ["--images", str(folder / "images")]
    try:
        command(["manifest", *paths, *options])
    except SystemExit as stop:
        return stop.code
    return 0


GOOD = (
    {"id": "one", "image": "a.png", "text": "Lungs clear.", "labels": ["normal"], "group": "P-17"},
    {"id": "two", "image": "b.jpg", "text": 'Has "quotes",\ntwo lines', "labels": ["edema", "nodule"], "group": "P-18"},
    {"id": "three", "image": "sub/c.png", "text": "Größe 3 µm", "labels": ["nodule"], "group": "P-18"},
)


def write_csv(path: Path, rows: Rows, encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: ";".join(v) if isinstance(v, list) else v for k, v in row.items()})
    return path


def write_jsonl(path: Path, rows: Rows, encoding: str = "utf-8") -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding=encoding)
    return path


def write_parquet(path: Path, rows: Rows) -> Path:
    columns = dict.fromkeys(name for row in rows for name in row)
    write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), path, row_group_size=2)
    return path


WRITERS: Mapping[str, Callable[[Path, Rows], Path]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}


def pairs(out: Path) -> dict[str, Pair]:
    readers = [PairShardReader(out, split) for split in DatasetInfo.load(out).splits]
    found = [reader[i] for reader in readers for i in range(len(reader))]
    assert len({pair.id for pair in found}) == len(found)
    return {pair.id: pair for pair in found}


def tars(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.tar"))}
