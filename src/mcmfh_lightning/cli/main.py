"""The ``mcmfh`` command. Its help is printed without importing torch, which takes seconds."""

import sys
from collections.abc import Sequence
from pkgutil import resolve_name

from mcmfh_lightning.cli.command_line import INSTALL_COMPLETION, commands_of_options, run_subcommand
from mcmfh_lightning.cli.quick_start import quick_imports
from mcmfh_lightning.cli.train_help import COMMANDS as TRAINED
from mcmfh_lightning.cli.train_help import screen
from mcmfh_lightning.cli.usage import asks_for_help
from mcmfh_lightning.errors import ConfigError, one_line_errors, say
from mcmfh_lightning.nearest import did_you_mean

COMMANDS = commands_of_options(
    {
        "demo": (
            "Draw phantom chest films, train on them, test and search, without data of your own.",
            [("--out DIR", "Folder to write.")],
        ),
        "init": (
            "Look at a table of your own, and write mcmfh.toml for the other commands.",
            [("--manifest FILE", "The table."), ("--images DIR", "The folder of the images.")],
        ),
        **TRAINED,
        "export": (
            "Write a trained hasher and its encoder as ONNX, for machines without torch.",
            [
                ("--out DIR", "Folder to make."),
                ("--encoder FILE", "YAML file of the encoder."),
                ("--from-features", "Leave the encoder out: embeddings are the input."),
            ],
        ),
    }
)
"""What the help of the program and the shell show; the commands themselves are imported where they run."""
_ALONE = ("--help", "--version", INSTALL_COMPLETION)
"""Options that come without a command."""


def main(args: Sequence[str] | None = None) -> None:
    """Run ``mcmfh``.

    Args:
        args: The command line after the program's name; None takes that of the process.
    """
    arguments = sys.argv[1:] if args is None else list(args)
    command, *rest = arguments or [""]
    with one_line_errors("mcmfh"):
        match command:
            case "demo" | "init" | "export":
                run_subcommand("mcmfh", {command: resolve_name(f"mcmfh_lightning.cli.{command}:{command}")}, arguments)
            case "fit" | "validate" | "test" | "predict":
                _train(command, rest, args)
            case "-h" | "--help" | "--version":
                run_subcommand("mcmfh", COMMANDS, arguments)
            case _ if command.partition("=")[0] == INSTALL_COMPLETION:
                run_subcommand("mcmfh", COMMANDS, arguments)
            case _:
                raise ConfigError(_unknown(command, rest))


def _train(command: str, rest: Sequence[str], args: Sequence[str] | None) -> None:
    """Print the short help, or run the command."""
    for_help, everything, others = asks_for_help(rest)
    if for_help and not everything:
        say(screen(command, others))
        return
    if everything:
        args = [command, *others, "--help", "all"]
    with quick_imports(sleepy=command in ("validate", "test")):
        from mcmfh_lightning.cli.train import main as run_trainer  # torch, and the extra may be missing
    run_trainer(args)


def _unknown(command: str, rest: Sequence[str]) -> str:
    """Say what is wrong with a command line that does not begin with a command."""
    known = f"choose one of {', '.join(COMMANDS)} (mcmfh --help describes them)"
    if not command:
        return f"the command is missing: {known}"
    if command.startswith("-"):
        later = [arg for arg in rest if arg in COMMANDS]
        if later:
            return f"the command comes first: mcmfh {later[0]} {command} ..."
        return f"the command comes first: {known}{did_you_mean(command, _ALONE)}"
    return f"there is no command {command!r}: {known}{did_you_mean(command, [*COMMANDS, *_ALONE])}"
