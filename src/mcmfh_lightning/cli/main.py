"""The ``mcmfh`` command. Its help is printed without importing torch, which takes seconds."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from mcmfh_lightning import __version__
from mcmfh_lightning.cli.command_line import run_subcommand
from mcmfh_lightning.cli.completion import INSTALL_COMPLETION, commands_of_options
from mcmfh_lightning.cli.train_help import COMMANDS as TRAINED
from mcmfh_lightning.cli.train_help import OPTIONS as TRAINED_OPTIONS
from mcmfh_lightning.cli.train_help import screen
from mcmfh_lightning.errors import ConfigError, one_line_errors, say
from mcmfh_lightning.nearest import did_you_mean

COMMANDS = {
    "demo": "draw phantom chest films, train on them, test and search: needs no data",
    "init": "look at a table of your own, and write mcmfh.toml for the other commands",
    **TRAINED,
}
OPTIONS = {
    "demo": [("--out DIR", "Folder to write.")],
    "init": [("--manifest FILE", "The table."), ("--images DIR", "The folder of the images.")],
    **TRAINED_OPTIONS,
}
"""Options that the shell completes."""
_ALONE = ("--help", "--version", INSTALL_COMPLETION)
"""Options that come without a command."""
_EPILOG = """\
mcmfh COMMAND --help lists the options of a command.
Examples:
  mcmfh demo
  mcmfh init --manifest pairs.csv --images films
  mcmfh fit --config experiments/mcmfh.yaml --data.root FEATURES --run-dir RUN
  mcmfh test --config experiments/mcmfh.yaml --data.root FEATURES --run-dir RUN

Other programs: mcmfh-data (make and inspect data), mcmfh-bench (evaluate codes, run sweeps),
mcmfh-archive (search).
Research use, not diagnosis."""


def main(args: Sequence[str] | None = None) -> None:
    """Run ``mcmfh``.

    Args:
        args: The command line after the program's name; None takes that of the process.
    """
    arguments = sys.argv[1:] if args is None else list(args)
    command, rest = (arguments or [""])[0], arguments[1:]
    with one_line_errors("mcmfh"):
        match command:
            case "demo":
                from mcmfh_lightning.cli.demo import main as run_demo

                run_demo(arguments)
            case "init":
                from mcmfh_lightning.cli.init import main as run_init

                run_init(arguments)
            case "fit" | "validate" | "test" | "predict":
                _train(command, rest, args)
            case command if command == INSTALL_COMPLETION:
                run_subcommand("mcmfh", commands_of_options(OPTIONS), arguments)
            case "-h" | "--help" | "--version":
                _parser().parse_args(arguments)
            case _:
                raise ConfigError(_unknown(command, rest))


def _train(command: str, rest: Sequence[str], args: Sequence[str] | None) -> None:
    """Print the short help, or run the command."""
    rest = [word for arg in rest for word in (("--help", "all") if arg == "--help=all" else (arg,))]
    place = next((place for place, arg in enumerate(rest) if arg in ("-h", "--help")), None)
    if place is not None and rest[place + 1 : place + 2] != ["all"]:
        say(screen(command, [*rest[:place], *rest[place + 1 :]]))
        return
    if place is not None:
        args = [command, *rest[:place], "--help", *rest[place + 1 :]]
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


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="mcmfh",
        description="Medical cross-modal hashing: train, evaluate and apply hashers.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        INSTALL_COMPLETION, action="store_true", help="let the shell complete commands and options; see its --help"
    )
    parser.add_argument("--version", action="version", version=f"mcmfh-lightning {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text)
    return parser
