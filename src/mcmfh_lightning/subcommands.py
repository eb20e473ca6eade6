"""Command lines whose subcommands are functions: ``mcmfh-data``, ``mcmfh-bench``."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest

from jsonargparse import auto_cli

from mcmfh_lightning.errors import one_line_errors


def run_subcommand(program: str, commands: Mapping[str, Callable[..., None]], args: Sequence[str] | None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    A required argument of a function is positional unless it is keyword-only.

    Args:
        program: Name of the program.
        commands: Functions by name of the subcommand.
        args: The command line after the program's name; None takes the process's own.
    """
    switches = {
        f"--{parameter.name}"
        for command in commands.values()
        for parameter in inspect.signature(command).parameters.values()
        if parameter.annotation is bool
    }
    arguments = _switched([_underscored(argument) for argument in (sys.argv[1:] if args is None else args)], switches)
    with one_line_errors(program):
        auto_cli(dict(commands), args=arguments, as_positional=True, allow_abbrev=False, prog=program)


def _underscored(argument: str) -> str:
    """Accept ``--num-bits`` for ``--num_bits``; values are left alone."""
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else argument


def _switched(arguments: Sequence[str], switches: set[str]) -> list[str]:
    """Let an option that is true or false stand alone, for true: jsonargparse asks for the value."""
    return [
        f"{argument}=true" if argument in switches and value not in ("true", "false") else argument
        for argument, value in zip_longest(arguments, arguments[1:])
    ]
