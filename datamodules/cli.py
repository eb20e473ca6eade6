"""``mcmfh-data``: make and look at data. One function of ``commands`` is one subcommand.

A required argument of such a function is positional (``mcmfh-data verify DIR``) unless it is keyword-only
(``mcmfh-data openi --out DIR``).
"""

from collections.abc import Callable, Mapping, Sequence

from mcmfh_lightning.datamodules import commands
from mcmfh_lightning.subcommands import run_subcommand

_COMMANDS: Mapping[str, Callable[..., None]] = {name: getattr(commands, name) for name in commands.__all__}


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    Args:
        args: the command line after the program's name, by default the process's own.
    """
    run_subcommand("mcmfh-data", _COMMANDS, args)
