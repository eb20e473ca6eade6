"""Lines on a terminal, and what others wrote in them."""

import re

from rich.console import Console

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
