"""Words of a command line before the parser reads them, and one line about those that are wrong: what to type."""

import re
from collections import deque
from collections.abc import Sequence
from shlex import quote
from typing import Literal, get_args, get_origin

from cyclopts import App
from cyclopts.argument import Argument, ArgumentCollection
from cyclopts.exceptions import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from cyclopts.utils import UNSET

from mcmfh_lightning.cli.options import DIGITS
from mcmfh_lightning.errors import ConfigError
from mcmfh_lightning.nearest import did_you_mean

_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}
_ONLY_VALUES = "--"  # no option comes after it


def asks_for_help(words: Sequence[str]) -> tuple[bool, bool, list[str]]:
    """Return whether a command line asks for help, whether for all of it, and its other words."""
    words = [part for word in words for part in (("--help", "all") if word == "--help=all" else (word,))]
    before = words[: words.index(_ONLY_VALUES)] if _ONLY_VALUES in words else words
    place = next((place for place, word in enumerate(before) if word in ("-h", "--help")), None)
    if place is None:
        return False, False, words
    everything = words[place + 1 : place + 2] == ["all"]
    return True, everything, [*words[:place], *words[place + 1 + everything :]]


def joined(options: ArgumentCollection, words: Sequence[str], command: str) -> list[str]:
    """Write each option and its value as one word: a value may begin with a hyphen, and a switch may have one.

    Args:
        options: The options of the command.
        words: The command line after the name of the command.
        command: Name of the command, for messages.

    Raises:
        ConfigError: If an option is unknown or a group of options, a value is not a whole number of its size, or a
            second value follows it.
    """
    result: list[str] = []
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if word == _ONLY_VALUES:
            return [*result, word, *rest]
        if word.startswith("--") and word != "--version":
            name, equals, value = word.partition("=")
            option, switch = _option(options, name, command)
            if switch:
                belongs = rest and rest[0] in ("true", "false")
            else:  # two numbers are left to the parser
                belongs = rest and not rest[0].startswith("--") and option.token_count()[0] == 1
            if belongs and not equals:
                value = rest.popleft()
                word = f"{name}={value}"
            if value and rest and rest[0] in choices(option) and option.token_count()[1]:
                # The parser would take it for the argument that stands alone.
                raise ConfigError(f"{_repeat(name, value, rest[0])}; help: {command} --help")
            # The parser would round 10.7.
            number = bool(value) and int in kinds(option)
            if number and not re.fullmatch(r"[+-]?[0-9]+", value):
                several = repeated(option, name, value)
                raise ConfigError(f"{name} {value!r} is not a whole number{several}; help: {command} --help")
            if number and len(value.lstrip("+-0")) > DIGITS:
                raise ConfigError(f"{name} {value[:40]} is too large a number; help: {command} --help")
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


def repeated(option: Argument, name: str, value: str) -> str:
    """Say how several values are typed, where they are written as a list in brackets; nothing where they are not."""
    found = re.fullmatch(r"\[(.*)\]", value, re.DOTALL)
    if found is None or not option.token_count()[1]:
        return ""
    values = [part.strip(" \"'") for part in found[1].split(",")]
    return f"; {_repeat(name, *values)}"


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


def unknown_command(app: App, words: Sequence[str]) -> str:
    """Say in one line what is wrong with a command line that does not begin with a command.

    Args:
        app: The program.
        words: Its command line.
    """
    program, first = app.name[0], quote(words[0])
    commands = [name for name in app if not name.startswith("-")]
    later = [word for word in words if word in commands]
    near = did_you_mean(first, list(app)) or f"; commands: {', '.join(commands)}"
    if not first.startswith("-"):
        problem = f"{first} is not a command of {program}{near}"
    elif later:
        problem = f"the command comes first: {program} {later[0]} {first} ..."
    else:
        problem = f"{first} is not an option of {program}{near}"
    return f"{problem}; help: {program} --help"


def usage_message(error: CycloptsError, options: ArgumentCollection, words: Sequence[str], program: str) -> str:
    """Say in one line what is wrong with a command line, and where the options are listed.

    Args:
        error: What the parser says.
        options: The options of the command, with the values that they have.
        words: The command line, which begins with a command; values are joined to their options by ``=``.
        program: Name of the program.
    """
    return f"{_problem(error, options, words)}; help: {program} {words[0]} --help"


def list_hint(message: str, options: ArgumentCollection, words: Sequence[str]) -> str:
    """Say how several values are typed, if the message of a command is about a list; else nothing.

    The list is in brackets, or it has blanks and its last value was taken for the argument that stands alone.

    Args:
        message: What is wrong.
        options: The options of the command, with their values.
        words: The command line, as `joined` writes it.
    """
    for option in options:
        for token in option.tokens:
            if option.index is not None and token.value in words and message.startswith(f"{token.value} "):
                several = _one_more(token.value, options, words)
                if several is not None:
                    return f"; if it is one more value: {several}"
    typed = ((option, token) for option in options for token in option.tokens if token.value in message)
    return next(filter(None, (repeated(one, token.keyword or one.name, token.value) for one, token in typed)), "")


def _problem(error: CycloptsError, options: ArgumentCollection, words: Sequence[str]) -> str:
    match error:
        case UnusedCliTokensError() | UnknownOptionError():
            return _leftover((error.unused_tokens or words[-1:])[0], options, words)
        case RepeatArgumentError():
            return f"{error.token.keyword} takes one value and is given several times; pass it once"
        case MissingArgumentError(argument=Argument() as option):
            return _missing(error, option, options, words)
        case CoercionError(argument=Argument() as option):
            return _unfit(error, option)
    return _in_its_words(error)


def _in_its_words(error: CycloptsError) -> str:
    error.verbose = False
    return " ".join(str(error).split()).rstrip(".")


def _leftover(value: str, options: ArgumentCollection, words: Sequence[str]) -> str:
    """Say of a word without an option what it may be: one more value, or part of a value with blanks."""
    place = _last(value, words)
    several = _one_more(value, options, words)
    name, equals, _ = words[place - 1].partition("=")
    follows = place > 1 and name.startswith("--") and not equals  # the first word is the command
    if several is None and follows and "--" not in words[:place]:
        return f"{name} takes no value, and {value!r} follows it; leave it out"
    return several or f"{value!r} belongs to no option; put a value with blanks in quotes"


def _one_more(value: str, options: ArgumentCollection, words: Sequence[str]) -> str | None:
    """Say how several values are typed, if a word without an option follows an option that takes several."""
    place = _last(value, words)
    name, _, first = words[place - 1].partition("=")
    if place <= 1 or not name.startswith("--") or "--" in words[:place]:
        return None
    return _repeat(name, first, value) if options.match(name)[0].token_count()[1] else None


def _repeat(name: str, *values: str) -> str:
    return f"repeat {name} for several values: {' '.join(f'{name} {quote(value)}' for value in values)}"


def _last(value: str, words: Sequence[str]) -> int:
    return len(words) - 1 - words[::-1].index(value)


def _missing(error: MissingArgumentError, option: Argument, options: ArgumentCollection, words: Sequence[str]) -> str:
    """Name the options that are missing, or the one that has no value."""
    if error.keyword is None and error.unused_tokens:
        return _leftover(error.unused_tokens[0], options, words)
    if error.keyword is None and not option.tokens:
        missing = [other for other in options if other.required and not other.children and not other.tokens]
        names = [shown_name(other) for other in missing]
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        return f"{listed} {'is' if len(names) == 1 else 'are'} missing"
    name = error.keyword or option.name
    if option.token_count()[0] > 1:
        return f"{name} takes two numbers, such as {name} 0 4095"
    hint = f"; one that begins with -- is written {name}=--VALUE" if str in kinds(option) else ""
    return f"{name} needs a value{hint}"


def _unfit(error: CoercionError, option: Argument) -> str:
    """Say what an option takes, where its value is something else."""
    if error.token is None:
        return _in_its_words(error)
    name, value = error.token.keyword or shown_name(option), error.token.value
    if valid := choices(option):
        fix = repeated(option, name, value) or did_you_mean(value, valid)
        return f"{name} {value!r} is not one of {', '.join(valid)}{fix}"
    if option.token_count()[0] > 1:
        return f"{name} takes two numbers, such as {name} 0 4095"
    kind = next((text for kind, text in _KINDS.items() if kind in kinds(option)), None)
    return _in_its_words(error) if kind is None else f"{name} {value!r} is not {kind}"
