"""Command lines whose subcommands are functions: help, completion, and one-line messages about wrong ones.

This module imports no torch: ``--help`` is quick.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import getitem
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.argument import ArgumentCollection
from cyclopts.completion.detect import ShellDetectionError, detect_shell
from cyclopts.exceptions import CycloptsError

from mcmfh_lightning import __version__
from mcmfh_lightning.cli.help import command_help, program_help
from mcmfh_lightning.cli.project import take_project
from mcmfh_lightning.cli.usage import asks_for_help, joined, list_hint, unknown_command, usage_message
from mcmfh_lightning.errors import ConfigError, McmfhError, check_words, one_line_errors, say

INSTALL_COMPLETION = "--install-completion"
Shell = Literal["bash", "zsh", "fish"]
Commands = Mapping[str, Callable[..., None]]
"""Functions by name of the subcommand."""
_PLAIN = Parameter(negative=(), json_list=False, json_dict=False)
"""A switch has no --no-SWITCH, and a text is never JSON."""


class _Program(App):
    """A parser that looks at the options of a command once, which takes longer than to read a command line."""

    _options: ArgumentCollection | None = None

    def assemble_argument_collection(
        self, *, default_parameter: Parameter | None = None, parse_docstring: bool = False
    ) -> ArgumentCollection:
        """Return the options of this command, with the values that have been read."""
        if default_parameter is not None or parse_docstring:
            return super().assemble_argument_collection(
                default_parameter=default_parameter, parse_docstring=parse_docstring
            )
        if self._options is None:
            self._options = super().assemble_argument_collection()
        return self._options


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
        if words and words[0].startswith(f"{INSTALL_COMPLETION}="):
            words[:1] = words[0].split("=", 1)
        if not words:
            raise ConfigError(f"which command? There are {', '.join(commands)}; help: {program} --help")
        if words[0] not in app:
            raise ConfigError(unknown_command(app, words))
        command = words[0] if words[0] in (*commands, INSTALL_COMPLETION) else None
        for_help, everything, _ = asks_for_help(words)
        if for_help and command is not None:
            sys.stdout.write(command_help(app, command, everything=everything))
        elif for_help:
            sys.stdout.write(program_help(app))
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
    try:
        app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise ConfigError(usage_message(error, options, words, app.name[0])) from error
    except McmfhError as error:
        if hint := list_hint(str(error), options, words):
            raise ConfigError(f"{error}{hint}") from error
        raise


def build_app(program: str, commands: Commands) -> App:
    """Build the parser of a program.

    Args:
        program: Name of the program.
        commands: Functions by name of the subcommand; their docstrings are the help.
    """
    app = _Program(
        name=program,
        version=f"mcmfh-lightning {__version__}",
        help_format="plaintext",
        config=partial(take_project, program),
        suppress_keyboard_interrupt=False,  # `one_line_errors` says what ended
    )
    for name, function in commands.items():
        app.command(function, name=name, default_parameter=_PLAIN)
    app.command(_completion_command(app), name=INSTALL_COMPLETION, default_parameter=_PLAIN)
    return app


def _completion_command(app: App) -> Callable[..., None]:
    """Make the command that writes the completion script of a program."""

    def install_completion(
        shell: Shell | None = None, *, out: Path | None = None, add_to_startup: bool = False
    ) -> None:
        """Let the shell complete names of commands and options.

        The script is static: the shell never starts the program. Install it again after an update.

        Args:
            shell: Shell to write for: bash, zsh or fish. Default: the one that runs this command.
            out: File to write. Default: where the shell looks for such files of the user.
            add_to_startup: Add a line that loads the script to .bashrc or .zshrc, where the shell needs one.
        """
        chosen = shell or _present_shell()
        path = app.install_completion(shell=chosen, output=out, add_to_startup=add_to_startup)
        say(f"{path}: completion of {app.name[0]} for {chosen}; it works in new shells")
        if chosen == "zsh" and not add_to_startup:
            say(f"zsh needs two lines in .zshrc: fpath=({path.parent} $fpath) and autoload -Uz compinit && compinit")
        elif chosen == "bash" and not add_to_startup:
            say(f"without the package bash-completion, add to .bashrc: . {path}")

    return install_completion


def _present_shell() -> Shell:
    """Find the shell that runs this command.

    Raises:
        ConfigError: If it is not known, or is another one.
    """
    try:
        shell = detect_shell()
    except ShellDetectionError as error:
        raise ConfigError(f"{INSTALL_COMPLETION}: the shell is not known; pass --shell bash, zsh or fish") from error
    if shell == "powershell":
        raise ConfigError(f"{INSTALL_COMPLETION}: there is no script for PowerShell; pass --shell bash, zsh or fish")
    return shell


def commands_of_options(commands: Mapping[str, tuple[str, Sequence[tuple[str, str]]]]) -> Commands:
    """Make commands that do nothing, for the help and the completion script of a program with another parser.

    Args:
        commands: What each command does, and each of its options, such as ``--run-dir DIR``, with its meaning.
    """
    return {name: _command_of_options(name, text, options) for name, (text, options) in commands.items()}


def _command_of_options(command: str, text: str, options: Sequence[tuple[str, str]]) -> Callable[..., None]:
    parameters = []
    for number, (label, meaning) in enumerate(options):
        name, _, value = label.partition(" ")
        kind = {"FILE": Path, "DIR": Path, "": bool}.get(value, str)
        hint = getitem(Annotated, (kind | None, Parameter(name=name, help=meaning)))  # a type that is made at run time
        parameters.append(
            inspect.Parameter(f"option{number}", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        )

    def nothing(**_: object) -> None:
        pass

    nothing.__name__, nothing.__doc__ = command, text
    nothing.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what the parser reads
    return nothing
