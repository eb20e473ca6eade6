"""Number of tokens of a text."""

from typing import NamedTuple


class TokenCount(NamedTuple):
    """Number of tokens of a text, special ones included, and how many of them an encoder reads: the first."""

    tokens: int
    read: int
