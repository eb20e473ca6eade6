"""The runs that a table file declares, each with the name of its result."""

import hashlib
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps.sweep_file import Goal, Sweep, canonical, read_sweeps

CONFIG, ROOT, SEED, BITS = "config", "data.root", "seed_everything", "model.num_bits"
PUBLISHED = "_published.yaml"
"""How the name of a config ends that has the settings of a method's authors."""
_RESERVED = ("run_dir", "ckpt_path")
"""Flags that the runner sets."""
TRIAL, TEST = "val/", "test/"
"""How the metric's name begins: of a tuning trial, which only fits; of a run that is tested too."""


def is_trial(metric: str) -> bool:
    """Whether a run of this metric is a tuning trial."""
    return metric.startswith(TRIAL)


@dataclass(frozen=True)
class DeclaredRun:
    """A point of a sweep's grid."""

    where: str
    system: str
    metric: str
    goal: Goal
    parameters: Mapping[str, Any]

    @property
    def root(self) -> str:
        """The folder of its data."""
        return str(self.parameters[ROOT])

    @property
    def num_bits(self) -> int | None:
        """Bits of a code, where declared: methods without codes have none."""
        return self.parameters.get(BITS)

    @property
    def is_published(self) -> bool:
        """Whether its config has the settings of the method's authors."""
        return str(self.parameters[CONFIG]).endswith(PUBLISHED)

    def file_name(self, data_name: str, data_key: str) -> str:
        """Name of its result; see the function of this name."""
        return file_name(self.system, self.metric, self.parameters, data_name, data_key)

    def flags(self) -> list[str]:
        """Arguments of ``mcmfh fit`` and ``mcmfh test``; the config first, for flags override it."""
        names = [CONFIG, *(name for name in self.parameters if name != CONFIG)]
        return [f"--{name}={written(self.parameters[name])}" for name in names]


def read_runs(path: Path) -> list[DeclaredRun]:
    """The runs of a table file, in its order.

    Raises:
        DataError: The file is no list of sweeps, lacks a flag that tables go by, or declares something twice.
    """
    return runs_of(read_sweeps(path))


def runs_of(sweeps: Iterable[Sweep]) -> list[DeclaredRun]:
    """The runs of sweeps, in their order.

    Raises:
        DataError: A sweep lacks a flag that runs go by, or something is declared twice.
    """
    runs = [
        DeclaredRun(sweep.where, sweep.name, sweep.metric, sweep.goal, parameters)
        for sweep in sweeps
        for parameters in _checked(sweep).grid()
    ]
    _refuse_repeated(runs)
    return runs


def file_name(system: str, metric: str, parameters: Mapping[str, Any], data_name: str, data_key: str) -> str:
    """Name of the result of a run.

    The same parameters on the same data are the same run, wherever the data lie.

    Args:
        system: Label of the system.
        metric: Of the sweep.
        parameters: Of the run.
        data_name: Name of the data in their dataset.json.
        data_key: Equal for equal data: stands for the folder.

    Returns:
        System, data, bits and seed for the eye, then 8 hexadecimal digits of the SHA-256 of the parameters.

    Example:
        >>> file_name("TwoTower, pairs", "test/mAP", {"data.root": "/a", "model.num_bits": 16}, "openi", "")[:26]
        'twotower-pairs-openi-16bit'
    """
    identity = dict(parameters) | {ROOT: data_key}
    if is_trial(metric):  # apart from a run of the same parameters that is tested
        identity["metric"] = metric
    digest = hashlib.sha256(canonical(identity).encode()).hexdigest()[:8]
    parts = [slug(system), slug(data_name)]
    parts += [f"{parameters[BITS]}bit"] if BITS in parameters else []
    parts += [f"seed{parameters[SEED]}"] if SEED in parameters else []
    return "-".join([*parts, digest]) + ".json"


def slug(text: str) -> str:
    """Text as a part of a file name.

    >>> slug("UCMFH, all views")
    'ucmfh-all-views'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def written(value: object) -> str:
    """As jsonargparse reads it: strings stand for themselves, all else is JSON."""
    return value if isinstance(value, str) else canonical(value)


def _checked(sweep: Sweep) -> Sweep:
    for name in (CONFIG, ROOT):
        if not all(isinstance(value, str) for value in sweep.parameters.get(name, (None,))):
            raise DataError(f"{sweep.where}: parameters: {name} is missing or no string; every run needs it")
    for name in (SEED, BITS):
        if any(type(value) is not int for value in sweep.parameters.get(name, ())):
            raise DataError(f"{sweep.where}: parameters: {name} must be whole numbers")
    for name in _RESERVED:
        if name in sweep.parameters:
            raise DataError(f"{sweep.where}: parameters: {name} is set by the runner; remove it")
    if not sweep.metric.startswith((TRIAL, TEST)):
        raise DataError(
            f"{sweep.where}: metric: name is {sweep.metric!r}; begin it with {TRIAL} for tuning trials, which only "
            f"fit, or with {TEST} for runs that are tested"
        )
    return sweep


def _refuse_repeated(runs: Sequence[DeclaredRun]) -> None:
    """Refuse a run declared twice, and two runs that would be the same seed of the same row."""
    for first, again in _repeated(runs, lambda run: run.file_name("", run.root)):
        raise DataError(f"{again.where}: declares a run of {first.where} again; remove it there or here")
    tested = [run for run in runs if not is_trial(run.metric)]
    for first, again in _repeated(tested, lambda run: (run.system, run.root, run.num_bits, run.parameters.get(SEED))):
        names = [*dict.fromkeys([*first.parameters, *again.parameters])]
        differ = [name for name in names if first.parameters.get(name) != again.parameters.get(name)]
        raise DataError(
            f"{again.where}: two runs of one system, data, bits and seed differ by {', '.join(differ)}; give each a "
            "document and a name of its own"
        )


def _repeated(
    runs: Iterable[DeclaredRun], key: Callable[[DeclaredRun], Hashable]
) -> Iterator[tuple[DeclaredRun, DeclaredRun]]:
    """Runs of an equal key: the first with each that comes later."""
    seen: dict[Hashable, DeclaredRun] = {}
    for run in runs:
        first = seen.setdefault(key(run), run)
        if first is not run:
            yield first, run
