"""One query among 10^4 to 10^9 codes of 16 and 24 bits: ``python benchmarks/search_sizes.py --csv FILE [--page FILE]``.

FlatIndex and HashIndex of the archive over files that are mapped into memory, the flat and the hash index of faiss, and
faiss' flat inner product over 512 floats. One thread, the nearest 50 items; the systems take turns with the same
queries. Codes are uniform (independent fair bits), or crowded: around 50 centers, each bit flipped with .05. Queries
are drawn as the codes are; crowded codes are searched from far as well, around the complement of a center. What
HashIndex finds is compared with the distances of all codes, ordered by (distance, row).
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import faiss
import numpy as np
import pandas as pd
import search_engines as engines
import search_tables as names
import torch
from measurements import Row, markdown, options, report, seconds, take_turns
from search_engines import Codes, Engine, K

from mcmfh_lightning.archive.flat_index import FlatIndex
from mcmfh_lightning.archive.hash_index import HashIndex

UNIFORM, CROWDED, FAR = "uniform", "crowded", "crowded, query far from all"
DATA = (UNIFORM, CROWDED, FAR)
MOST = "ms, slowest of the queries"
BUILDING = "s, making the table"
BEYOND = "bytes an item beyond the codes"
SYSTEMS = (names.HASH, names.FLAT, names.FAISS_FLAT, names.FAISS_HASH, names.REAL)
KEYS = ["system", "data", "items", "width", "metric"]
NUMBERS = 512
CENTERS, FLIPPED = 50, 0.05
CHUNK = 1_000_000
CHECKED = 3  # queries


def draw(data: str, count: int, num_bits: int, seed: int) -> Codes:
    """Draw codes."""
    rng = np.random.default_rng(seed)
    if data == UNIFORM:
        return rng.integers(0, 256, (count, num_bits // 8), dtype=np.uint8)
    centers = np.random.default_rng(0).integers(0, 256, (CENTERS, num_bits // 8), dtype=np.uint8)
    chosen = ~centers[rng.integers(0, CENTERS, count)] if data == FAR else centers[rng.integers(0, CENTERS, count)]
    return chosen ^ np.packbits(rng.random((count, num_bits), dtype=np.float32) < FLIPPED, axis=1)


def save_codes(path: Path, data: str, items: int, num_bits: int) -> None:
    """Write codes, a part at a time."""
    codes = np.lib.format.open_memmap(path, "w+", np.uint8, (items, num_bits // 8))
    for seed, start in enumerate(range(0, items, CHUNK)):
        codes[start : start + CHUNK] = draw(data, min(CHUNK, items - start), num_bits, seed + 1)
    codes.flush()


def check(engine: Engine, path: Path) -> None:
    """Compare what an index finds with the distances of all codes.

    Raises:
        AssertionError: If it is anything else than the first by (distance, row).
    """
    codes = np.load(path, mmap_mode="r")
    for number in range(CHECKED):
        distances = np.empty(len(codes), np.uint8)
        for start in range(0, len(codes), CHUNK):
            part = codes[start : start + CHUNK] ^ engine.queries[number]
            distances[start : start + CHUNK] = np.bitwise_count(part).sum(1)
        last = int(np.searchsorted(np.bincount(distances).cumsum(), min(K, len(codes))))
        near = np.flatnonzero(distances <= last)
        order = near[np.argsort(distances[near], kind="stable")][:K]
        found = engine.one(number)
        np.testing.assert_array_equal(found[1], order, engine.system)
        np.testing.assert_array_equal(found[0], distances[order], engine.system)


def time_queries(engine: Engine) -> list[float]:
    """Measure the milliseconds of each query, after one that is not timed."""
    faiss.omp_set_num_threads(1)
    engine.one(0)
    return [1e3 * seconds(partial(engine.one, number)) for number in range(len(engine.queries))]


def measure_data(
    path: Path, data: str, items: int, num_bits: int, turns: int, queries: int, hashed: int
) -> Iterator[Row]:
    """Measure all systems over one file of codes, crowded ones with queries near and far."""
    keys = {"items": items, "width": num_bits}
    taken = seconds(lambda: engines.save_table(path, num_bits))
    yield {"system": names.HASH, "data": data, **keys, "metric": BUILDING, "value": f"{taken:.4g}"}
    builds = [partial(engines.ours, HashIndex), partial(engines.ours, FlatIndex), engines.faiss_flat]
    builds += [engines.faiss_hash] if items <= hashed else []
    near = draw(data, queries, num_bits, 0)
    opened = [engines.measured(partial(build, path, num_bits, near)) for build in builds]
    beyond = (opened[0].nbytes - opened[1].nbytes - 4 * (2**num_bits + 1)) / items
    yield {"system": names.HASH, "data": data, **keys, "metric": BEYOND, "value": f"{beyond:.4g}"}
    for asked in (UNIFORM,) if data == UNIFORM else (CROWDED, FAR):
        here = [replace(engine, queries=draw(asked, queries, num_bits, 0)) for engine in opened]
        check(here[0], path)
        yield from measure_turns(here, asked, items, turns)


def measure_turns(opened: Sequence[Engine], data: str, items: int, turns: int) -> Iterator[Row]:
    """Time the queries of all systems in turns: the median of all, and the slowest, by its median over the turns."""
    found: dict[int, list[list[float]]] = {place: [] for place in range(len(opened))}

    def timed(place: int) -> float:
        found[place].append(time_queries(opened[place]))
        return median(found[place][-1])

    systems: dict[int, Callable[[], float]] = {place: partial(timed, place) for place in found}
    for place, medians in take_turns(systems, turns, f"{data}, {opened[0].width} bits, {items:,}").items():
        engine = opened[place]
        slowest = max(median(of_query) for of_query in zip(*found[place], strict=True))
        for metric, value in ((names.ONE, median(medians)), (MOST, slowest)):
            keys = {"system": engine.system, "data": data, "items": items, "width": engine.width}
            yield keys | {"metric": metric, "value": f"{value:.4g}"}


def measure_real(items: int, turns: int, queries: int) -> Iterator[Row]:
    """Measure real-valued search, by the faster way."""
    rng = np.random.default_rng(0)
    chunks = (
        rng.standard_normal((min(CHUNK // 20, items - start), NUMBERS), np.float32)
        for start in range(0, items, CHUNK // 20)
    )
    engine = engines.real_valued(chunks, rng.standard_normal((queries, NUMBERS), np.float32))
    found = []
    for way in engine.ways:
        engines.choose_way(way)
        found.append(list(measure_turns([engine], UNIFORM, items, turns)))
    yield from min(found, key=lambda rows: float(str(rows[0]["value"])))


def measure(
    items: Iterable[int], widths: Iterable[int], real: int, turns: int, queries: int, hashed: int
) -> Iterator[Row]:
    """Measure every number of items and bits; files are removed before the next are written."""
    for count in items:
        for num_bits in widths:
            for data in (UNIFORM, CROWDED):
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "codes.npy"
                    save_codes(path, data, count, num_bits)
                    yield from measure_data(path, data, count, num_bits, turns, queries, hashed)
    if real:
        yield from measure_real(real, turns, queries)


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render milliseconds a query by number of items, for each width and kind of codes, and the tables' own numbers."""
    values = dict(zip(rows[KEYS].itertuples(index=False, name=None), rows["value"], strict=True))
    lines, own = [], []
    for width in sorted(rows.loc[rows["system"] == names.HASH, "width"].unique().tolist()):
        for data in DATA:
            for items in sorted(rows["items"].unique().tolist()):
                cells = [_cell(values, system, data, items, width) for system in SYSTEMS]
                if any(cells):
                    lines.append([f"{width} bits, {data}", f"{items:,}", *cells])
                taken = values.get((names.HASH, data, items, width, BUILDING))
                if taken is not None:
                    beyond = values[names.HASH, data, items, width, BEYOND]
                    own.append([f"{width} bits, {data}", f"{items:,}", f"{taken:.2f}", f"{beyond:.1f}"])
    heads = ["codes, one query, ms (slowest)", "items", *(names.TITLES[system] for system in SYSTEMS)]
    shown = markdown(pd.DataFrame(lines, columns=heads), "lr" + "r" * len(SYSTEMS))
    columns = ["codes", "items", BUILDING, BEYOND]
    return {"sizes": shown, "tables": markdown(pd.DataFrame(own, columns=columns), "lrrr")}


def _cell(values: dict[tuple[object, ...], float], system: str, data: str, items: int, width: int) -> str:
    """Write a time, and that of the slowest query."""
    width = NUMBERS if system == names.REAL else width
    found = [values.get((system, data, items, width, metric)) for metric in (names.ONE, MOST)]
    return "" if None in found else f"{found[0]:.3g} ({found[1]:.3g})"


def main() -> None:
    """Measure and report."""
    parser = options(__doc__, "csv", "page")
    parser.add_argument("--items", type=float, nargs="+", default=[1e4, 1e5, 1e6, 1e7, 1e8], help="numbers of items")
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 24], help="bits of a code, whole bytes")
    parser.add_argument("--real", type=float, default=1e6, help="items of 512 numbers; 0 for none")
    parser.add_argument(
        "--hashed", type=float, default=1e7, help="most items for the hash index of faiss, which takes memory"
    )
    parser.add_argument("--turns", type=int, default=7, help="turns of every system")
    parser.add_argument("--queries", type=int, default=15, help="queries of a turn")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(map(int, given.items), given.bits, int(given.real), given.turns, given.queries, int(given.hashed))
    report(given, rows, tables, benchmark="search_sizes", parts=("sizes", "tables"), packages=("numpy", "faiss-cpu"))
    print(f"\nload after {os.getloadavg()}")


if __name__ == "__main__":
    main()
