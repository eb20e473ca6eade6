"""Command lines whose subcommands are functions, and one-line messages about wrong command lines.

This module imports no torch: ``--help`` is quick.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import yaml
from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from mcmfh_lightning import __version__
from mcmfh_lightning.cli.project import take_project
from mcmfh_lightning.cli.usage import usage_message
from mcmfh_lightning.cli.words import joined
from mcmfh_lightning.errors import ConfigError, one_line_errors

Commands = Mapping[str, Callable[..., None]]


def run_subcommand(program: str, commands: Commands, args: Sequence[str] | None) -> None:
    """Run a subcommand; wrong command lines and errors of this package end in one line and exit code 2.

    A required argument of a function is positional unless it is keyword-only.

    Args:
        program: Name of the program.
        commands: Functions by name of the subcommand.
        args: The command line after the program's name; None takes the process's own.
    """
    app = build_app(program, commands)
    with one_line_errors(program):
        tokens = list(sys.argv[1:] if args is None else args)
        if not tokens:
            raise ConfigError(f"which command? There are {', '.join(commands)}; help: {program} --help")
        if tokens[0] in commands:
            options = app[tokens[0]].assemble_argument_collection()
            tokens[1:] = joined(options, tokens[1:], f"{program} {tokens[0]}")
        try:
            app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        except CycloptsError as error:
            raise ConfigError(usage_message(error, app, tokens)) from error


def build_app(program: str, commands: Commands) -> App:
    """Build the parser of a program.

    Args:
        program: Name of the program.
        commands: Functions by name of the subcommand; their docstrings are the help.
    """
    app = App(
        name=program,
        version=f"mcmfh-lightning {__version__}",
        help_format="plaintext",
        # A switch has no --no-SWITCH, and a text is never JSON.
        default_parameter=Parameter(negative=(), json_list=False, json_dict=False),
        config=partial(take_project, program),
    )
    for name, function in commands.items():
        app.command(function, name=name)
    return app


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
