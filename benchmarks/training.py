"""Speed of training steps: ``python benchmarks/training.py --csv FILE --page FILE``.

See docs/results/benchmarks.md.

    ucmfh    our UCMFH next to (a) its published step written down literally, with (2B, 2B, d) tensors in its loss, (b)
             the same with only one such tensor, and (c) with a masked cross entropy instead, at equal batch
    mcmfh    MCMFH's step next to (d) its matrix products alone, data loading included and excluded, by experts
    compile  MCMFH's step with its layers compiled (callback CompileLayers), and their graph breaks
    experts  the MoE layer forward and backward, next to (e) a plain MLP of one expert's size, by experts

A step is forward, backward and optimizer, on random embeddings and label sets. The systems of a part take turns in one
run; the numbers are medians over turns. Prints tables in Markdown, writes a CSV file and, if asked, the tables of the
page. Parts that were not asked for stay as they are in the CSV file.
"""

import argparse
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pandas as pd
import published_ucmfh as published
import torch
import training_systems as systems
from measurements import Row, markdown, options, report, take_turns
from torch._dynamo.exc import TorchDynamoException

TITLES = {
    "ucmfh": "UCMFH, training steps",
    "mcmfh": "MCMFH, training steps",
    "compile": "MCMFH, torch.compile",
    "experts": "MoE layer, forward + backward",
}
"""The parts of the benchmark, in the order of the page."""
RATIOS = {
    "ucmfh": [(f"ours, times as fast as {rival[:3]}", systems.OURS, rival) for rival in systems.CONTRASTS],
    "mcmfh": [
        ("share of the floor (d)", systems.STEP, systems.PRODUCTS),
        ("with data loading, times as fast", systems.LOADING, systems.STEP),
    ],
    "compile": [("compiled, times as fast", systems.COMPILED, systems.STEP)],
}
"""Ratios below a table: title, system, and the one that it is compared with."""
PACKAGES = ("torch", "lightning", "numpy")

LOADED_BATCHES = 16  # batches in the collection that is read from feature shards
SETTLED = 10
"""Steps before those that are timed with compiled layers: the experts' shares of the tokens change, for which dynamo
compiles again."""


def row(
    arguments: argparse.Namespace, part: str, batch: int, system: str, experts: int, value: float, unit: str
) -> Row:
    """Make a row of the file."""
    names = {"part": part, "system": system, "device": arguments.device, "threads": torch.get_num_threads()}
    return names | {"batch": batch, "experts": experts, "value": value, "unit": unit}


def timed(
    arguments: argparse.Namespace, part: str, batch: int, compared: systems.Systems, unit: str = "pairs/s"
) -> Iterator[Row]:
    """Time systems in turns; a row for each, with the pairs or tokens of a batch per second."""
    timers = {
        key: partial(systems.seconds_a_step, step, arguments.steps, arguments.device) for key, step in compared.items()
    }
    for (system, experts), times in take_turns(timers, arguments.turns, f"{TITLES[part]}, batch {batch}").items():
        yield row(arguments, part, batch, system, experts, round(batch / median(times), 1), unit)


def measure_ucmfh(arguments: argparse.Namespace) -> Iterator[Row]:
    """Measure pairs per second at each number of pairs in a batch."""
    for pairs in arguments.batches:
        batch = systems.random_batch(pairs, published.WIDTH, published.WIDTH, arguments.device)
        yield from timed(arguments, "ucmfh", pairs, systems.ucmfh_systems(batch))


def measure_mcmfh(arguments: argparse.Namespace) -> Iterator[Row]:
    """Measure pairs per second at each number of experts."""
    device, pairs = arguments.device, arguments.pairs
    with TemporaryDirectory() as folder:
        features = Path(folder) / "features"
        systems.write_features(features, systems.random_batch(LOADED_BATCHES * pairs))
        batch = systems.random_batch(pairs, device=device)
        for number in arguments.experts:
            compared = systems.mcmfh_systems(number, batch, systems.read_batches(features, pairs, device))
            yield from timed(arguments, "mcmfh", pairs, compared)


def measure_compile(arguments: argparse.Namespace) -> Iterator[Row]:
    """Measure graph breaks, and pairs per second with and without compilation; only the breaks without a compiler."""
    number, pairs = arguments.compiled_experts, arguments.pairs
    batch = systems.random_batch(pairs, device=arguments.device)
    traced = systems.compile_layers(systems.mcmfh(number, arguments.device), "eager")
    breaks = systems.graph_breaks(lambda: systems.training_loss(traced, batch))
    yield row(arguments, "compile", pairs, systems.BREAKS, number, breaks, "count")
    compared = systems.compiled_systems(number, batch)
    try:
        for _ in range(SETTLED):
            compared[systems.COMPILED, number]()
    except TorchDynamoException as error:  # raised on a machine without a compiler
        print(f"torch.compile: not measured, {type(error).__name__}")
        return
    yield from timed(arguments, "compile", pairs, compared)


def measure_experts(arguments: argparse.Namespace) -> Iterator[Row]:
    """Measure tokens per second at each number of experts, in the same turns."""
    compared = systems.expert_systems(arguments.experts, arguments.tokens, arguments.device)
    yield from timed(arguments, "experts", arguments.tokens, compared, "tokens/s")


MEASURES = {"ucmfh": measure_ucmfh, "mcmfh": measure_mcmfh, "compile": measure_compile, "experts": measure_experts}


def rates(rows: pd.DataFrame) -> pd.DataFrame:
    """Arrange the values of a part: a line a system, a column a number of experts or, without experts, a batch size."""
    columns = rows["experts"].where(rows["experts"] > 0, rows["batch"])
    return rows.assign(column=columns).pivot(index="system", columns="column", values="value")


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render the table of every part."""
    return {part: table(rows[rows["part"] == part], part) for part in TITLES}


def table(rows: pd.DataFrame, part: str) -> str:
    """Render the table of a part: its systems, and then their ratios."""
    if rows.empty:
        return "Not measured."
    found, first = rates(rows), rows.iloc[0]
    if part == "experts":
        ratios = {"time of 1 expert": found.loc[systems.MIXTURE, 1] / found.loc[systems.MIXTURE]}
    else:
        ratios = {title: found.loc[one] / found.loc[other] for title, one, other in RATIOS[part] if one in found.index}
    units = rows.drop_duplicates("system").set_index("system")["unit"]
    lines = [
        [name if unit == "count" else f"{name}, {unit}", *(_cell(value, ",.0f") for value in found.loc[name])]
        for name, unit in units.items()
    ]
    lines += [[title, *(_cell(value, ".2f") for value in values)] for title, values in ratios.items()]
    threads = f", {first['threads']} thread{'s' if first['threads'] > 1 else ''}" if first["device"] == "cpu" else ""
    batch = f", batch {first['batch']:,}" if first["experts"] else ""
    unit = "expert" if first["experts"] else "pairs"
    columns = [f"{number:,} {unit}{'s' if unit == 'expert' and number > 1 else ''}" for number in found.columns]
    heads = [f"{TITLES[part]}: {first['device']}{threads}{batch}", *columns]
    return markdown(pd.DataFrame(lines, columns=heads))


def _cell(value: float, digits: str) -> str:
    return "" if pd.isna(value) else format(value, digits)


def main() -> None:
    """Measure and report."""
    parser = options(__doc__, "csv", "page")
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
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # its trainer reports GPUs and gives tips
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    measured = (row for part in arguments.parts for row in MEASURES[part](arguments))
    shown = {"benchmark": "training", "keys": ["part"], "parts": list(TITLES), "packages": PACKAGES}
    report(arguments, measured, tables, **shown)


if __name__ == "__main__":
    main()
