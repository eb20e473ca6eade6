"""How far trained systems carry: other data, rare labels, short queries, missing reports.

See docs/results/generalisation.md.

    python benchmarks/generalisation.py --features NAME=DIR ... --runs SYSTEM=DIR ... [--parts PART ...] [--csv FILE]

A run is the ``--run_dir`` of an ``mcmfh fit`` on one of the features; several seeds of a system go under one name.

    cross    mcmfh test on every collection, the labels of the test data defining what is relevant
    labels   mAP@all of the queries that carry a label, for thirds of the labels by training frequency
    short    each label name as a text query: P@20 among the test images beside the label's prevalence
    missing  image or text against cases, of which a share lacks the text

Prints the tables in Markdown and writes a CSV, in which rows of other systems and parts are kept.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from generalise.cross import cross, trained_on_its_test
from generalise.labels import labels
from generalise.missing import missing
from generalise.rows import PARTS, Row, markdown, measured_anew, read_csv, write_csv
from generalise.runs import Data, Run
from generalise.short import packaged_text_tower, short

from mcmfh_lightning.errors import one_line_errors


def measure(parts: Sequence[str], runs: Sequence[Run], known: Sequence[Data], work: Path) -> Iterator[Row]:
    """Rows of all parts asked for."""
    for run in runs:
        train = run.trained_on(known)
        for test in known if "cross" in parts else ():
            if trained_on_its_test(train, test):
                print(
                    f"{run.system}, trained on {train.name}, has seen items of the test split of {test.name}: left out"
                )
            else:
                yield from cross(run, train, test, work)
        if "labels" in parts:
            yield from labels(run, train, work)
        if "short" in parts:
            yield from short(run, train, packaged_text_tower(train))
        if "missing" in parts:
            yield from missing(run, train)


def _pair(text: str) -> tuple[str, Path]:
    """Split NAME=DIR."""
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR")
    return name, Path(folder)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=_pair, nargs="+", required=True, metavar="NAME=DIR", help="feature shards")
    parser.add_argument("--runs", type=_pair, nargs="+", required=True, metavar="SYSTEM=DIR", help="folders of fits")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--csv", type=Path, help="file for the rows")
    parser.add_argument(
        "--work", type=Path, help="folder for tests, which are not run twice; a temporary one if not given"
    )
    arguments = parser.parse_args()
    known = [Data(*pair) for pair in arguments.features]
    runs = [Run(*pair) for pair in arguments.runs]
    old = [] if arguments.csv is None or not arguments.csv.exists() else read_csv(arguments.csv)
    with one_line_errors("generalisation"), ExitStack() as stack:
        work = arguments.work or Path(stack.enter_context(TemporaryDirectory()))
        rows = list(measure(arguments.parts, runs, known, work))
    if arguments.csv is not None:
        rows = measured_anew(old, rows)
        write_csv(arguments.csv, rows)
    for part in arguments.parts:
        print(f"\n### {part}\n\n{markdown(rows, part)}")


if __name__ == "__main__":
    main()
