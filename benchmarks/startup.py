"""CPU time of short commands: ``python benchmarks/startup.py --csv FILE``; see docs/results/benchmarks.md."""

import argparse
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import measurements
import pandas as pd

COMMANDS = {
    "mcmfh --help": ("main", "--help"),
    "mcmfh-data --help": ("data", "--help"),
    "mcmfh-data manifest --help": ("data", "manifest", "--help"),
    "mcmfh-bench --help": ("bench", "--help"),
    "mcmfh-bench rank --help": ("bench", "rank", "--help"),
    "mcmfh-archive --help": ("archive", "--help"),
    "mcmfh-archive search --help": ("archive", "search", "--help"),
    "import torch": (),
}
"""Module of ``mcmfh_lightning.cli`` and arguments. The last line is what a command costs that imports torch alone."""


def cpu_seconds(module: str, *arguments: str) -> float:
    """Measure the CPU time, user and system, of a process that runs a command."""
    code = f"from mcmfh_lightning.cli.{module} import main; main()" if module else "import torch"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # listed above
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def rows(turns: int) -> Iterator[measurements.Row]:
    """Measure all commands in turns."""
    systems = {name: lambda given=given or ("",): cpu_seconds(*given) for name, given in COMMANDS.items()}
    for name, found in measurements.take_turns(systems, turns, "commands").items():
        yield {"command": name, "median": f"{pd.Series(found).median():.2f}", "greatest": f"{max(found):.2f}"}


def tables(table: pd.DataFrame) -> dict[str, str]:
    """Render the table of the page."""
    shown = table[["command", "median", "greatest"]].map(str).assign(command="`" + table["command"] + "`")
    return {"commands": measurements.markdown(shown.set_axis(["command", "CPU s, median", "greatest"], axis=1))}


def main() -> None:
    """Measure, or with ``--turns 0`` only render."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, required=True, help="file of the rows")
    parser.add_argument("--page", type=Path, help="page whose table is filled")
    parser.add_argument("--turns", type=int, default=5, help="how often each command runs; 0 renders the file")
    args = parser.parse_args()
    table = (
        measurements.record(rows(args.turns), args.csv, packages=("torch",))
        if args.turns
        else measurements.read(args.csv)
    )
    if args.page:
        args.page.write_text(measurements.fill(args.page.read_text(), "startup", tables(table)))
    print(tables(table)["commands"])


if __name__ == "__main__":
    main()
