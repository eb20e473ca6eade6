"""Speed of evaluating rankings: ``python benchmarks/ranking.py --csv FILE``; see docs/results/benchmarks.md.

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

import ctypes
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import faiss
import pandas as pd
import torch
from measurements import Row, markdown, options, report, seconds, spread, take_turns
from ranking_data import Data, Run, random_data
from ranking_systems import systems

REPEATS = 3
PACKAGES = ("torch", "numpy", "numba", "faiss-cpu", "torchmetrics")


def pairs_per_second(make: Callable[[Data], Run], data: Data) -> float:
    """Run a system on a part of the database, and then time it on all of it."""
    run = make(data)
    make(data.part())()
    return len(data.query_codes) * len(data.codes) / seconds(run)


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
    parser = options(__doc__)
    output = parser.add_mutually_exclusive_group(required=True)
    output.add_argument("--csv", type=Path, help="measure speed; file for the results")
    output.add_argument("--memory", type=Path, help="measure memory; file for the results")
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 32, 64, 128], help="code lengths")
    parser.add_argument("--items", type=int, nargs="+", default=[1_000_000, 10_000_000], help="sizes of the database")
    parser.add_argument("--queries", type=int, default=1000, help="queries of the fast systems")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(torch.get_num_threads())
    measured = (
        row
        for items in arguments.items
        for num_bits in arguments.bits
        for row in measure(num_bits, arguments.queries, items, memory=bool(arguments.memory))
    )
    arguments.csv = arguments.csv or arguments.memory
    report(arguments, measured, tables, packages=PACKAGES)


if __name__ == "__main__":
    main()
