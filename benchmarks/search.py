"""Speed, memory and quality of searching an archive; see docs/results/benchmarks.md.

    python benchmarks/search.py --features DIR --checkpoints FILE ... --real-valued FILE --csv FILE
        [--page FILE] [--plot FILE] [--encoder]

Codes of trained hashers, one of each length, against the embeddings of a trained real-valued one:

    (a) faiss' flat inner product over real-valued embeddings,
    FlatIndex (faiss too) and, for codes of up to 24 bits, HashIndex of the archive, mapped into memory,
    (b) faiss' flat binary index by its defaults,
    (c) for codes of 64 bits, faiss' hash index of several tables, made exact by flipping more and more bits.

Items are drawn around the pairs of a collection (seed 0, the same for every system), queries are the images of its test
split; for codes of 16 and 64 bits uniform ones are searched as well. The systems take turns: in each round every one
answers the same queries one by one, and then a batch of them, and is compared with (a) in that round; the numbers are
medians over rounds. mAP is that of the checkpoints on the test split. With ``--encoder`` the encoding of a text query
is timed, too. Prints tables in Markdown, writes a CSV file and, if asked, a figure and the tables of the page.
`search_sizes.py` searches codes alone, 10^4 to 10^9 of them.
"""

import argparse
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import faiss
import numpy as np
import search_engines as engines
import search_tables as names
import torch
from measurements import Row, options, report, seconds, take_turns
from numpy.typing import NDArray
from search_engines import Array, Codes, Engine, K
from torch.nn.functional import normalize
from trained_runs import Data, Items, encode, ranked

from mcmfh_lightning.archive.address_table import LONGEST
from mcmfh_lightning.archive.flat_index import FlatIndex
from mcmfh_lightning.archive.hash_index import HashIndex
from mcmfh_lightning.archive.model import QueryHasher
from mcmfh_lightning.encoders.spec import build_encoder, read_encoder_spec
from mcmfh_lightning.hashers.stored import load_hasher
from mcmfh_lightning.metrics.functional import average_precision, pack_signs

SEED = 0
CHUNK = 50_000
UNIFORM_BITS = (16, 64)
SEVERAL_TABLES = 64
SLOW_QUERIES = 3
TEXT = "enlarged heart with pleural effusion"
PACKAGES = ("numpy", "faiss-cpu", "torch")

Floats = NDArray[np.float32]


def row(system: str, width: int, metric: str, value: float, data: str = "", items: int = 0, threads: int = 0) -> Row:
    """Make a row of the file, its value with six digits."""
    keys = {"system": system, "data": data, "items": items, "width": width, "threads": threads, "metric": metric}
    return keys | {"value": f"{value:.6g}"}


@dataclass(frozen=True)
class Source:
    """Outputs of a trained hasher for a whole collection.

    Attributes:
        num_bits: Bits of a code; None for real-valued embeddings.
        cases: (M, D) of all pairs of the collection: relaxed codes of the case, or embeddings of length 1.
        queries: (Q, D) of the images of the test split.
        quality: mAP by the names of `search_tables.QUALITY`.
    """

    num_bits: int | None
    cases: Floats
    queries: Floats
    quality: Mapping[str, float]

    @property
    def width(self) -> int:
        """Number of bits, or of numbers of an embedding."""
        return self.cases.shape[1]

    def draw(self, items: int, seed: int) -> Iterator[Floats]:
        """Draw items around those of the collection: between two of its pairs, nearer to the first.

        The same pairs and shares for every source, so that all systems search the same items. Where two pairs have one
        code, so has what is between them: codes crowd as those of the collection do.

        Args:
            items: Number of items.
            seed: Seed of the draw.

        Returns:
            (n, D) outputs of each chunk; embeddings have length 1.
        """
        rng = np.random.default_rng(seed)
        first, second = rng.integers(len(self.cases), size=(2, items))
        share = rng.random((items, 1), dtype=np.float32) / 2
        for start in range(0, items, CHUNK):
            part = slice(start, start + CHUNK)
            drawn = self.cases[first[part]] * (1 - share[part]) + self.cases[second[part]] * share[part]
            yield drawn if self.num_bits else drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def source(checkpoint: Path, features: Path) -> Source:
    """Compute the outputs of a checkpoint, and its tie-aware mAP of the test split (unimodal, abnormal queries)."""
    hasher, data = load_hasher(checkpoint).hasher, Data("features", features)
    test, rest = encode(hasher, data), encode(hasher, data, "train+val")
    cases = torch.cat([part.codes["case"][part.complete] for part in (rest, test)]).float()
    queries = test.queries["i2case"][test.complete].float()
    cosine = hasher.distance == "cosine"
    if cosine:
        cases, queries = normalize(cases), normalize(queries)
    abnormal = data.abnormal(test.labels)
    sides = ((test.queries["i2t"], test.codes["text"]), (test.queries["t2i"], test.codes["image"]))
    found = [ranked(hasher, *(Items(codes, test.labels, test.groups) for codes in both)) for both in sides]
    values = [average_precision(counts.total, counts.relevant, depth) for depth in (None, K) for counts in found]
    means = [float(of_queries[abnormal & ~of_queries.isnan()].mean()) for of_queries in values]
    quality = dict(zip(names.QUALITY, means, strict=True))
    return Source(None if cosine else cases.shape[1], cases.numpy(), queries.numpy(), quality)


def pack(relaxed: Floats) -> Codes:
    """Pack relaxed codes as an archive stores them."""
    return pack_signs(torch.from_numpy(relaxed)).numpy()


def open_engines(folder: Path, data: str, chunks: Iterable[Codes], num_bits: int, queries: Codes) -> list[Engine]:
    """Open all systems over one file of codes, and check that they find the same."""
    codes = folder / f"{data}-{num_bits}.npy"
    np.save(codes, np.concatenate(list(chunks)))
    builds = [partial(engines.ours, FlatIndex), engines.faiss_flat]
    if num_bits <= LONGEST:
        engines.save_table(codes, num_bits)
        builds.insert(1, partial(engines.ours, HashIndex))
    builds += [engines.faiss_multi_hash] if num_bits == SEVERAL_TABLES else []
    opened = [replace(engines.measured(partial(build, codes, num_bits, queries)), data=data) for build in builds]
    for number in range(SLOW_QUERIES):
        distances, found = opened[0].one(number)
        for engine in opened[1:]:
            other, rows = engine.one(number)
            np.testing.assert_array_equal(distances, other, engine.system)
            if engine.system != names.FAISS_FLAT:  # its ties come in any order
                np.testing.assert_array_equal(found, rows, engine.system)
    return opened


def crowd(codes: Codes, queries: Codes, num_bits: int) -> dict[str, float]:
    """Count the codes that differ, and the items that are exactly as far from a query as its last hit."""
    index = FlatIndex(codes, num_bits)
    ties = []
    for query in queries[:20]:
        last = int(index.nearest(query, K)[0][-1])
        ties.append(int((index.within(query, last)[0] == last).sum()))
    return {names.DISTINCT: len(np.unique(codes, axis=0)), names.TIED: median(ties)}


def time_singles(engine: Engine, threads: int, count: int) -> float:
    """Measure milliseconds of queries that come alone (the median, by the faster way), after one untimed."""
    faiss.omp_set_num_threads(engine.omp_threads or threads)
    medians = []
    for way in engine.ways:
        engines.choose_way(way)
        engine.one(0)
        medians.append(median(1e3 * seconds(partial(engine.one, number)) for number in range(count)))
    return min(medians)


def time_batch(engine: Engine, search_all: Callable[[Array, int], object], threads: int) -> float:
    """Measure milliseconds a query of a batch of all queries."""
    faiss.omp_set_num_threads(engine.omp_threads or threads)
    return 1e3 * seconds(partial(search_all, engine.queries, threads)) / len(engine.queries)


def time_turns(opened: Sequence[Engine], items: int, threads: int, arguments: argparse.Namespace) -> Iterator[Row]:
    """Time every system, and compare it with the first, real-valued one in the same turn."""
    systems: dict[tuple[int, str], Callable[[], float]] = {}
    for place, engine in enumerate(opened):
        if threads == 1:  # more threads do not make faiss faster with a query that comes alone
            count = arguments.singles if engine.search_all else SLOW_QUERIES
            systems[place, names.ONE] = partial(time_singles, engine, threads, count)
        if engine.search_all:
            systems[place, names.BATCH] = partial(time_batch, engine, engine.search_all, threads)
    found = take_turns(systems, arguments.turns, f"{threads} threads")
    for (place, metric), taken in found.items():
        engine = opened[place]
        values = {metric: median(taken)}
        if place:
            ratios = [real / other for real, other in zip(found[0, metric], taken, strict=True)]
            values[names.RATIOS[metric]] = median(ratios)
        for metric_or_ratio, value in values.items():
            yield row(engine.system, engine.width, metric_or_ratio, value, engine.data, items, threads)


def measure(real: Source, hashed: Sequence[Source], items: int, arguments: argparse.Namespace) -> Iterator[Row]:
    """Measure all systems with one number of items."""
    order = np.random.default_rng(SEED).permutation(len(real.queries))[: arguments.batch]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        opened = [engines.measured(lambda: engines.real_valued(real.draw(items, SEED), real.queries[order]))]
        for one in hashed:
            queries = pack(one.queries[order])
            drawn = (pack(chunk) for chunk in one.draw(items, SEED))
            opened += open_engines(folder, names.DRAWN, drawn, one.width, queries)
            codes = np.load(folder / f"{names.DRAWN}-{one.width}.npy", mmap_mode="r")
            for metric, value in crowd(codes, queries, one.width).items():
                yield row(names.FLAT, one.width, metric, value, names.DRAWN, items)
        for num_bits in sorted({one.width for one in hashed} & {*UNIFORM_BITS}):
            codes, queries = (
                np.random.default_rng(seed).integers(0, 256, (count, num_bits // 8), dtype=np.uint8)
                for seed, count in ((SEED, items), (SEED + 1, len(order)))
            )
            opened += open_engines(folder, names.UNIFORM, [codes], num_bits, queries)
        for engine in opened:
            sizes = {names.BYTES: engine.nbytes, names.RESIDENT: engine.resident, names.OPENING: engine.opening}
            for metric, value in sizes.items():
                yield row(engine.system, engine.width, metric, value, engine.data, items)
        for threads in arguments.threads:
            yield from time_turns(opened, items, threads, arguments)


def encoding(checkpoint: Path, num_bits: int, turns: int) -> Row:
    """Measure milliseconds from a text to its code, as an archive makes it: with one thread."""
    stored = load_hasher(checkpoint)
    hasher = QueryHasher(build_encoder(read_encoder_spec(None), stored.encoder or {}), stored.hasher, "cpu")
    hasher.text(TEXT, "case")
    taken = median(1e3 * seconds(partial(hasher.text, TEXT, "case")) for _ in range(3 * turns))
    return row(names.ENCODING, num_bits, names.ONE, taken, threads=1)


def measure_all(arguments: argparse.Namespace) -> Iterator[Row]:
    """Measure the mAP of the checkpoints, the encoding of a query, and the searches."""
    real, *hashed = (source(path, arguments.features) for path in (arguments.real_valued, *arguments.checkpoints))
    for one in (*hashed, real):
        for metric, value in one.quality.items():
            yield row(names.FLAT if one.num_bits else names.REAL, one.width, metric, value)
    if arguments.encoder:
        yield encoding(arguments.checkpoints[0], hashed[0].width, arguments.turns)
    for items in arguments.items:
        yield from measure(real, hashed, items, arguments)


def main() -> None:
    """Measure and report."""
    parser = options(__doc__, "features", "csv", "page", "plot")
    parser.add_argument("--checkpoints", type=Path, nargs="+", required=True, help="hashers, one for each length")
    parser.add_argument("--real-valued", type=Path, required=True, help="checkpoint of a RealValued")
    parser.add_argument("--encoder", action="store_true", help="time the default encoder on a text query")
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000], help="numbers of items")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of each system")
    parser.add_argument("--turns", type=int, default=7, help="turns of every system")
    parser.add_argument("--singles", type=int, default=15, help="queries of a turn that come alone")
    parser.add_argument("--batch", type=int, default=128, help="queries of a turn that come together")
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(f"OMP_WAIT_POLICY {os.environ.get('OMP_WAIT_POLICY', 'active')}")
    shown = {"benchmark": "search", "parts": names.PARTS, "packages": PACKAGES}
    report(arguments, measure_all(arguments), names.tables, names.plot, **shown)
    print(f"\nload after {os.getloadavg()}")


if __name__ == "__main__":
    main()
