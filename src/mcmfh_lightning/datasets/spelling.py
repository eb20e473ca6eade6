"""Names that may be meant by a misspelled one."""

import shlex
from collections.abc import Iterable
from difflib import SequenceMatcher

_CLOSE = 0.6
_MOST_LISTED = 12


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Name the nearest of several choices, as the end of a message; nothing if none is near.

    A choice is near if it differs in case or a few letters, or if the name is a part of it.

    Example:
        >>> did_you_mean("lables", ["labels", "image"])
        "; did you mean 'labels'?"
        >>> did_you_mean("brain", ["plane: axial", "location: Brain and Neuro"])
        "; did you mean 'location: Brain and Neuro'?"
        >>> did_you_mean("xyz", ["labels"])
        ''
    """
    wanted = name.strip().casefold()
    scores = {choice: _likeness(wanted, choice.strip().casefold()) for choice in choices}
    best = max(scores, key=lambda choice: scores[choice], default=None)
    return "" if best is None or scores[best] < _CLOSE else f"; did you mean {best!r}?"


def _likeness(wanted: str, choice: str) -> float:
    likeness = SequenceMatcher(None, wanted, choice).ratio()
    if len(wanted) > 2 and wanted in choice:
        return max(likeness, _CLOSE)
    return likeness


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
