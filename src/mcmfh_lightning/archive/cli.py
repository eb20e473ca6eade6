"""``mcmfh-archive``: one module of ``commands`` is one subcommand."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec

from mcmfh_lightning.subcommands import run_subcommand

COMMANDS = ("build", "add", "upsert", "delete", "info", "verify", "search", "serve")
_EXTRA = ("faiss", "fastapi", "lancedb", "pyarrow", "python_multipart", "uvicorn")
"""What the extra ``archive`` brings."""


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand; errors of this package end in one line and exit code 2.

    Args:
        args: The command line after the program's name, by default the process's own.
    """
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"mcmfh-archive: error: {', '.join(missing)} missing: pip install 'mcmfh-lightning[archive]'\n"
        )
        sys.exit(2)
    run_subcommand("mcmfh-archive", _commands(), args)


def _commands() -> Mapping[str, Callable[..., None]]:
    # Imported here: without the extra, they cannot be.
    return {name: getattr(import_module(f"mcmfh_lightning.archive.commands.{name}"), name) for name in COMMANDS}
