"""The ``mcmfh`` command. Its help is printed without importing torch, which takes seconds."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from mcmfh_lightning import __version__
from mcmfh_lightning.errors import one_line_errors

_TRAINED = {
    "fit": "train a hasher, or fine-tune an image tower",
    "validate": "evaluate a trained hasher on the validation split",
    "test": "evaluate a trained hasher on the test split: table, plots, metrics.json",
    "predict": "encode pairs of images and texts as features",
}
_EPILOG = """\
mcmfh COMMAND --help lists the options of a command.
Examples:
  mcmfh demo
  mcmfh init --manifest pairs.csv --images films
  mcmfh fit --config experiments/mcmfh.yaml --data.root FEATURES --run_dir RUN
  mcmfh test --config experiments/mcmfh.yaml --data.root FEATURES --run_dir RUN

Other commands: mcmfh-data (make and inspect data), mcmfh-bench (evaluate codes, run sweeps), mcmfh-archive (search).
Research use, not diagnosis."""


def main(args: Sequence[str] | None = None) -> None:
    """Run ``mcmfh``.

    Args:
        args: The command line after the program's name; None takes that of the process.
    """
    arguments = sys.argv[1:] if args is None else list(args)
    if arguments[:1] == ["demo"]:
        from mcmfh_lightning.cli.demo import main as run_demo

        run_demo(arguments[1:])
    elif arguments[:1] == ["init"]:
        from mcmfh_lightning.cli.init import main as run_init

        run_init(arguments)
    elif arguments[:1] in ([], ["-h"], ["--help"], ["--version"]) or not {*arguments} & {*_TRAINED}:
        _parser().parse_args(arguments)
    else:
        with one_line_errors("mcmfh"):  # the extra may be missing
            from mcmfh_lightning.cli.train import main as run_trainer
        run_trainer(args)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="mcmfh",
        description="Medical cross-modal hashing: train, evaluate and apply hashers.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mcmfh-lightning {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    commands.add_parser("demo", help="draw phantom chest films, train on them, test and search: needs no data")
    commands.add_parser("init", help="look at a table of your own, and write mcmfh.toml for the other commands")
    for name, text in _TRAINED.items():
        commands.add_parser(name, help=text)
    return parser
