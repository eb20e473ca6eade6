"""Checks of arguments that take one of a few words."""

from typing import get_args


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
