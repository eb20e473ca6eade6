"""How fast training steps are: ``python benchmarks/training.py --csv FILE --page FILE``.

See docs/results/benchmarks.md.

    ucmfh    our UCMFH beside (a) its published step written down literally, with (2B, 2B, d) tensors in its loss, (b)
             the same with only one such tensor, and (c) with a masked cross entropy instead, at equal batch
    mcmfh    MCMFH's step beside (d) its matrix products alone, data loading included and excluded, by experts
    compile  MCMFH's step with its layers compiled (callback CompileLayers), and their graph breaks
    experts  the MoE layer forward and backward, beside (e) a plain MLP of one expert's size, by experts

A step is forward, backward and optimiser. Random embeddings and label sets. The systems of a part take turns in one
run; medians over turns. Prints tables in Markdown, writes a CSV and, if asked, the tables of the page. Parts that were
not asked for are kept as they are in the CSV.
"""

import argparse
import logging
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from throughput import compiled, experts, mcmfh, ucmfh
from throughput.rows import TITLES, Row, fill, markdown, read_csv, write_csv

PACKAGES = ("torch", "lightning", "numpy")


def machine() -> str:
    """The machine in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{models[0]}, {len(models)} cores, {torch.get_num_threads()} threads{gpu}; "
        f"Python {platform.python_version()}, {packages}; load before {load}"
    )


def measure(arguments: argparse.Namespace) -> Iterator[Row]:
    """Rows of all parts asked for."""
    device, timing = torch.device(arguments.device), (arguments.turns, arguments.steps)
    if "ucmfh" in arguments.parts:
        yield from ucmfh.measure(arguments.batches, device, *timing)
    if "mcmfh" in arguments.parts:
        yield from mcmfh.measure(arguments.experts, arguments.pairs, device, *timing)
    if "compile" in arguments.parts:
        yield from compiled.measure(arguments.compiled_experts, arguments.pairs, device, *timing)
    if "experts" in arguments.parts:
        yield from experts.measure(arguments.experts, arguments.tokens, device, *timing)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, required=True, help="file for the results")
    parser.add_argument("--page", type=Path, help="Markdown file whose tables are replaced")
    parser.add_argument("--parts", nargs="+", choices=list(TITLES), default=list(TITLES), help="what to measure")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where")
    parser.add_argument("--threads", type=int, help="threads of torch; its own choice if not given")
    parser.add_argument("--turns", type=int, default=7, help="turns of every system")
    parser.add_argument("--steps", type=int, default=2, help="timed steps of a turn")
    parser.add_argument("--batches", type=int, nargs="+", default=[128], help="pairs of a step of UCMFH")
    parser.add_argument("--pairs", type=int, default=256, help="pairs of a step of MCMFH")
    parser.add_argument("--experts", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="numbers of experts")
    parser.add_argument("--compiled-experts", type=int, default=4, help="experts of the compiled MCMFH")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of the MoE layer")
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # its trainer tells of GPUs and tips
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.page:
        fill(arguments.page.read_text(), [])  # a page without places for the tables is told of before minutes pass
    print(machine() + "\n")
    new = list(measure(arguments))
    old = read_csv(arguments.csv) if arguments.csv.exists() else []
    rows = [*(row for row in old if row.part not in arguments.parts), *new]
    rows.sort(key=lambda row: list(TITLES).index(row.part))
    write_csv(arguments.csv, rows)
    for part in arguments.parts:
        print(f"\n{markdown(rows, part)}")
    if arguments.page:
        arguments.page.write_text(fill(arguments.page.read_text(), rows))


if __name__ == "__main__":
    main()
