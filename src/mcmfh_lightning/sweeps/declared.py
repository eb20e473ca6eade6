"""A sweep file as the runs that an agent of W&B would start.

What the command of an agent says of the runs it starts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from mcmfh_lightning.bench.tables.declared import CONFIG, ROOT, SEED, TRIAL, DeclaredRun, is_trial, runs_of, written
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps.sweep_file import Sweep, read_sweeps

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


OPTIONAL = ("command", "description", "entity", "project")
"""Keys of a sweep that tables do not have; the last three say nothing of its runs."""


@dataclass(frozen=True)
class DeclaredSweep:
    """A grid."""

    sweep: Sweep
    """Its parameters are those of the file and the flags of its command."""
    runs: tuple[DeclaredRun, ...]

    @property
    def varied(self) -> Mapping[str, tuple[Any, ...]]:
        """The values of each flag that has several, numbers ascending; seeds are no setting."""
        several = {name: values for name, values in self.sweep.parameters.items() if len(values) > 1 and name != SEED}
        return {name: _ordered(values) for name, values in several.items()}

    @property
    def fixed(self) -> Mapping[str, Any]:
        """The flags that every run shares."""
        return {name: values[0] for name, values in self.sweep.parameters.items() if len(values) == 1}

    @property
    def seeds(self) -> tuple[Any, ...]:
        """Of each combination; empty where the config has the seed."""
        return self.sweep.parameters.get(SEED, ())


def read_sweep(path: Path) -> DeclaredSweep:
    """Read and check a file that `wandb sweep` takes.

    Raises:
        DataError: It holds no such sweep, its runs need the server, or they could not be told apart or compared.
    """
    sweeps = read_sweeps(path, OPTIONAL)
    if len(sweeps) > 1:
        raise DataError(f"{path}: holds {len(sweeps)} documents; give each sweep a file of its own")
    sweep = sweeps[0]
    if not is_trial(sweep.metric):
        raise DataError(
            f"{sweep.where}: metric: name is {sweep.metric!r}; begin it with {TRIAL}: a sweep chooses, and nothing is "
            "chosen by the test split"
        )
    fixed = fixed_flags(sweep.where, sweep.command)
    if sweep.command and CONFIG not in fixed:
        raise DataError(
            f"{sweep.where}: command: lacks --config=FILE; as a parameter it would override the flags that come before"
        )
    for name, values in sweep.parameters.items():
        if name in fixed:
            raise DataError(f"{sweep.where}: {name} is both in command and in parameters; remove one")
        for value in values:
            _refuse_misread(f"{sweep.where}: parameters: {name}", value)
    merged = replace(sweep, parameters={**{name: (value,) for name, value in fixed.items()}, **sweep.parameters})
    runs = runs_of([merged])
    if len(merged.parameters[ROOT]) > 1:
        raise DataError(f"{sweep.where}: parameters: {ROOT} has several values; sweep one data set at a time")
    return DeclaredSweep(merged, tuple(runs))


def _refuse_misread(where: str, value: object) -> None:
    """An agent writes a value as Python does (``None``); our runner as JSON (``null``). Both have to mean the same."""
    if isinstance(value, str):  # written alike
        return
    text = str(value)
    try:
        same = yaml.safe_load(text) == yaml.safe_load(written(value))
    except yaml.YAMLError:
        same = False
    if not same:
        raise DataError(f"{where}: the agent of W&B would pass {value!r} as the text {text!r}; leave it to the config")


def _ordered(values: tuple[Any, ...]) -> tuple[Any, ...]:
    numbers = all(type(value) in (int, float) for value in values)
    return tuple(sorted(values)) if numbers else values
