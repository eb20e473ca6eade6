"""Generalization of trained systems: other data, rare labels, short queries, missing reports.

See docs/results/generalisation.md.

    python benchmarks/generalization.py --features NAME=DIR ... --runs SYSTEM=DIR ... [--parts PART ...] [--csv FILE]

A run is the ``--run-dir`` of an ``mcmfh fit`` on one of the features; several seeds of a system share one name.

    cross    mcmfh test on every collection, the labels of the test data defining what is relevant
    carried  the mean of the five searches there, minus that of the same system and seed trained on the collection
    labels   mAP@all of the queries that carry a label, for thirds of the labels by training frequency
    short    each label name as a text query: P@20 among the test images, next to the label's prevalence
    missing  image or text against cases, of which a share lacks the text

Prints the tables in Markdown and writes a CSV file, in which rows of other systems and parts stay.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from generalization_parts import (
    carried,
    cross,
    labels,
    make_row,
    missing,
    packaged_text_tower,
    short,
    trained_on_its_test,
)
from measurements import ARROWS, Row, markdown, options, report, spread
from trained_runs import Data, Run

from mcmfh_lightning.errors import one_line_errors

KEYS = ("part", "system", "seed", "train", "test")


# The columns whose entries name the lines and the columns of a part's tables, and the title of each table.
LAYOUTS = {
    "cross": (["train", "system"], "direction", "tested on {test}, {metric}, {queries} queries"),
    "carried": (["train", "system"], "seed", "tested on {test}, {metric}, {queries} queries"),
    "labels": (["system", "direction"], "subset", "{test}, {metric} by label"),
    "short": (["system"], "metric", "{test}"),
    "missing": (["system", "direction"], "subset", "{test}, {metric}, {queries} queries"),
}


def measure(parts: Sequence[str], runs: Sequence[Run], known: Sequence[Data], work: Path) -> Iterator[Row]:
    """Measure all parts that were asked for."""
    measures: Mapping[str, Callable[[Run, Data], Iterator[Row]]] = {
        "cross": lambda run, data: cross(run, data, work),
        "carried": lambda run, data: carried(run, [one for one in runs if one.trained_on(known) == data], data, work),
        "labels": lambda run, data: labels(run, data, work),
        "short": lambda run, data: short(run, data, packaged_text_tower(data)),
        "missing": missing,
    }
    for run, part in product(runs, parts):
        train = run.trained_on(known)
        for test in known if part in ("cross", "carried") else [train]:
            if trained_on_its_test(train, test):
                seen = f"has seen items of the test split of {test.name}"
                print(f"{run.system}, trained on {train.name}, {seen}: left out")
                continue
            yield from (make_row(part, run, train, test, found) for found in measures[part](run, test))


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render the tables of each part, one for each test data: means over seeds; in brackets chance and the null.

    Differences (`carried`) have a column for each seed, with the interval.
    """
    rows = rows[(rows["part"] != "short") | (rows["subset"] == "")]  # short queries not label by label
    return {part: _tables_of(rows[rows["part"] == part], *layout) for part, layout in LAYOUTS.items()}


def _tables_of(rows: pd.DataFrame, lines: list[str], column: str, heading: str) -> str:
    found = []
    titles = [heading.format(**row) for row in rows.to_dict("records")]
    for title, shown in rows.replace({"direction": ARROWS}).groupby(titles, sort=False):
        if column == "seed":  # nothing to average
            intervals = shown[["value", "low", "high"]].itertuples(index=False)
            cells = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in intervals]
            table = spread(shown.assign(seed=[f"seed {seed}" for seed in shown["seed"]], cell=cells), lines, column)
        else:
            means = shown.groupby([*lines, column], sort=False)[["value", "chance", "null_value"]].mean()
            means["cell"] = [_cell(value, references) for value, *references in means.itertuples(index=False)]
            table = spread(means.reset_index(), lines, column)
            table.insert(len(lines), "seeds", shown.groupby(lines, sort=False)["seed"].nunique().to_list())
        found.append(f"**{title}**\n\n{markdown(table, 'l' * len(lines))}")
    return "\n\n".join(found)


def _cell(value: float, references: Sequence[float]) -> str:
    defined = ", ".join(f"{number:.3f}" for number in references if not pd.isna(number))
    return f"{value:.3f}" + (f" ({defined})" if defined else "")


def _pair(text: str) -> tuple[str, Path]:
    """Split NAME=DIR."""
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR")
    return name, Path(folder)


def main() -> None:
    """Measure, print and write."""
    parser = options(__doc__, "csv", "work")
    parser.add_argument("--features", type=_pair, nargs="+", required=True, metavar="NAME=DIR", help="feature shards")
    parser.add_argument("--runs", type=_pair, nargs="+", required=True, metavar="SYSTEM=DIR", help="folders of fits")
    parser.add_argument("--parts", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS), help="default: all")
    arguments = parser.parse_args()
    known = [Data(*pair) for pair in arguments.features]
    runs = [Run(*pair) for pair in arguments.runs]
    with one_line_errors("generalization"), TemporaryDirectory() as folder:
        measured = measure(arguments.parts, runs, known, arguments.work or Path(folder))
        report(arguments, measured, tables, keys=KEYS, parts=list(LAYOUTS))


if __name__ == "__main__":
    main()
