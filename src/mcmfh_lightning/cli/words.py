"""Words of a command line before the parser reads them: each option and its value become one word."""

import re
from collections import deque
from collections.abc import Sequence
from shlex import quote
from typing import Literal, get_args, get_origin

from cyclopts.argument import Argument, ArgumentCollection
from cyclopts.utils import UNSET

from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.nearest import did_you_mean

_ONLY_VALUES = "--"  # no option comes after it
_HELP = ("-h", "--help")
_VERSION = "--version"


def asks_for_help(words: Sequence[str]) -> tuple[bool, bool]:
    """Say whether a command line asks for help, and whether for all of it."""
    before = words[: words.index(_ONLY_VALUES)] if _ONLY_VALUES in words else words
    place = next((place for place, word in enumerate(before) if word in _HELP), None)
    return place is not None, place is not None and list(words[place + 1 : place + 2]) == ["all"]


def joined(options: ArgumentCollection, words: Sequence[str], command: str) -> list[str]:
    """Write each option and its value as one word: a value may begin with a hyphen, and a switch may have one.

    Args:
        options: The options of the command.
        words: The command line after the name of the command.
        command: Name of the command, for messages.

    Raises:
        ConfigError: If an option is unknown or a group of options, or a value is not the whole number that is needed.
    """
    result: list[str] = []
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if word == _ONLY_VALUES:
            return [*result, word, *rest]
        if word.startswith("--") and word != _VERSION:
            name, equals, value = word.partition("=")
            option, switch = _option(options, name, command)
            if rest and not equals and _belongs(option, rest[0], switch=switch):
                value = rest.popleft()
                word = f"{name}={value}"
            # The parser would round 10.7.
            if value and int in kinds(option) and not re.fullmatch(r"[+-]?[0-9]+", value):
                several = repeated(option, name, value)
                raise ConfigError(f"{name} {value!r} is not a whole number{several}; help: {command} --help")
        result.append(word)
    return result


def _option(options: ArgumentCollection, name: str, command: str) -> tuple[Argument, bool]:
    """Find an option by a name of it, and say whether it is a switch, which stands alone."""
    try:
        option, _, implied = options.match(name)
    except ValueError:
        known = [known for option in options if option.show for known in option.names]
        near = did_you_mean(name, known)
        raise ConfigError(f"{name} is not an option of {command}{near}; help: {command} --help") from None
    if option.children:
        parts = ", ".join(part.name for part in option.children)
        raise ConfigError(f"{name} takes no value; its parts do: {parts}; help: {command} --help")
    return option, implied is not UNSET


def _belongs(option: Argument, value: str, *, switch: bool) -> bool:
    """Say whether a word is the value of the option before it; two numbers are left to the parser."""
    if switch:
        return value in ("true", "false")
    return option.token_count()[0] == 1 and not value.startswith("--")


def repeated(option: Argument, name: str, value: str) -> str:
    """Say how several values are typed, where they are written as a list in brackets; nothing where they are not."""
    found = re.fullmatch(r"\[(.*)\]", value, re.DOTALL)
    if found is None or not option.token_count()[1]:
        return ""
    values = [part.strip(" \"'") for part in found[1].split(",")]
    return f"; repeat {name} for several values: {' '.join(f'{name} {quote(part)}' for part in values)}"


def kinds(option: Argument) -> list[object]:
    """Return the types of an option's values: of ``list[int] | None`` all three parts and the list of numbers."""
    hints: list[object] = [option.hint]
    for hint in hints:  # grows meanwhile
        hints += get_args(hint) if get_origin(hint) is not Literal else ()
    return hints


def choices(option: Argument) -> tuple[str, ...]:
    """Return the values that an option may have; none if it takes any."""
    return tuple(str(value) for kind in kinds(option) if get_origin(kind) is Literal for value in get_args(kind))


def shown_name(option: Argument) -> str:
    """Return the name of an option as it is typed; what stands alone is in capitals."""
    return option.name.lstrip("-").upper() if option.index is not None else option.name
