"""Errors that name the file or key at fault and the mend.

Checks of arguments that take one of a few words.

Lines on a terminal, and what others wrote in them.
"""

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from rich.console import Console


class McmfhError(Exception):
    """Base of every error this package raises on purpose; the command line prints it in one line."""


class DataError(McmfhError):
    """A collection, shard or sample that cannot be used as it is."""


class CheckpointError(McmfhError):
    """A checkpoint that does not fit the data, the encoder or the flags it is used with."""


class ConfigError(McmfhError):
    """A configuration from which no run can be built."""


TRACEBACK_VARIABLE = "MCMFH_TRACEBACK"
"""Environment variable that asks for tracebacks instead of one line."""


@contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """Prints an error of the user's or of the machine as one line and exits with 2.

    These are an `McmfhError` and an `OSError` that names its file. ``MCMFH_TRACEBACK=1`` shows the traceback instead;
    anything else is a mistake of ours and shows it always.
    """
    try:
        yield
    except Exception as error:
        ours = own_error(error)
        told = _of_system(error) if ours is None else str(ours)
        if told is None or os.environ.get(TRACEBACK_VARIABLE):
            raise
        # A loader's worker process hands its traceback over inside the message; what was said is the last line.
        sys.stderr.write(f"{program}: error: {told.strip().splitlines()[-1]}\n")
        sys.exit(2)


def own_error(error: BaseException | None) -> McmfhError | None:
    """The error of this package behind another: jsonargparse wraps what a constructor raises."""
    while error is not None and not isinstance(error, McmfhError):
        error = error.__cause__ or error.__context__
    return error


def _of_system(error: Exception) -> str | None:
    """What the system refused: a full disk, a folder that may not be written to ..."""
    if not isinstance(error, OSError) or error.strerror is None:
        return None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):  # comes without a name when an open file cannot grow
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}: make room, or write elsewhere"
    return None if error.filename is None else f"{error.filename}: {error.strerror}"


def check_choice(name: str, value: str, literal: object) -> None:
    """Refuse a word that the ``Literal`` does not list.

    Args:
        name: The argument's name, for the message.
        value: What was given.
        literal: The ``typing.Literal`` that lists the valid words.

    Raises:
        ValueError: If ``value`` is none of them; the message lists them.
    """
    valid = get_args(literal)
    if value not in valid:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, valid))}")


_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def without_controls(text: str) -> str:
    r"""The text with a mark for each control character but line feeds.

    A report, an id or a label from elsewhere could otherwise move the cursor, rename the window or fill the clipboard.

    >>> without_controls("heart\x1b[2J")
    'heart�[2J'
    """
    return _CONTROLS.sub("\ufffd", text)


def say(line: str) -> None:
    """Print a line on standard output as it is, however wide the terminal; call it on one process only."""
    Console().print(without_controls(line), markup=False, highlight=False, soft_wrap=True)
