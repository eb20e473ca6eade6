"""How fast an archive is searched, in how much memory, and how well; see docs/results/benchmarks.md.

    python benchmarks/search.py --features DIR --checkpoints FILE ... --real-valued FILE --csv FILE
        [--page FILE] [--plot FILE] [--encoder]

Codes of trained hashers, of one length each, against the embeddings of a trained real-valued one:

    (a) faiss' flat inner product over real-valued embeddings,
    FlatIndex and HashIndex of the archive, faiss too, over codes that are mapped into memory,
    (b) faiss' flat binary index as it comes,
    (c) for codes of 64 bits, faiss' hash index of several tables, made exact by flipping ever more bits.

Items are drawn around the pairs of a collection (seed 0, the same for every system), queries are the images of its test
split; of codes of 16 and 64 bits uniform ones are searched as well. The systems take turns: in each round every one
answers the same queries one by one, and then a batch of them, and is compared with (a) in that round; medians over
rounds. mAP is that of the checkpoints on the test split. With ``--encoder`` the encoding of a text query is timed, too.
Prints tables in Markdown, writes a CSV and, if asked, a figure and the tables of the page.
"""

import argparse
import logging
import os
import platform
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from retrieval import rows as report
from retrieval.claims import claims
from retrieval.engines import Engine, K, choose_way, faiss_flat, faiss_multi_hash, measured, ours, real_valued
from retrieval.figure import plot
from retrieval.rows import DRAWN, UNIFORM, Row
from retrieval.sources import Source, pack, source
from rich.progress import track

from mcmfh_lightning.archive.indexes import FlatIndex, HashIndex
from mcmfh_lightning.archive.model import QueryHasher, build_encoder, read_encoder_spec
from mcmfh_lightning.hashers.stored import load_hasher

SEED = 0
UNIFORM_BITS = (16, 64)
SEVERAL_TABLES = 64
SLOW_QUERIES = 3
TEXT = "enlarged heart with pleural effusion"
PACKAGES = ("numpy", "faiss-cpu", "torch")
PARTS = ("speed", "memory", "quality", "claims")


def machine() -> str:
    """The machine in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    waits = os.environ.get("OMP_WAIT_POLICY", "active")
    return (
        f"{models[0]}, {len(models)} cores, OMP_WAIT_POLICY {waits}; Python {platform.python_version()}, {packages}; "
        f"load {load()}"
    )


def load() -> str:
    """Processes that ran or waited over the last 1, 5 and 15 minutes."""
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def write_codes(folder: Path, drawn: Iterator[NDArray[np.uint8]], name: str) -> Path:
    """A file of packed codes, as an archive keeps them."""
    path = folder / f"{name}.npy"
    np.save(path, np.concatenate(list(drawn)))
    return path


def uniform(items: int, num_bits: int) -> Iterator[NDArray[np.uint8]]:
    """Packed codes of independent fair bits."""
    yield np.random.default_rng(SEED).integers(0, 256, (items, num_bits // 8), dtype=np.uint8)


def open_engines(codes: Path, num_bits: int, queries: NDArray[np.uint8], *, several_tables: bool) -> list[Engine]:
    """All systems over a file of codes; they must find the same."""
    builds = [
        lambda: ours(FlatIndex, codes, num_bits, queries),
        lambda: ours(HashIndex, codes, num_bits, queries),
        lambda: faiss_flat(codes, num_bits, queries),
    ]
    if several_tables:
        builds.append(lambda: faiss_multi_hash(codes, num_bits, queries))
    engines = [measured(build) for build in builds]
    for number in range(SLOW_QUERIES):
        distances, found = engines[0].one(number)
        for engine in engines[1:]:
            other, rows = engine.one(number)
            np.testing.assert_array_equal(distances, other, engine.system)
            if engine.system != report.FAISS_FLAT:  # its ties come in any order
                np.testing.assert_array_equal(found, rows, engine.system)
    return engines


def crowd(codes: Path, engine: Engine) -> Iterator[tuple[str, float]]:
    """How many codes differ, and how many items lie exactly as far from a query as its last hit."""
    mapped = np.load(codes, mmap_mode="r")
    index = FlatIndex(mapped, engine.width)
    ties = []
    for query in engine.queries[:20]:
        last = int(index.nearest(query, K)[0][-1])
        ties.append(int((index.within(query, last)[0] == last).sum()))
    yield report.DISTINCT, len(np.unique(mapped, axis=0))
    yield report.TIED, statistics.median(ties)


def time_turns(
    engines: Sequence[tuple[str, Engine]], threads: int, turns: int, singles: int, batch: int
) -> Iterator[tuple[str, Engine, str, float]]:
    """Medians of every system, and of its ratios to the first, real-valued one in the same turn."""
    found: dict[tuple[int, str], list[float]] = defaultdict(list)
    for _ in track(range(turns), description=f"{threads} threads"):
        for place, (_, engine) in enumerate(engines):
            faiss.omp_set_num_threads(engine.omp_threads or threads)
            if threads == 1:  # more threads do not make faiss faster with a query that comes alone
                count = singles if engine.search_all else SLOW_QUERIES
                found[place, report.ONE].append(min(time_singles(engine, way, count) for way in engine.ways))
            if engine.search_all:
                begin = time.perf_counter()
                engine.search_all(engine.queries[:batch], threads)
                found[place, report.BATCH].append(1e3 * (time.perf_counter() - begin) / batch)
    for place, (data, engine) in enumerate(engines):
        for metric, ratio in ((report.ONE, report.ONE_RATIO), (report.BATCH, report.BATCH_RATIO)):
            if taken := found.get((place, metric)):
                yield data, engine, metric, statistics.median(taken)
                if place:
                    ratios = [real / other for real, other in zip(found[0, metric], taken, strict=True)]
                    yield data, engine, ratio, statistics.median(ratios)


def time_singles(engine: Engine, way: int, count: int) -> float:
    """Median of milliseconds of queries that come alone, one untimed before."""
    choose_way(way)
    engine.one(0)
    taken = []
    for number in range(count):
        begin = time.perf_counter()
        engine.one(number)
        taken.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(taken)


def measure(real: Source, hashed: Sequence[Source], items: int, arguments: argparse.Namespace) -> Iterator[Row]:
    """Rows of one number of items."""
    order = np.random.default_rng(SEED).permutation(len(real.queries))[: arguments.batch]
    with tempfile.TemporaryDirectory() as folder:
        engines = [(DRAWN, measured(lambda: real_valued(real.draw(items, SEED), real.queries[order])))]
        for one in hashed:
            codes = write_codes(Path(folder), (pack(chunk) for chunk in one.draw(items, SEED)), f"drawn-{one.width}")
            opened = open_engines(
                codes, one.width, pack(one.queries[order]), several_tables=one.width == SEVERAL_TABLES
            )
            engines += [(DRAWN, engine) for engine in opened]
            for metric, value in crowd(codes, opened[0]):
                yield Row(system=report.FLAT, data=DRAWN, items=items, width=one.width, metric=metric, value=value)
        for num_bits in UNIFORM_BITS:
            if any(one.width == num_bits for one in hashed):
                codes = write_codes(Path(folder), uniform(items, num_bits), f"uniform-{num_bits}")
                queries = np.random.default_rng(SEED + 1).integers(0, 256, (len(order), num_bits // 8), dtype=np.uint8)
                opened = open_engines(codes, num_bits, queries, several_tables=num_bits == SEVERAL_TABLES)
                engines += [(UNIFORM, engine) for engine in opened]
        for data, engine in engines:
            for metric, value in (
                (report.BYTES, engine.nbytes), (report.RESIDENT, engine.resident), (report.OPENING, engine.opening)
            ):  # fmt: skip
                yield Row(system=engine.system, data=data, items=items, width=engine.width, metric=metric, value=value)
        for threads in arguments.threads:
            timed = time_turns(engines, threads, arguments.turns, arguments.singles, len(order))
            for data, engine, metric, value in timed:
                yield Row(
                    system=engine.system, data=data, items=items, width=engine.width, threads=threads, metric=metric,
                    value=value,
                )  # fmt: skip


def encoding(checkpoint: Path, num_bits: int, turns: int) -> Row:
    """Milliseconds from a text to its code, as an archive makes it: with one thread."""
    stored = load_hasher(checkpoint)
    hasher = QueryHasher(build_encoder(read_encoder_spec(None), stored.encoder or {}), stored.hasher, "cpu")
    hasher.text(TEXT)
    taken = []
    for _ in range(3 * turns):
        begin = time.perf_counter()
        hasher.text(TEXT)
        taken.append(time.perf_counter() - begin)
    return Row(
        system=report.ENCODING, width=num_bits, threads=1, metric=report.ONE, value=1e3 * statistics.median(taken)
    )


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """The tables of the page by part."""
    sizes = report.sizes(rows)
    uniform_too = [sizes[-1]] if any(row.data == UNIFORM for row in rows) else []
    return {
        "quality": report.quality(rows, sizes[-1]),
        "speed": "\n\n".join(
            [report.speed(rows, DRAWN, items) for items in sizes]
            + [report.speed(rows, UNIFORM, i) for i in uniform_too]
        ),
        "memory": report.memory(rows, DRAWN, sizes[-1]),
        "claims": claims(rows),
    }


def fill(page: str, rows: Sequence[Row]) -> str:
    """The page with every table between its comments ``<!-- search: PART -->`` and ``<!-- end -->``.

    Raises:
        ValueError: If the page lacks the comments of a part.
    """
    for part in PARTS:
        place = re.compile(rf"(<!-- search: {part} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not place.search(page):
            raise ValueError(f"the page has no lines '<!-- search: {part} -->' and '<!-- end -->': add them")
        if rows:
            table = tables(rows)[part]
            page = place.sub(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", page)
    return page


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True, help="folder of feature shards")
    parser.add_argument("--checkpoints", type=Path, nargs="+", required=True, help="of hashers, one for each length")
    parser.add_argument("--real-valued", type=Path, required=True, help="checkpoint of a RealValued")
    parser.add_argument("--csv", type=Path, required=True, help="file for the results")
    parser.add_argument("--page", type=Path, help="Markdown file whose tables are replaced")
    parser.add_argument("--plot", type=Path, help="file for the figure (.svg or .png)")
    parser.add_argument("--encoder", action="store_true", help="time the default encoder on a text query")
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000], help="numbers of items")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of each system")
    parser.add_argument("--turns", type=int, default=7, help="turns of every system")
    parser.add_argument("--singles", type=int, default=15, help="queries of a turn that come alone")
    parser.add_argument("--batch", type=int, default=128, help="queries of a turn that come together")
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    if arguments.page:
        fill(arguments.page.read_text(), [])  # a page without places for the tables is told of before minutes pass
    torch.set_num_threads(1)
    print(f"{machine()}\n")
    real, *hashed = (source(path, arguments.features) for path in (arguments.real_valued, *arguments.checkpoints))
    rows = [
        Row(system=report.FLAT if one.num_bits else report.REAL, width=one.width, metric=metric, value=value)
        for one in (*hashed, real)
        for metric, value in one.quality.items()
    ]
    if arguments.encoder:
        rows.append(encoding(arguments.checkpoints[0], hashed[0].width, arguments.turns))
    for items in arguments.items:
        rows += measure(real, hashed, items, arguments)
    report.write_csv(arguments.csv, rows)
    rows = report.read_csv(arguments.csv)
    print(f"\nload after {load()}")
    for part, table in tables(rows).items():
        print(f"\n{part}\n\n{table}")
    if arguments.page:
        arguments.page.write_text(fill(arguments.page.read_text(), rows))
    if arguments.plot:
        plot(arguments.plot, rows)


if __name__ == "__main__":
    main()
