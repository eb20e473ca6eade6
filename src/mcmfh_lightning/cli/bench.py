"""The ``mcmfh-bench`` command: evaluation of codes from files, and sweeps."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mcmfh_lightning.cli.command_line import run_subcommand
from mcmfh_lightning.errors import ConfigError, one_line_errors
from mcmfh_lightning.evaluation.rank import rank


def sweep(
    file: Path,
    *,
    jobs: int = 1,
    task: int | None = None,
    tasks: int | None = None,
    count: bool = False,
    render: bool = False,
    out: Path | None = None,
) -> None:
    """Run a sweep of Weights & Biases without its server: what has no result yet is fitted, then a table is made.

    FILE is what `wandb sweep` takes (method grid); sweeps/experts_bits.yaml comes with the package.

    Args:
        file: YAML file of the sweep.
        jobs: runs at a time; they share out the cores.
        task: number of this task of an array, from 0; it runs its share of the runs and renders nothing.
        tasks: number of tasks of the array.
        count: print the number of runs and do nothing else.
        render: run nothing; render the results that exist.
        out: folder for results, work, table.md, table.csv and figure; runs/sweep/<name of the file> unless given.
    """
    from mcmfh_lightning.sweeps.command import run_sweep  # slow to import

    run_sweep(file, jobs=jobs, task=task, tasks=tasks, count=count, render=render, out=out)


_COMMANDS: Mapping[str, Callable[..., None]] = {"rank": rank, "sweep": sweep}


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    Args:
        args: The command line after the program's name, by default the process's own.
    """
    if (sys.argv[1:] if args is None else args)[:1] == ["table"]:
        with one_line_errors("mcmfh-bench"):
            raise ConfigError("table is a script of the repository now: python benchmarks/table.py FILE, same options")
    run_subcommand("mcmfh-bench", _COMMANDS, args)
