"""Building, opening and searching large archives: ``python benchmarks/archive_size.py``.

Features drawn at random (no content, a hasher with drawn weights) become an archive, to which others are added. Prints
items a second of each block, not counting an encoder, then, for new processes, what it takes to open the archive for
the first time after a change and again, its facets, searches by an item with and without filters, and their memory.
What searches find is compared with a scan of all codes. Next to times are those of all processors together, which other
programs of the machine change less.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measurements import seconds

from mcmfh_lightning.archive.build import add_items, build_archive
from mcmfh_lightning.archive.filters import Filters
from mcmfh_lightning.archive.info import Location
from mcmfh_lightning.archive.search import Archive
from mcmfh_lightning.archive.source import Source
from mcmfh_lightning.archive.store import ItemTable
from mcmfh_lightning.hashers import TwoTower
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY
from mcmfh_lightning.shards import DatasetInfo, FeatureShardWriter, merge_feature_parts

DIMENSIONS = 16
ENCODER = {"name": "random numbers"}
LABELS = tuple(f"finding {number}" for number in range(40))
PART = 50_000
BLOCK = 100_000
QUERIES = 30
FILTERS = {
    "no filter": Filters(),
    "one label": Filters(labels=("finding 3",)),
    "any of three labels": Filters(any_labels=("finding 3", "finding 5", "finding 8")),
    "dates": Filters(since="2013-01-01", until="2016-12-31"),
    "split": Filters(splits=("test",)),
    "without a group": Filters(without_groups=("17",)),
    "label, split": Filters(labels=("finding 3",), splits=("train",)),
}


def write_features(folder: Path, first: int, count: int) -> Path:
    """Write features of items with numbers from ``first`` on; two share a group, each has two labels in the median."""
    writer, rng = FeatureShardWriter(folder, rank=0), np.random.default_rng(first)
    ids: dict[str, list[str]] = {"train": [], "test": []}
    for split, begin, end in (("train", 0, count - count // 10), ("test", count - count // 10, count)):
        for start in range(begin, end, PART):
            numbers = first + np.arange(start, min(start + PART, end))
            names = [f"study-{number * 7919 % 10**9:09d}" for number in numbers.tolist()]
            ids[split] += names
            image, text = rng.normal(size=(2, len(numbers), DIMENSIONS)).astype(np.float16)
            labels = np.packbits(rng.random((len(numbers), len(LABELS))) < 0.05, axis=1)
            writer.write(split, names, image, text, labels, numbers // 2, numbers)
    writer.close()
    info = DatasetInfo(
        format="mcmfh-features",
        name="random numbers",
        source="benchmarks",
        licence="CC0-1.0",
        settings={},
        label_vocabulary=LABELS,
        normal_label=LABELS[0],
        splits={},
        encoder=ENCODER,
        image_dim=DIMENSIONS,
        text_dim=DIMENSIONS,
    )
    merge_feature_parts(folder, info, 1, expected_ids=ids)
    return folder


def write_checkpoint(path: Path, num_bits: int) -> Path:
    """Write a hasher with drawn weights."""
    torch.manual_seed(0)
    hasher = TwoTower(num_bits, DIMENSIONS, DIMENSIONS, d_model=16)
    stored: dict[str, object] = {"state_dict": hasher.state_dict()}
    hasher.on_save_checkpoint(stored)
    stored[CHECKPOINT_KEY] |= {"encoder": ENCODER, "label_vocabulary": list(LABELS)}  # type: ignore[operator]  # a dict
    torch.save(stored, path)
    return path


def timed_commits(run: Callable[[], str], title: str) -> None:
    """Print the items a second of each block of a command that adds items."""
    add, moments = ItemTable.add, [(0, time.perf_counter())]

    def noted(table: ItemTable, batch: object, **options: object) -> int:
        new = add(table, batch, **options)  # type: ignore[arg-type]  # passed on
        moments.append((moments[-1][0] + new, time.perf_counter()))
        return new

    ItemTable.add = noted  # type: ignore[method-assign]  # the moments of commits are known nowhere else
    try:
        taken = seconds(run)
    finally:
        ItemTable.add = add  # type: ignore[method-assign]  # as it was
    total = moments[-1][0]
    print(f"{title}: {total:,} items in {taken:.1f} s, {total / taken:,.0f} a second")
    since = moments[0]
    print(f"  before the first commit is written {moments[1][1] - moments[0][1]:.1f} s")
    for moment in moments[1:]:
        if moment[0] - since[0] >= BLOCK or moment is moments[-1]:
            print(f"  up to {moment[0]:>9,}: {(moment[0] - since[0]) / (moment[1] - since[1]):>7,.0f} a second")
            since = moment
    print(f"  after the last commit {taken - (moments[-1][1] - moments[0][1]):.1f} s")


def build(folder: Path, items: int, more: int, num_bits: int) -> None:
    """Build an archive, and add to it."""
    checkpoint = write_checkpoint(folder / "hasher.ckpt", num_bits)
    first = write_features(folder / "first", 0, items)
    place, spec = Location(folder / "archive"), {"class_path": "none", "init_args": {}}
    settings = {"store_content": False, "keep_relaxed": True, "device": "cpu"}
    timed_commits(lambda: build_archive(place, Source(str(first), None), checkpoint, spec, **settings), "build")  # type: ignore[arg-type]  # as named
    second = write_features(folder / "more", items, more)
    timed_commits(lambda: add_items(place, Source(str(second), None), device="cpu"), "add")


def search(folder: Path) -> None:
    """Open and search the archive in a process that does nothing else.

    Raises:
        SystemExit: If the index and a scan find different items.
    """
    taken = seconds(lambda: ItemTable.open(folder / "archive"))
    print(f"LanceDB is imported, and its table is open, in {taken:.2f} s")
    begin, busy = time.perf_counter(), time.process_time()
    archive = Archive.open(folder / "archive")
    taken, busy = time.perf_counter() - begin, time.process_time() - busy
    print(f"opened in {taken:.2f} s, of processors {busy:.2f} s: {len(archive):,} items; {memory()}")
    print(f"facets {1e3 * seconds(archive.facets):.1f} ms, index {archive._snapshot.index('case').kind}")
    rng = np.random.default_rng(0)
    ids = [f"study-{number * 7919 % 10**9:09d}" for number in rng.integers(0, len(archive), QUERIES).tolist()]
    hits = {}
    for name, filters in FILTERS.items():
        taken_by, busy_by = [], []
        for item in ids:
            begin, busy = time.perf_counter(), time.process_time()
            found = archive.search(id=item, filters=filters)
            taken_by.append(1e3 * (time.perf_counter() - begin))
            busy_by.append(1e3 * (time.process_time() - busy))
            hits[name, item] = found.hits
        parts = {part: f"{1e3 * getattr(found.timing, part):.1f}" for part in ("encode", "search", "rerank", "fetch")}
        slowest = f"at most {max(taken_by):.1f} ms, of processors {median(busy_by):.1f} ms"
        print(f"{name}: {median(taken_by):.1f} ms, {slowest} ({found.candidates:,} candidates; the last: {parts})")
    print(f"after {len(hits)} searches {memory()}")
    scan = Archive.open(folder / "archive", index="flat")
    for (name, item), expected in hits.items():
        if scan.search(id=item, filters=FILTERS[name]).hits != expected:
            raise SystemExit(f"{name}: the index and the scan find different items for {item}")


def memory() -> str:
    """Say what of the process is in memory, its own pages and those of mapped files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped = (int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    return f"resident {own:,.0f} MB of its own, {mapped:,.0f} MB of files"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000, help="items of the archive that is built")
    parser.add_argument("--more", type=int, default=100_000, help="items that are added to it")
    parser.add_argument("--bits", type=int, default=16, help="bits of a code")
    parser.add_argument("--search", type=Path, help="only search what is in this folder")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.search:
        search(given.search)
        return
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), given.items, given.more, given.bits)
        for opened in ("for the first time", "again"):
            print(f"\n{opened}", flush=True)
            subprocess.run([sys.executable, __file__, "--search", folder], check=True)  # noqa: S603  # this file


if __name__ == "__main__":
    main()
