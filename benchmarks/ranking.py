"""How fast rankings are evaluated: ``python benchmarks/ranking.py --csv FILE``; see docs/results/benchmarks.md.

Random codes and label sets (64 labels, each on 5 % of the items). Measures, in one run and with as many threads as
torch has, pairs of query and item per second of

    our backends: the binary histogram, the graded one, and either with all its metrics (means, bounds, curves, NDCG);
    (a) the usual NumPy evaluator of the field: argsort per query, AP over all hits (mAP@all);
    (b) torchmetrics' RetrievalMAP;
    (c) faiss: IndexBinaryFlat's top 50 alone, and its full ranking with AP;
    (d) the instruction floor: a compiled loop of the same XOR, AND and popcounts with nothing counted.

Slow rivals run on fewer queries, at least 20; all are stated per pair. In each of several turns every system runs once
on a part of the database, untimed, and then on all of it, so that none pays for what the one before it left. With
``--memory FILE`` it measures instead what the process gains at most, beyond the codes and labels in the form in which
the system takes them, in one run of each system. Prints tables in Markdown and writes a CSV.
"""

import argparse
import csv
import ctypes
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import faiss
import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.retrieval import RetrievalMAP

from mcmfh_lightning.metrics.functional import (
    average_cumulative_gain,
    average_precision,
    average_precision_bounds,
    chance_average_precision,
    graded_histogram,
    hamming_histogram,
    ndcg,
    pack_bits,
    precision_at,
    precision_recall_by_radius,
    precision_within_radius,
    recall_at,
    unpack_bits,
)
from mcmfh_lightning.metrics.kernels.cpu import _ones
from mcmfh_lightning.metrics.kernels.reference import to_words

NUM_LABELS = 64
DENSITY = 0.05
FEW_QUERIES = 20
WARM_UP = 200_000
REPEATS = 3
DEPTH = 50
DEPTHS = torch.tensor([1, 5, 10, 50, 100, 500, 1000])
PACKAGES = ("torch", "numpy", "numba", "faiss-cpu", "torchmetrics")


@dataclass(frozen=True)
class Data:
    """Packed queries and database; every group is one item."""

    num_bits: int
    query_codes: Tensor
    codes: Tensor
    query_labels: Tensor
    labels: Tensor

    def few(self) -> "Data":
        """The first queries, for systems that take long."""
        part = slice(0, FEW_QUERIES)
        return Data(self.num_bits, self.query_codes[part], self.codes, self.query_labels[part], self.labels)

    def part(self) -> "Data":
        """The first items, to warm up."""
        some = slice(0, WARM_UP)
        return Data(self.num_bits, self.query_codes, self.codes[some], self.query_labels, self.labels[some])

    @property
    def arguments(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, int]:
        """What the histograms take: no query is of a group of the database."""
        query_groups = -1 - torch.arange(len(self.query_codes))
        groups = torch.arange(len(self.codes))
        return self.query_codes, self.codes, self.query_labels, self.labels, query_groups, groups, self.num_bits

    @property
    def pairs(self) -> int:
        """Pairs of a query and an item."""
        return len(self.query_codes) * len(self.codes)


def random_data(num_bits: int, queries: int, items: int) -> Data:
    """Draw codes and label sets."""
    generator = torch.Generator().manual_seed(0)

    def rows(count: int, width: int, density: float) -> Tensor:
        parts = [min(1 << 18, count - start) for start in range(0, count, 1 << 18)]
        return torch.cat([pack_bits(torch.rand(part, width, generator=generator) < density) for part in parts])

    return Data(
        num_bits,
        rows(queries, num_bits, 0.5),
        rows(items, num_bits, 0.5),
        rows(queries, NUM_LABELS, DENSITY),
        rows(items, NUM_LABELS, DENSITY),
    )


Run = Callable[[], object]
Result = dict[str, str | int | float]


def binary(data: Data, backend: str) -> Run:
    """The binary histogram."""
    arguments = data.arguments
    return lambda: hamming_histogram(*arguments, backend=backend)


def graded(data: Data, backend: str) -> Run:
    """The graded histogram."""
    arguments = data.arguments
    return lambda: graded_histogram(*arguments, backend=backend)


def all_binary_metrics(data: Data) -> Run:
    """Every binary metric from one histogram."""
    arguments = data.arguments

    def run() -> None:
        _binary_metrics(*hamming_histogram(*arguments))

    return run


def all_metrics(data: Data) -> Run:
    """Every metric, graded ones too, from one histogram."""
    arguments = data.arguments

    def run() -> None:
        counts = graded_histogram(*arguments)
        _binary_metrics(counts.total, counts.relevant)
        ndcg(counts.total, counts.gains, counts.shared, DEPTH)
        average_cumulative_gain(counts.total, counts.gains, DEPTH)

    return run


def _binary_metrics(total: Tensor, relevant: Tensor) -> None:
    for k in (None, DEPTH):
        average_precision(total, relevant, k)
        average_precision_bounds(total, relevant, k)
        chance_average_precision(total.sum(1), relevant.sum(1), k)
    precision_at(total, relevant, DEPTHS)
    recall_at(total, relevant, DEPTHS)
    precision_recall_by_radius(total, relevant)
    precision_within_radius(total, relevant, 2)


def usual(data: Data) -> Run:
    """(a): signs as floats, one product and one argsort a query."""
    query_codes, codes = (2 * _bits(rows, data.num_bits) - 1 for rows in (data.query_codes, data.codes))
    query_labels, labels = (_bits(rows, NUM_LABELS) for rows in (data.query_labels, data.labels))

    def run() -> float:
        precisions = []
        for code, label in zip(query_codes, query_labels, strict=True):
            relevant = label @ labels.T > 0
            order = np.argsort(0.5 * (data.num_bits - code @ codes.T))
            ranks = np.flatnonzero(relevant[order]) + 1
            if len(ranks):
                precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
        return float(np.mean(precisions))

    return run


def torchmetrics_map(data: Data) -> Run:
    """(b): distances and relevance of all pairs handed to the metric, their making included."""
    query_codes, codes = (2 * unpack_bits(rows).float() - 1 for rows in (data.query_codes, data.codes))
    query_labels, labels = (unpack_bits(rows).float() for rows in (data.query_labels, data.labels))

    def run() -> Tensor:
        metric = RetrievalMAP()
        for number, (code, label) in enumerate(zip(query_codes, query_labels, strict=True)):
            metric.update(codes @ code, labels @ label > 0, indexes=torch.full((len(codes),), number))
        return metric.compute()

    return run


def faiss_top(data: Data) -> Run:
    """(c): the search for the nearest 50, nothing evaluated."""
    index = _faiss_index(data)
    queries = data.query_codes.numpy()
    return lambda: index.search(queries, DEPTH)


def faiss_all(data: Data) -> Run:
    """(c): the full ranking, and AP of it."""
    index = _faiss_index(data)
    queries = data.query_codes.numpy()
    query_labels, labels = (_bits(rows, NUM_LABELS) for rows in (data.query_labels, data.labels))

    def run() -> float:
        _, order = index.search(queries, len(data.codes))
        precisions = []
        for label, ids in zip(query_labels, order, strict=True):
            ranks = np.flatnonzero((labels @ label > 0)[ids]) + 1
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks) if len(ranks) else np.nan)
        return float(np.nanmean(precisions))

    return run


def floor(data: Data) -> Run:
    """(d): in parts of the database that stay in the cache, as our kernel takes them; words made beforehand."""
    words = [to_words(rows).numpy().view(np.uint64) for rows in (data.query_codes, data.query_labels)]
    parts = [
        [to_words(rows[start : start + (1 << 16)]).numpy().view(np.uint64) for rows in (data.codes, data.labels)]
        for start in range(0, len(data.codes), 1 << 16)
    ]
    threads = torch.get_num_threads()
    cuts = np.array_split(np.arange(len(data.query_codes)), threads)

    def run() -> int:
        def work(queries: NDArray[np.int64]) -> int:
            codes, labels = (np.ascontiguousarray(word[:, queries]) for word in words)
            return sum(int(_bits_of_pairs(codes, part[0], labels, part[1])) for part in parts)

        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(work, cuts))

    return run


@numba.njit(nogil=True)
def _bits_of_pairs(
    queries: NDArray[np.uint64],
    codes: NDArray[np.uint64],
    query_labels: NDArray[np.uint64],
    labels: NDArray[np.uint64],
) -> int:
    bits = np.int64(0)
    for q in range(queries.shape[1]):
        for w in range(queries.shape[0]):
            code, row = queries[w, q], codes[w]
            for i in range(row.shape[0]):
                bits += np.int64(_ones(code ^ row[i]))
        for w in range(query_labels.shape[0]):
            label, row = query_labels[w, q], labels[w]
            for i in range(row.shape[0]):
                bits += np.int64(_ones(label & row[i]))
    return bits


def systems(data: Data) -> dict[str, tuple[Callable[[Data], Run], Data]]:
    """Every system by name, with the data it is given."""
    few = data.few()
    found: dict[str, tuple[Callable[[Data], Run], Data]] = {
        "ours, numba, binary": (lambda given: binary(given, "numba"), data),
        "ours, numba, all binary metrics": (all_binary_metrics, data),
        "ours, numba, graded": (lambda given: graded(given, "numba"), data),
        "ours, numba, all metrics": (all_metrics, data),
        "ours, torch, binary": (lambda given: binary(given, "torch"), few),
        "(c) faiss, top 50 alone": (faiss_top, data),
        "(d) floor": (floor, data),
    }
    if len(data.codes) <= 1_000_000:  # beyond that these take gigabytes
        found |= {
            "(a) usual NumPy evaluator": (usual, few),
            "(b) torchmetrics RetrievalMAP": (torchmetrics_map, few),
            "(c) faiss, full ranking and AP": (faiss_all, few),
        }
    return found


def measure(num_bits: int, queries: int, items: int) -> list[Result]:
    """Run all systems in turn, `REPEATS` times."""
    data = random_data(num_bits, queries, items)
    rates: dict[str, list[float]] = {}
    given: dict[str, int] = {}
    for _ in range(REPEATS):
        for name, (make, part) in systems(data).items():
            run = make(part)
            make(part.part())()
            begin = time.perf_counter()
            run()
            rates.setdefault(name, []).append(part.pairs / (time.perf_counter() - begin))
            given[name] = len(part.query_codes)
    return [
        {
            "bits": num_bits,
            "items": items,
            "system": name,
            "queries": given[name],
            "pairs_per_s": round(statistics.median(found)),
        }
        for name, found in rates.items()
    ]


def measure_memory(num_bits: int, queries: int, items: int) -> list[Result]:
    """Run every system once; how long it takes plays no part."""
    data = random_data(num_bits, queries, items)
    rows: list[Result] = []
    for name, (make, part) in systems(data).items():
        run = make(part)
        make(part.part())()  # compiles what is to be compiled
        before = _reset_peak()
        run()
        peak = round(_peak() - before, 1)
        rows.append(
            {"bits": num_bits, "items": items, "system": name, "queries": len(part.query_codes), "peak_mb": peak}
        )
    return rows


def markdown(rows: Sequence[Mapping[str, str | int | float]]) -> str:
    """A table for each number of items: millions of pairs per second, or MB, by system and bits."""
    tables = []
    what, unit, digits = ("peak_mb", 1, 0) if "peak_mb" in rows[0] else ("pairs_per_s", 1e6, 1)
    for items in dict.fromkeys(int(row["items"]) for row in rows):
        part = [row for row in rows if int(row["items"]) == items]
        widths = list(dict.fromkeys(int(row["bits"]) for row in part))
        lines = [
            f"| N = {items:,} | queries | " + " | ".join(f"{bits} bits" for bits in widths) + " |",
            "|---|---:|" + "---:|" * len(widths),
        ]
        for name in dict.fromkeys(str(row["system"]) for row in part):
            of_system = {int(row["bits"]): row for row in part if row["system"] == name}
            cells = [f"{float(of_system[bits][what]) / unit:,.{digits}f}" for bits in widths if bits in of_system]
            queries = next(iter(of_system.values()))["queries"]
            lines.append(f"| {name} | {int(queries):,} | " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def ratios(rows: Sequence[Mapping[str, str | int | float]]) -> str:
    """How many times as fast ours is as each rival and the floor, by bits, for the smallest number of items."""
    items = min(int(row["items"]) for row in rows)
    rates = {
        (str(row["system"]), int(row["bits"])): float(row["pairs_per_s"]) for row in rows if int(row["items"]) == items
    }
    widths = list(dict.fromkeys(bits for _, bits in rates))
    lines = [
        f"| N = {items:,}: times as fast as | metrics | " + " | ".join(f"{bits} bits" for bits in widths) + " |",
        "|---|---|" + "---:|" * len(widths),
    ]
    for rival in dict.fromkeys(name for name, _ in rates if name.startswith("(")):
        for what in ("all binary metrics", "all metrics"):
            times = [rates[f"ours, numba, {what}", bits] / rates[rival, bits] for bits in widths]
            cells = " | ".join(f"{value:,.0f}" if value >= 10 else f"{value:.2f}" for value in times)
            lines.append(f"| {rival} | {what.removeprefix('all ')} | {cells} |".replace("| metrics |", "| all |"))
    return "\n".join(lines)


def machine() -> str:
    """The machine in one line."""
    models = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    threads = torch.get_num_threads()
    return (
        f"{models[0]}, {len(models)} cores, {threads} threads; Python {platform.python_version()}, {packages};"
        f" load before {load}"
    )


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="Speed of evaluation")
    output = parser.add_mutually_exclusive_group(required=True)
    output.add_argument("--csv", type=Path, help="measure speed; file for the results")
    output.add_argument("--memory", type=Path, help="measure memory; file for the results")
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 32, 64, 128], help="code lengths")
    parser.add_argument("--items", type=int, nargs="+", default=[1_000_000, 10_000_000], help="sizes of the database")
    parser.add_argument("--queries", type=int, default=1000, help="queries of the fast systems")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(torch.get_num_threads())
    print(machine() + "\n")
    rows = []
    for items in arguments.items:
        for num_bits in arguments.bits:
            rows += (measure if arguments.csv else measure_memory)(num_bits, arguments.queries, items)
    print(markdown(rows))
    if arguments.csv:
        print("\n" + ratios(rows))
    with (arguments.csv or arguments.memory).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _bits(rows: Tensor, width: int) -> NDArray[np.float32]:
    bits: NDArray[np.float32] = unpack_bits(rows)[:, :width].float().numpy()
    return bits


def _faiss_index(data: Data) -> faiss.IndexBinaryFlat:
    index = faiss.IndexBinaryFlat(8 * data.codes.shape[1])
    index.add(data.codes.numpy())
    return index


def _reset_peak() -> float:
    """Forget the highest memory use of the process so far; return the present one in MB."""
    ctypes.CDLL(None).malloc_trim(0)  # what an earlier system left in the heap would hide what the next one needs
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
