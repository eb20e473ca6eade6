"""CPU time of short commands: ``python benchmarks/startup.py --csv FILE``; see docs/results/benchmarks.md."""

import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator

import pandas as pd
from measurements import Row, markdown, options, report, take_turns

COMMANDS = (
    *("main --help", "data --help", "data manifest --help", "bench --help", "bench rank --help"),
    *("archive --help", "archive search --help"),
)
"""Modules of ``mcmfh_lightning.cli`` with their arguments."""


def cpu_seconds(command: str) -> float:
    """Measure the CPU time, user and system, of a process that runs a command, or imports torch."""
    module, *arguments = command.split()
    code = f"from mcmfh_lightning.cli.{module} import main; main()" if arguments else f"import {module}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # listed above
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(turns: int) -> Iterator[Row]:
    """Measure all commands in turns, and next to them a process that only imports torch."""
    systems = {command: lambda command=command: cpu_seconds(command) for command in (*COMMANDS, "torch")}
    for command, found in take_turns(systems, turns, "commands").items():  # type: ignore[arg-type]  # bound at once
        name = f"`mcmfh-{command}`".replace("mcmfh-main", "mcmfh") if command in COMMANDS else "`import torch`"
        yield {"command": name, "median": round(statistics.median(found), 2), "most": round(max(found), 2)}


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render the table of the page."""
    cells = rows[["command", "median", "most"]].set_axis(["command", "CPU s, median", "most"], axis=1)
    return {"commands": markdown(cells)}


if __name__ == "__main__":
    parser = options(__doc__, "csv", "page")
    parser.add_argument("--turns", type=int, default=5, help="how often each command runs")
    given = parser.parse_args()
    report(given, measure(given.turns), tables, benchmark="startup", parts=("commands",), packages=("torch",))
