"""Tuning trials: what was tried on the validation split, and what it gave."""

from collections.abc import Mapping, Sequence
from math import isnan, nan
from typing import NamedTuple

from mcmfh_lightning.bench.tables.declared import ROOT, DeclaredRun
from mcmfh_lightning.sweeps.result import Result
from mcmfh_lightning.sweeps.sweep_file import canonical


class Trial(NamedTuple):
    """One run of a tuning set."""

    data: str
    system: str
    metric: str
    settings: str
    """The flags that vary within the system's trials."""
    run: bool
    value: float
    """Best value; NaN if it was not run or is undefined."""
    chosen: bool
    """Whether it is the best of its system on its data."""


def trials(runs: Sequence[tuple[DeclaredRun, Result | None]], labels: Mapping[str, str]) -> list[Trial]:
    """The trials of a file, in its order.

    Args:
        runs: Declared trials with their results.
        labels: What the data of each folder are called.
    """
    sets: dict[tuple[str, str, str], list[tuple[DeclaredRun, Result | None]]] = {}
    for run, result in runs:
        sets.setdefault((labels[run.root], run.system, run.metric), []).append((run, result))
    made = []
    for (data, system, metric), members in sets.items():
        values = [nan if result is None or result.best is None else result.best for _, result in members]
        defined = [value for value in values if not isnan(value)]
        best = (min if members[0][0].goal == "minimize" else max)(defined, default=nan)
        varying = _varying([run for run, _ in members])
        for (run, result), value in zip(members, values, strict=True):
            settings = ", ".join(f"{name} {_plain(run.parameters.get(name))}" for name in varying)
            made.append(Trial(data, system, metric, settings, result is not None, value, value == best))
    return made


def _varying(runs: Sequence[DeclaredRun]) -> list[str]:
    names = dict.fromkeys(name for run in runs for name in run.parameters if name != ROOT)
    return [name for name in names if len({canonical(run.parameters.get(name)) for run in runs}) > 1]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else canonical(value)
