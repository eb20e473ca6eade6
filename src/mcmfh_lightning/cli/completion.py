"""Shell completion: a static script that knows commands and options, written where the shell looks for it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from operator import getitem
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.completion.detect import ShellDetectionError, detect_shell
from cyclopts.completion.install import add_to_rc_file, get_default_completion_path

from mcmfh_lightning.errors import ConfigError, say
from mcmfh_lightning.files import atomic_write

INSTALL_COMPLETION = "--install-completion"
Shell = Literal["bash", "zsh", "fish"]
Commands = Mapping[str, Callable[..., None]]
"""Functions by name of the subcommand."""


def completion_command(app: App) -> Callable[..., None]:
    """Make the command that writes the completion script of a program.

    Args:
        app: The program.
    """
    program = app.name[0]

    def install_completion(
        *, shell: Shell | None = None, out: Path | None = None, add_to_startup: bool = False
    ) -> None:
        """Let the shell complete names of commands and options.

        The script is static: the shell never starts the program. Install it again after an update.

        Args:
            shell: Shell to write for: bash, zsh or fish. Default: the one that runs this command.
            out: File to write. Default: where the shell looks for such files of the user.
            add_to_startup: Add a line that loads the script to .bashrc or .zshrc, where the shell needs one.
        """
        chosen = shell or _present_shell()
        path = (out or get_default_completion_path(chosen, program)).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as stream:
            stream.write(app.generate_completion(shell=chosen).encode())
        say(f"{path}: completion of {program} for {chosen}; it works in new shells")
        if chosen != "fish" and add_to_startup:
            add_to_rc_file(path, program, chosen)
        elif chosen == "zsh":
            say(f"zsh needs two lines in .zshrc: fpath=({path.parent} $fpath) and autoload -Uz compinit && compinit")
        elif chosen == "bash":
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


def commands_of_options(options: Mapping[str, Sequence[tuple[str, str]]]) -> Commands:
    """Make commands that do nothing, for the completion script of a program with another parser.

    Args:
        options: For each command its options as its help shows them, such as ``--run-dir DIR``, with their help.
    """
    return {command: _command_of_options(command, pairs) for command, pairs in options.items()}


def _command_of_options(command: str, pairs: Sequence[tuple[str, str]]) -> Callable[..., None]:
    parameters = []
    for number, (label, text) in enumerate(pairs):
        name, _, value = label.partition(" ")
        kind = {"FILE": Path, "DIR": Path, "": bool}.get(value, str)
        hint = getitem(Annotated, (kind | None, Parameter(name=name, help=text)))  # a type that is made at run time
        parameters.append(
            inspect.Parameter(f"option{number}", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        )

    def nothing(**_: object) -> None:
        pass

    nothing.__name__ = command
    nothing.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what the parser reads
    return nothing
