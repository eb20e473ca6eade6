"""One line about a wrong command line: what is wrong, and what to type."""

from collections.abc import Sequence
from shlex import quote

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

from mcmfh_lightning.cli.words import choices, kinds, repeated, shown_name
from mcmfh_lightning.nearest import did_you_mean

_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


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


def with_hint(message: str, options: ArgumentCollection) -> str:
    """Add to the message of a command how several values are typed, if it is about a list in brackets.

    Args:
        message: What is wrong.
        options: The options of the command, with their values.
    """
    for option in options:
        for token in option.tokens:
            if token.value in message and (hint := repeated(option, token.keyword or option.name, token.value)):
                return message + hint
    return message


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
    place = len(words) - 1 - words[::-1].index(value)
    name, equals, first = words[place - 1].partition("=")
    if name.startswith("--") and "--" not in words[:place]:
        option, _, _ = options.match(name)
        if option.token_count()[1]:
            return f"repeat {name} for several values: {name} {quote(first)} {name} {quote(value)}"
        if not equals:
            return f"{name} takes no value, and {value!r} follows it; leave it out"
    return f"{value!r} belongs to no option; put a value with blanks in quotes"


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
    if str in kinds(option):
        return f"{name} needs a value; one that begins with -- is written {name}=--VALUE"
    return f"{name} needs a value"


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
