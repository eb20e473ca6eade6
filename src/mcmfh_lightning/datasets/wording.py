"""Names and numbers as messages write them."""

import shlex
from collections.abc import Iterable

_MOST_LISTED = 12


def listed(names: Iterable[str]) -> str:
    """List names in quotes, at most twelve of them."""
    shown = [repr(name) for name in names]
    if len(shown) > _MOST_LISTED:
        shown[_MOST_LISTED:] = [f"and {len(shown) - _MOST_LISTED} more"]
    return ", ".join(shown)


def shell_word(word: str) -> str:
    """Write a word as one argument of a command."""
    return shlex.quote(word)


def counted(count: int, one: str, several: str | None = None) -> str:
    """Write a number with its noun.

    Example:
        >>> counted(1, "row"), counted(1200, "row")
        ('1 row', '1,200 rows')
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"
