"""``mcmfh-data``: make and look at data. One function of ``commands`` is one subcommand.

A required argument of such a function is positional (``mcmfh-data verify DIR``) unless it is keyword-only
(``mcmfh-data openi --out DIR``).
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest

from jsonargparse import auto_cli

from mcmfh_lightning.datamodules import commands
from mcmfh_lightning.errors import one_line_errors

_COMMANDS: Mapping[str, Callable[..., None]] = {name: getattr(commands, name) for name in commands.__all__}
_SWITCHES = {
    f"--{parameter.name}"
    for command in _COMMANDS.values()
    for parameter in inspect.signature(command).parameters.values()
    if parameter.annotation is bool
}


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    Args:
        args: the command line after the program's name, by default the process's own.
    """
    arguments = _switched([_underscored(argument) for argument in (sys.argv[1:] if args is None else args)])
    with one_line_errors("mcmfh-data"):
        auto_cli(dict(_COMMANDS), args=arguments, as_positional=True, allow_abbrev=False, prog="mcmfh-data")


def _underscored(argument: str) -> str:
    """Accept ``--min-label-count`` for ``--min_label_count``; values are left alone."""
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else argument


def _switched(arguments: Sequence[str]) -> list[str]:
    """Let an option that is true or false stand alone, for true: jsonargparse asks for the value."""
    return [
        f"{argument}=true" if argument in _SWITCHES and value not in ("true", "false") else argument
        for argument, value in zip_longest(arguments, arguments[1:])
    ]
