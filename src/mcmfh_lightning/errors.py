"""Errors that name the file or key at fault and the mend."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class McmfhError(Exception):
    """Base of every error this package raises on purpose; the command line prints it in one line."""


class DataError(McmfhError):
    """A collection, shard or sample that cannot be used as it is."""


class CheckpointError(McmfhError):
    """A checkpoint that does not fit the data, the encoder or the flags it is used with."""


@contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """Prints an :class:`McmfhError` as one line and exits with 2; ``MCMFH_TRACEBACK=1`` shows the traceback instead."""
    try:
        yield
    except McmfhError as error:
        if os.environ.get("MCMFH_TRACEBACK"):
            raise
        sys.stderr.write(f"{program}: error: {error}\n")
        sys.exit(2)
