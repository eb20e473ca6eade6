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
    """Prints an `McmfhError` as one line and exits with 2; ``MCMFH_TRACEBACK=1`` shows the traceback instead."""
    try:
        yield
    except Exception as error:
        ours = _ours(error)
        if ours is None or os.environ.get("MCMFH_TRACEBACK"):
            raise
        # A loader's worker process hands its traceback over inside the message; what was said is the last line.
        sys.stderr.write(f"{program}: error: {str(ours).strip().splitlines()[-1]}\n")
        sys.exit(2)


def _ours(error: BaseException | None) -> McmfhError | None:
    """The error of this package behind another: jsonargparse wraps what a constructor raises."""
    while error is not None and not isinstance(error, McmfhError):
        error = error.__cause__ or error.__context__
    return error
