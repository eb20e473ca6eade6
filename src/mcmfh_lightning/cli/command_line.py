"""Command lines whose subcommands are functions, and one-line messages about wrong command lines.

This module imports no torch: ``--help`` is quick.
"""

import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import yaml
from jsonargparse import auto_cli

from mcmfh_lightning.errors import ConfigError, one_line_errors


def run_subcommand(program: str, commands: Mapping[str, Callable[..., None]], args: Sequence[str] | None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    A required argument of a function is positional unless it is keyword-only.

    Args:
        program: Name of the program.
        commands: Functions by name of the subcommand.
        args: The command line after the program's name; None takes the process's own.
    """
    arguments = [_underscored(argument) for argument in (sys.argv[1:] if args is None else args)]
    arguments = _listed(_switched(arguments, _options(commands, bool)), _options(commands, list[str] | None))
    arguments = _in_brackets(arguments, _options(commands, str | list[str] | None))
    with one_line_errors(program):
        auto_cli(dict(commands), args=arguments, as_positional=True, allow_abbrev=False, prog=program)


def _options(commands: Mapping[str, Callable[..., None]], kind: object) -> set[str]:
    """Collect the options of a type."""
    return {
        f"--{parameter.name}"
        for command in commands.values()
        for parameter in inspect.signature(command).parameters.values()
        if parameter.annotation == kind
    }


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


def _listed(arguments: Sequence[str], lists: set[str]) -> list[str]:
    """Let an option that takes a list be followed by its values, once or several times: jsonargparse asks for JSON."""
    result: list[str] = []
    values: dict[str, list[str]] = {}
    current = None
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name in lists:
            current = values.setdefault(name, [])
            current += [value] if equals else []
        elif current is not None and not argument.startswith("--"):
            current.append(argument)
        else:
            current = None
            result.append(argument)
    # Without a value the name stands alone, and jsonargparse says so.
    return result + [f"{name}={json.dumps(items)}" if items else name for name, items in values.items()]


def _in_brackets(arguments: Sequence[str], options: set[str]) -> list[str]:
    """Write the one value of an option that takes one or several as a list: YAML reads null, ~ and &a as no value."""
    result: list[str] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if result and result[-1] in options and not argument.startswith("--"):
            name, equals, value = result.pop(), "=", argument
        if name in options and equals:
            several = value.startswith("[") and value.endswith("]")
            argument = f"{name}={value if several else json.dumps([value])}"
        result.append(argument)
    return result


_FRAME = re.compile(
    r"Expected a <class 'NoneType'>|Does not validate against any of the Union subtypes|Subtypes: |Errors:$"
    r"|Given value|Expected a path but .* not accessible or invalid|$"
)
"""Lines of jsonargparse that do not help: it answers a type such as ``Hasher | None`` for each of its parts."""


def one_line(message: str) -> str:
    r"""Reduce a message of jsonargparse to what helps the user.

    >>> one_line("Parser key \"model\":\n  Errors:\n    - Option 'color' is not accepted\n  Given value: x")
    "model: Option 'color' is not accepted"
    """
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    text = " ".join(line for line in lines if not _FRAME.match(line))
    text = re.sub(r"Problem with given class_path '(?:[^']*\.)?(\w+)':", r"\1:", text)
    return re.sub(r'Parser key "([^"]*)":', r"\1:", text)


def check_configs(args: Sequence[str]) -> None:
    """Read every YAML file of a command line: jsonargparse does not name a file that is broken.

    Raises:
        ConfigError: If a file is not YAML.
    """
    for path in (Path(arg.rpartition("=")[2]) for arg in args if arg.endswith(".yaml")):
        if path.is_file():
            try:
                yaml.safe_load(path.read_bytes())
            except yaml.YAMLError as error:
                raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
