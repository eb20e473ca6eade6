"""``mcmfh-bench``: one module of this package is one subcommand."""

from collections.abc import Callable, Mapping, Sequence

from mcmfh_lightning.bench.tables.command import table
from mcmfh_lightning.cli.command_line import run_subcommand
from mcmfh_lightning.evaluation.rank import rank
from mcmfh_lightning.sweeps.command import sweep

_COMMANDS: Mapping[str, Callable[..., None]] = {"rank": rank, "sweep": sweep, "table": table}


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    Args:
        args: The command line after the program's name, by default the process's own.
    """
    run_subcommand("mcmfh-bench", _COMMANDS, args)
