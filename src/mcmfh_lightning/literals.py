"""Literals of Python in files, such as the header of a NumPy array, read in spite of a bug of Python 3.11."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_ATTEMPTS = 10


def read_literal(read: Callable[[], T]) -> T:
    """Call a reader of literals, again where Python lost count of the depth of what it parsed.

    Up to Python 3.11.7, `ast.literal_eval` keeps one count for all threads: where another thread parses something in
    the middle of it, a sound text ends in SystemError (python/cpython#106905). NumPy parses each header with it.

    Args:
        read: Reads the literal; it is called with nothing, and from the beginning each time.

    Raises:
        SystemError: If this happens ten times in a row.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return read()
        except SystemError:
            continue
    return read()
