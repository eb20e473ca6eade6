"""``mcmfh-bench sweep``: the runs that an agent of Weights & Biases would start, without its server."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import yaml

from mcmfh_lightning.errors import DataError, say
from mcmfh_lightning.lightning_configs import find_config
from mcmfh_lightning.sweeps.declared import CONFIG, ROOT, TRIAL, Sweep, read_sweeps, runs_of, written
from mcmfh_lightning.sweeps.result import Data, load_all, make_folder
from mcmfh_lightning.tables import show

_ARGS = "${args}"
"""The agent puts the parameters of a run in its place, as --name=value."""
_COMMAND = "mcmfh fit"
_PLACES = ("run_dir", "trainer.logger")
"""Flags that say where a run writes and logs. They do not identify it, and `mcmfh-bench` has its own."""
_OPTIONAL = ("command", "description", "entity", "project")
"""Keys of a sweep that tables do not have; the last three do not change its runs."""


def sweep(
    file: Path,
    *,
    jobs: int = 1,
    task: int | None = None,
    tasks: int | None = None,
    count: bool = False,
    render: bool = False,
    out: Path | None = None,
) -> None:
    """Run a sweep of Weights & Biases without its server: what has no result yet is fitted, then a table is made.

    FILE is what `wandb sweep` takes (method grid); sweeps/experts_bits.yaml comes with the package.

    Args:
        file: YAML file of the sweep.
        jobs: Runs at a time; they share out the cores.
        task: Number of this task of an array, from 0; it runs its share of the runs and renders nothing.
        tasks: Number of tasks of the array.
        count: Print the number of runs and do nothing else.
        render: Run nothing; render the results that exist.
        out: Folder for results, work, table.md, table.csv and figure; runs/sweep/<name of the file> unless given.
    """
    declared = read_sweep(Path(find_config(str(file))))
    runs = declared.runs()
    if count:
        say(str(len(runs)))
        return
    _check_options(jobs, task, tasks, render=render)
    folder = out or Path("runs/sweep") / file.stem
    chosen = runs[task::tasks]
    folders: dict[str, Data] = {}
    failed: list[str] = []
    results, work = make_folder(folder / "results"), make_folder(folder / "work")
    # Imported here: help should not wait for matplotlib, and what only counts or renders not for torch.
    if not render:
        from mcmfh_lightning.sweeps.runner import fill, read_data

        folders = read_data(chosen)
        failed = fill(chosen, folders, load_all(results), results, work, jobs)
    if task is None:
        from mcmfh_lightning.sweeps.page import FIGURES, summarize, write

        show(*write(folder, summarize(declared, load_all(results), folders), file.name))
        for path in (folder / name for name in ("table.md", "table.csv", *FIGURES)):
            if path.is_file():
                say(str(path))
    if failed:
        raise DataError(f"{len(failed)} of {len(chosen)} runs failed, see their logs: {', '.join(failed)}")


def _check_options(jobs: int, task: int | None, tasks: int | None, *, render: bool) -> None:
    if jobs < 1:
        raise DataError(f"--jobs must be at least 1, got {jobs}")
    if task is None or tasks is None:
        if task != tasks:
            raise DataError("--task and --tasks belong together: pass both, or neither")
    elif render:
        raise DataError("--render makes one page of all runs: leave out --task and --tasks")
    elif not 0 <= task < tasks:
        raise DataError(f"--task must be from 0 to {tasks - 1} of --tasks {tasks}, got {task}; number the array from 0")


def read_sweep(path: Path) -> Sweep:
    """Read and check a file that `wandb sweep` takes.

    Returns:
        The sweep; its parameters are those of the file and the flags of its command.

    Raises:
        DataError: If it holds no such sweep, its runs need the server, or they could not be distinguished or compared.
    """
    sweeps = read_sweeps(path, _OPTIONAL)
    if len(sweeps) > 1:
        raise DataError(f"{path}: holds {len(sweeps)} documents; give each sweep a file of its own")
    sweep = sweeps[0]
    if not sweep.metric.startswith(TRIAL):
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
    runs_of([merged])  # which checks them
    if len(merged.parameters[ROOT]) > 1:
        raise DataError(f"{sweep.where}: parameters: {ROOT} has several values; sweep one data set at a time")
    return merged


def fixed_flags(where: str, command: Sequence[str]) -> dict[str, int | str]:
    """Read the flags that the command gives to every run, without those that say where it writes.

    Args:
        where: The sweep, for messages.
        command: As in the file; may be empty.

    Returns:
        Values by dotted name, with underscores: whole numbers, all else as written.

    Raises:
        DataError: If the command is not `mcmfh fit` with flags and, last, ``${args}``.

    Example:
        >>> fixed_flags("", ["${env}", "mcmfh", "fit", "--trainer.max-epochs=3", "--run-dir=runs/a", "${args}"])
        {'trainer.max_epochs': 3}
    """
    if not command:
        return {}
    where = f"{where}: command"
    _check_launcher(where, command)
    flags: dict[str, int | str] = {}
    words = [word for word in command if word.startswith("--")]
    for word in words:
        name, equals, text = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not name or not equals:
            raise DataError(f"{where}: {word!r} has no value; write it as --name=value in one word")
        if name == CONFIG and word != words[0]:
            raise DataError(f"{where}: --config overrides the flags before it; put it first")
        if name in _PLACES:
            continue
        if name in flags:
            raise DataError(f"{where}: --{name} is given twice; remove one")
        if "${" in text:
            raise DataError(f"{where}: {word!r} holds a macro, which only the agent replaces; write the value")
        flags[name] = int(text) if re.fullmatch(r"0|-?[1-9][0-9]*", text) else text
    return flags


def _check_launcher(where: str, command: Sequence[str]) -> None:
    """Check that the words that are not flags run ``mcmfh fit`` and pass on what follows."""
    if command[-1] != _ARGS:
        raise DataError(f"{where}: ends in {command[-1]!r}; end it in {_ARGS}, so that parameters come last")
    launcher = [word for word in command[:-1] if not word.startswith("--")]
    if _COMMAND not in " ".join(launcher):
        raise DataError(f"{where}: does not run {_COMMAND!r}; only fits are swept")
    for line in launcher:
        if _COMMAND in line and not re.search(rf'{_COMMAND} "\$@"', line):
            raise DataError(f'{where}: {line!r} has to pass on the flags that follow: {_COMMAND} "$@" ...')
    for name in re.findall(r"(?:^|\s)--([\w.-]+)", " ".join(launcher)):
        if name.replace("-", "_") not in _PLACES:
            raise DataError(f"{where}: --{name} is inside another word; write --{name}=value as one of its own")


def _refuse_misread(where: str, value: object) -> None:
    """Refuse a value that an agent and our runner write differently: as Python does (``None``), as JSON (``null``)."""
    text = str(value)
    with suppress(yaml.YAMLError):
        if isinstance(value, str) or yaml.safe_load(text) == yaml.safe_load(written(value)):
            return
    raise DataError(f"{where}: the agent of W&B would pass {value!r} as the text {text!r}; leave it to the config")
