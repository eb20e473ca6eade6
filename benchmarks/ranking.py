"""How fast rankings are evaluated: ``python benchmarks/ranking.py --csv FILE``; see docs/benchmarks.md.

Random codes and label sets (64 labels, each on 5 % of the items). Measures, in one run and with as many threads as
torch has, pairs of query and item per second of

    our backends: the binary histogram, the graded one, and either with all its metrics (means, bounds, curves, NDCG);
    (a) the usual NumPy evaluator of the field: argsort per query, AP over all hits (mAP@all);
    (b) torchmetrics' RetrievalMAP;
    (c) faiss: IndexBinaryFlat's top 50 alone, and its full ranking with AP;
    (d) the instruction floor: a compiled loop of the same XOR, AND and popcounts with nothing counted.

Slow rivals run on fewer queries, at least 20; all are stated per pair. In each of several turns every system runs once
on a part of the database, untimed, and then on all of it, so that none pays for what the previous one left behind. With
``--memory FILE`` it measures instead what the process gains at most, beyond the codes and labels in the form in which
the system takes them, in one run of each system. Prints tables in Markdown and writes a CSV file.
"""

import argparse
import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import faiss
import numba
import numpy as np
import pandas as pd
import torch
from measurements import Row, machine, markdown, record, spread, take_turns
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
        """Take the first queries, for systems that take long."""
        return replace(self, query_codes=self.query_codes[:FEW_QUERIES], query_labels=self.query_labels[:FEW_QUERIES])

    def part(self) -> "Data":
        """Take the first items, to warm up."""
        return replace(self, codes=self.codes[:WARM_UP], labels=self.labels[:WARM_UP])

    @property
    def arguments(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, int]:
        """Arguments of the histograms: no query is of a group of the database."""
        query_groups = -1 - torch.arange(len(self.query_codes))
        groups = torch.arange(len(self.codes))
        return self.query_codes, self.codes, self.query_labels, self.labels, query_groups, groups, self.num_bits

    @property
    def pairs(self) -> int:
        """Number of pairs of a query and an item."""
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


def histogram(count: Callable[..., object], backend: str, data: Data) -> Run:
    """Count the binary or the graded histogram."""
    return partial(count, *data.arguments, backend=backend)


def all_binary_metrics(data: Data) -> Run:
    """Compute every binary metric from one histogram."""
    arguments = data.arguments
    return lambda: _binary_metrics(*hamming_histogram(*arguments))


def all_metrics(data: Data) -> Run:
    """Compute every metric, graded ones too, from one histogram."""
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
    """Rank as the usual evaluator does, (a): signs as floats, one product and one argsort a query."""
    query_codes, codes = (2 * _bits(rows, data.num_bits) - 1 for rows in (data.query_codes, data.codes))
    query_labels, labels = (_bits(rows, NUM_LABELS) for rows in (data.query_labels, data.labels))

    def run() -> float:
        precisions = []
        for code, label in zip(query_codes, query_labels, strict=True):
            order = np.argsort(0.5 * (data.num_bits - code @ codes.T))
            precisions.append(_average_precision((label @ labels.T > 0)[order]))
        return float(np.nanmean(precisions))

    return run


def torchmetrics_map(data: Data) -> Run:
    """Hand distances and relevance of all pairs to the metric, (b); computing them is included."""
    query_codes, codes = (2 * unpack_bits(rows).float() - 1 for rows in (data.query_codes, data.codes))
    query_labels, labels = (unpack_bits(rows).float() for rows in (data.query_labels, data.labels))

    def run() -> Tensor:
        metric = RetrievalMAP()
        for number, (code, label) in enumerate(zip(query_codes, query_labels, strict=True)):
            metric.update(codes @ code, labels @ label > 0, indexes=torch.full((len(codes),), number))
        return metric.compute()

    return run


def faiss_top(data: Data) -> Run:
    """Search for the nearest 50, (c), without evaluating them."""
    index = _faiss_index(data)
    queries = data.query_codes.numpy()
    return lambda: index.search(queries, DEPTH)


def faiss_all(data: Data) -> Run:
    """Rank everything with faiss, (c), and compute its AP."""
    index = _faiss_index(data)
    queries = data.query_codes.numpy()
    query_labels, labels = (_bits(rows, NUM_LABELS) for rows in (data.query_labels, data.labels))

    def run() -> float:
        _, order = index.search(queries, len(data.codes))
        precisions = [
            _average_precision((labels @ label > 0)[ids]) for label, ids in zip(query_labels, order, strict=True)
        ]
        return float(np.nanmean(precisions))

    return run


def _average_precision(relevant: NDArray[np.bool_]) -> float:
    ranks = np.flatnonzero(relevant) + 1
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks)) if len(ranks) else np.nan


def _bits(rows: Tensor, width: int) -> NDArray[np.float32]:
    bits: NDArray[np.float32] = unpack_bits(rows)[:, :width].float().numpy()
    return bits


def _faiss_index(data: Data) -> faiss.IndexBinaryFlat:
    index = faiss.IndexBinaryFlat(8 * data.codes.shape[1])
    index.add(data.codes.numpy())
    return index


def floor(data: Data) -> Run:
    """Count bits, (d), in parts of the database that stay in the cache, as our kernel takes them."""
    # The words are made before the clock starts.
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
    """List every system by name, with the data it is given."""
    few = data.few()
    found: dict[str, tuple[Callable[[Data], Run], Data]] = {
        "ours, numba, binary": (partial(histogram, hamming_histogram, "numba"), data),
        "ours, numba, all binary metrics": (all_binary_metrics, data),
        "ours, numba, graded": (partial(histogram, graded_histogram, "numba"), data),
        "ours, numba, all metrics": (all_metrics, data),
        "ours, torch, binary": (partial(histogram, hamming_histogram, "torch"), few),
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


def pairs_per_second(make: Callable[[Data], Run], data: Data) -> float:
    """Run a system on a part of the database, and then time it on all of it."""
    run = make(data)
    make(data.part())()
    begin = time.perf_counter()
    run()
    return data.pairs / (time.perf_counter() - begin)


def peak_memory(make: Callable[[Data], Run], data: Data) -> float:
    """Run a system on a part of the database, and then see how many MB it takes for all of it."""
    run = make(data)
    make(data.part())()  # compiles what is to be compiled
    ctypes.CDLL(None).malloc_trim(0)  # what an earlier system left in the heap would hide what the next one needs
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest use so far
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(name: str) -> float:
    """Read a size of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def measure(num_bits: int, queries: int, items: int, *, memory: bool) -> Iterator[Row]:
    """Run all systems in turn: `REPEATS` times for their speed, once for their memory."""
    data = random_data(num_bits, queries, items)
    measurement = peak_memory if memory else pairs_per_second
    compared = {name: partial(measurement, *system) for name, system in systems(data).items()}
    given = {name: len(part.query_codes) for name, (_, part) in systems(data).items()}
    found = take_turns(compared, 1 if memory else REPEATS, f"{items:,} items, {num_bits} bits")
    for name, values in found.items():
        row = {"bits": num_bits, "items": items, "system": name, "queries": given[name]}
        yield row | ({"peak_mb": round(values[0], 1)} if memory else {"pairs_per_s": round(median(values))})


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render the tables of speed or of memory, and the ratios of speeds."""
    if "peak_mb" in rows:
        return {"memory": by_items(rows, [f"{value:,.0f}" for value in rows["peak_mb"]])}
    speed = by_items(rows, [f"{value / 1e6:,.1f}" for value in rows["pairs_per_s"]])
    return {"speed": speed, "ratios": ratios(rows)}


def by_items(rows: pd.DataFrame, cells: Sequence[str]) -> str:
    """Render a table for each number of items: a line a system, a column a number of bits."""
    shown = rows.assign(
        cell=cells, bits=[f"{bits} bits" for bits in rows["bits"]], queries=[f"{n:,}" for n in rows["queries"]]
    )
    return "\n\n".join(
        markdown(spread(part, ["system", "queries"], "bits").rename(columns={"system": f"N = {items:,}"}))
        for items, part in shown.groupby("items", sort=False)
    )


def ratios(rows: pd.DataFrame) -> str:
    """Render how many times as fast ours is as each rival and the floor, for the smallest number of items."""
    items = rows["items"].min()
    rates = rows[rows["items"] == items].pivot(index="system", columns="bits", values="pairs_per_s")
    lines = []
    for rival in dict.fromkeys(name for name in rows["system"] if name in rates.index and name.startswith("(")):
        for ours, shown in (("all binary metrics", "binary metrics"), ("all metrics", "all")):
            times = rates.loc[f"ours, numba, {ours}"] / rates.loc[rival]
            lines.append([rival, shown, *(f"{value:,.0f}" if value >= 10 else f"{value:.2f}" for value in times)])
    heads = [f"N = {items:,}: times as fast as", "metrics", *(f"{bits} bits" for bits in rates.columns)]
    return markdown(pd.DataFrame(lines, columns=heads), "ll")


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
    print(f"{machine(*PACKAGES)}\n")
    measured = (
        row
        for items in arguments.items
        for num_bits in arguments.bits
        for row in measure(num_bits, arguments.queries, items, memory=bool(arguments.memory))
    )
    rows = record(measured, arguments.csv or arguments.memory, packages=PACKAGES)
    print("\n" + "\n\n".join(tables(rows).values()))


if __name__ == "__main__":
    main()
