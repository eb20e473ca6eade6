"""What the command of an agent says of the runs it starts."""

import re
from collections.abc import Sequence

from mcmfh_lightning.errors import DataError

ARGS = "${args}"
"""The agent puts the parameters of a run in its place, as --name=value."""
COMMAND = "mcmfh fit"
PLACES = ("run_dir", "trainer.logger")
"""Flags that say where a run writes and logs. They are no part of what it is: `mcmfh-bench` has its own."""


def fixed_flags(where: str, command: Sequence[str]) -> dict[str, int | str]:
    """The flags that the command gives to every run, but `PLACES`.

    Args:
        where: The sweep, for messages.
        command: As in the file; may be empty.

    Returns:
        Values by dotted name: whole numbers, all else as written.

    Raises:
        DataError: The command is not `mcmfh fit` with flags and, last, ``${args}``.

    Example:
        >>> fixed_flags("", ["${env}", "mcmfh", "fit", "--trainer.max_epochs=3", "--run_dir=runs/a", "${args}"])
        {'trainer.max_epochs': 3}
    """
    if not command:
        return {}
    if command[-1] != ARGS:
        raise DataError(f"{where}: command: ends in {command[-1]!r}; end it in {ARGS}, so that parameters come last")
    launcher = [word for word in command[:-1] if not word.startswith("--")]
    if COMMAND not in " ".join(launcher):
        raise DataError(f"{where}: command: does not run {COMMAND!r}; only fits are swept")
    for line in launcher:
        if COMMAND in line and not re.search(rf'{COMMAND} "\$@"', line):
            raise DataError(f'{where}: command: {line!r} has to pass on the flags that follow: {COMMAND} "$@" ...')
    for name in re.findall(r"(?:^|\s)--([\w.]+)", " ".join(launcher)):
        if name not in PLACES:
            raise DataError(
                f"{where}: command: --{name} is inside another word; write --{name}=value as one of its own"
            )
    return _flags(where, [word for word in command if word.startswith("--")])


def _flags(where: str, words: Sequence[str]) -> dict[str, int | str]:
    flags: dict[str, int | str] = {}
    for word in words:
        name, equals, text = word.removeprefix("--").partition("=")
        if not name or not equals:
            raise DataError(f"{where}: command: {word!r} has no value; write it as --name=value in one word")
        if name == "config" and word != words[0]:
            raise DataError(f"{where}: command: --config overrides the flags before it; put it first")
        if name in PLACES:
            continue
        if name in flags:
            raise DataError(f"{where}: command: --{name} is given twice; remove one")
        if "${" in text:
            raise DataError(f"{where}: command: {word!r} holds a macro, which only the agent replaces; write the value")
        flags[name] = int(text) if re.fullmatch(r"0|-?[1-9][0-9]*", text) else text
    return flags
