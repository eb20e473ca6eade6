"""Command lines whose subcommands are functions, and one-line messages about wrong command lines.

This module imports no torch: ``--help`` is quick.
"""

import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import yaml
from cyclopts import App, Parameter
from cyclopts.argument import ArgumentCollection
from cyclopts.exceptions import CycloptsError

from mcmfh_lightning import __version__
from mcmfh_lightning.cli.arguments import CONFIGS, option_name, split_options
from mcmfh_lightning.cli.completion import INSTALL_COMPLETION, Commands, completion_command
from mcmfh_lightning.cli.help import command_help, program_help
from mcmfh_lightning.cli.pages import PAGES, ProgramPage
from mcmfh_lightning.cli.project import take_project
from mcmfh_lightning.cli.usage import unknown_command, usage_message, with_hint
from mcmfh_lightning.cli.words import asks_for_help, joined
from mcmfh_lightning.errors import ConfigError, McmfhError, check_words, one_line_errors

_PLAIN = Parameter(negative=(), json_list=False, json_dict=False)
"""A switch has no --no-SWITCH, and a text is never JSON."""


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
        words = list(sys.argv[1:] if args is None else args)
        if sys.getfilesystemencoding() != "utf-8":  # elsewhere, the name of a file may have other bytes
            check_words(words)
        if not words:
            raise ConfigError(f"which command? There are {', '.join(commands)}; help: {program} --help")
        if words[0] not in app:
            raise ConfigError(unknown_command(app, words))
        command = words[0] if words[0] in (*commands, INSTALL_COMPLETION) else None
        for_help, everything = asks_for_help(words)
        page = PAGES.get(program, ProgramPage())
        if for_help and command is not None:
            sys.stdout.write(command_help(app, command, page, everything=everything))
        elif for_help:
            sys.stdout.write(program_help(app, page))
        elif command is None:
            sys.stdout.write(f"{app.version}\n")
        else:
            _run(app, command, words)


def _run(app: App, command: str, words: list[str]) -> None:
    """Read a command line and run its command.

    Raises:
        ConfigError: If the command line is wrong.
    """
    options = app[command].assemble_argument_collection()
    words[1:] = joined(options, words[1:], f"{app.name[0]} {command}")

    def keep(_app: App, _commands: tuple[str, ...], found: ArgumentCollection) -> None:
        """Keep the options with their values, also those of a project file: a message names all that is missing."""
        options[:] = found

    app.config = (*(app.config or ()), keep)
    try:
        app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise ConfigError(usage_message(error, options, words, app.name[0])) from error
    except McmfhError as error:
        message = with_hint(str(error), options)
        if message == str(error):
            raise
        raise ConfigError(message) from error


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
        config=partial(take_project, program),
    )
    for name, function in commands.items():
        app.command(function, name=name, default_parameter=_PLAIN)
    app.command(completion_command(app), name=INSTALL_COMPLETION, default_parameter=_PLAIN)
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
    """Read every config of a command line: jsonargparse does not name a file that is broken.

    Raises:
        ConfigError: If a file is not YAML, or what --config names is not a file with options.
    """
    for part in split_options(args):
        value, config = part[0].partition("=")[2] or "".join(part[1:2]), option_name(part) in CONFIGS
        path = Path(value)
        if config and value and path.is_dir():
            raise ConfigError(f"--config {value} is a folder: name a YAML file, such as experiments/mcmfh.yaml")
        if not (config or value.endswith(".yaml")) or not path.is_file():
            continue
        try:
            content = yaml.safe_load(path.read_bytes())
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
        if config and not isinstance(content, dict):
            held = "is empty" if content is None else "holds no options"
            raise ConfigError(f"--config {value} {held}: name a YAML file of options, such as experiments/mcmfh.yaml")
