"""Sweeps in the format of Weights & Biases, a YAML document each, and the runs that they declare."""

import hashlib
import itertools
import json
import re
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mcmfh_lightning.errors import DataError, reason

CONFIG, ROOT, SEED, BITS = "config", "data.root", "seed_everything", "model.num_bits"
TRIAL, TEST = "val/", "test/"
"""How the metric's name begins: of a tuning trial, which only fits; of a run that is tested too."""
_KEYS = ("name", "program", "method", "metric", "parameters")
# Flags that were renamed, by their present name: the name of a result keeps the earlier one, so old results are found.
_EARLIER_NAMES = {"model.quantization_weight": "model.quantisation_weight"}


@dataclass(frozen=True)
class Run:
    """The identity of a run.

    Attributes:
        system: Its label.
        metric: What it is judged by.
        parameters: Its flags by their dotted names.
    """

    system: str
    metric: str
    parameters: Mapping[str, Any]

    @property
    def root(self) -> str:
        """Return the folder of its data."""
        return str(self.parameters[ROOT])

    @property
    def declared_bits(self) -> int | None:
        """Return the bits of a code, where declared: methods without codes have none."""
        return self.parameters.get(BITS)

    @property
    def is_trial(self) -> bool:
        """Return whether it is a tuning trial."""
        return self.metric.startswith(TRIAL)

    def name(self, data_name: str, data_key: str) -> str:
        """Name the file of the result; the same parameters on the same data are the same run.

        Args:
            data_name: Name of the data in their dataset.json.
            data_key: Equal for equal data: it replaces the folder, which differs between machines.

        Returns:
            System, data, bits and seed for the eye, then 8 hexadecimal digits of the SHA-256 of the parameters.

        Example:
            >>> Run("TwoTower, pairs", "test/mAP", {"data.root": "/a", "model.num_bits": 16}).name("openi", "")[:26]
            'twotower-pairs-openi-16bit'
        """
        identity = {_EARLIER_NAMES.get(flag, flag): value for flag, value in self.parameters.items()}
        identity[ROOT] = data_key
        if self.is_trial:  # apart from a run of the same parameters that is tested
            identity["metric"] = self.metric
        digest = hashlib.sha256(canonical(identity).encode()).hexdigest()[:8]
        parts = [slug(self.system), slug(data_name)]
        parts += [f"{self.parameters[BITS]}bit"] if BITS in self.parameters else []
        parts += [f"seed{self.parameters[SEED]}"] if SEED in self.parameters else []
        return "-".join([*parts, digest]) + ".json"

    def flags(self) -> list[str]:
        """List the arguments of ``mcmfh fit`` and ``mcmfh test``; the config first, for flags override it."""
        names = [CONFIG, *(name for name in self.parameters if name != CONFIG)]
        return [f"--{name}={written(self.parameters[name])}" for name in names]


@dataclass(frozen=True)
class DeclaredRun(Run):
    """A point of a sweep's grid.

    Attributes:
        where: Its document, for messages.
        goal: Whether the metric should be high (maximize) or low (minimize).
    """

    where: str
    goal: str


@dataclass(frozen=True)
class Sweep:
    """One document of a file: a grid.

    Attributes:
        where: File, number and name of the document, for messages.
        name: Label of the system, or title of the sweep.
        metric: What runs are judged by.
        goal: Whether the metric should be high (maximize) or low (minimize).
        parameters: The values of each flag of `mcmfh`, by its dotted name; plain JSON, each value once.
        command: What an agent of W&B runs, macros as written; empty where the file leaves it out.
    """

    where: str
    name: str
    metric: str
    goal: str
    parameters: Mapping[str, tuple[Any, ...]]
    command: tuple[str, ...]

    def runs(self) -> list[DeclaredRun]:
        """List every combination of the values, as the grid search of W&B runs them."""
        grid = itertools.product(*self.parameters.values())
        points = [dict(zip(self.parameters, values, strict=True)) for values in grid]
        return [DeclaredRun(self.name, self.metric, point, self.where, self.goal) for point in points]

    @property
    def varied(self) -> Mapping[str, tuple[Any, ...]]:
        """Return the values of each flag that has several, numbers ascending; seeds are not a setting."""
        several = {name: values for name, values in self.parameters.items() if len(values) > 1 and name != SEED}
        numbers = {name for name, values in several.items() if all(type(value) in (int, float) for value in values)}
        return {name: tuple(sorted(values)) if name in numbers else values for name, values in several.items()}


def read_runs(path: Path) -> list[DeclaredRun]:
    """Read the runs of a table file, in its order.

    Raises:
        DataError: If the file holds anything but sweeps, lacks a flag that tables go by, or declares something twice.
    """
    return runs_of(read_sweeps(path))


def runs_of(sweeps: Iterable[Sweep]) -> list[DeclaredRun]:
    """List the runs of sweeps, in their order.

    Raises:
        DataError: If a sweep lacks a flag that runs go by, or something is declared twice.
    """
    runs = [run for sweep in sweeps for run in _checked(sweep).runs()]
    seen: dict[Hashable, DeclaredRun] = {}
    for run in runs:
        first = seen.setdefault(run.name("", run.root), run)
        if first is not run:
            raise DataError(f"{run.where}: declares a run of {first.where} again; remove it there or here")
        seed = (run.system, run.root, run.declared_bits, run.parameters.get(SEED))
        first = run if run.is_trial else seen.setdefault(seed, run)
        if first is not run:
            names = dict.fromkeys([*first.parameters, *run.parameters])
            differ = [name for name in names if first.parameters.get(name) != run.parameters.get(name)]
            raise DataError(
                f"{run.where}: two runs of one system, data, bits and seed differ by {', '.join(differ)}; give each a "
                "document and a name of its own"
            )
    return runs


def read_sweeps(path: Path, optional: Collection[str] = ()) -> list[Sweep]:
    """Read and check a file.

    Args:
        path: YAML, one or several documents.
        optional: Keys that a document may have besides the required ones; of these only `command` is looked at.

    Raises:
        DataError: If the file cannot be read, or a document is not such a sweep; the message names document and key.
    """
    try:
        documents = list(yaml.load_all(path.read_text(encoding="utf-8"), _Loader))  # a SafeLoader
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}); correct the path") from error
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML ({' '.join(str(error).split())}); correct it there") from error
    if not documents:
        raise DataError(f"{path}: holds no document; declare at least one sweep")
    return [_sweep(f"{path}: document {number}", content, optional) for number, content in enumerate(documents, 1)]


def canonical(value: object) -> str:
    """Write plain JSON as one string, equal for equal values.

    1, 1.0 and true differ; the order of keys does not matter.

    Raises:
        TypeError: If it is not plain JSON.
        ValueError: If it has an infinite or undefined number.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def written(value: object) -> str:
    """Write a value as jsonargparse reads it: strings as they are, all else as JSON."""
    return value if isinstance(value, str) else canonical(value)


def slug(text: str) -> str:
    """Write text as a part of a file name.

    >>> slug("UCMFH, all views")
    'ucmfh-all-views'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key that is given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  # PyYAML's
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} twice", key.start_mark)
                seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


def _checked(sweep: Sweep) -> Sweep:
    for name in (CONFIG, ROOT):
        if not all(isinstance(value, str) for value in sweep.parameters.get(name, (None,))):
            raise DataError(f"{sweep.where}: parameters: {name} is missing or not a string; every run needs it")
    for name in (SEED, BITS):
        if any(type(value) is not int for value in sweep.parameters.get(name, ())):
            raise DataError(f"{sweep.where}: parameters: {name} must be whole numbers")
    for name in ("run_dir", "ckpt_path"):
        if name in sweep.parameters:
            raise DataError(f"{sweep.where}: parameters: {name} is set by the runner; remove it")
    if not sweep.metric.startswith((TRIAL, TEST)):
        raise DataError(
            f"{sweep.where}: metric: name is {sweep.metric!r}; begin it with {TRIAL} for tuning trials, which only "
            f"fit, or with {TEST} for runs that are tested"
        )
    return sweep


def _sweep(where: str, content: object, optional: Collection[str]) -> Sweep:
    entries = _mapping(where, content, _KEYS, optional)
    name = entries["name"]
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"{where}: name is {name!r}; give the system's label in the table")
    where = f"{where} ({name})"
    if entries["program"] != "mcmfh":
        raise DataError(f"{where}: program is {entries['program']!r}; only mcmfh is run")
    if entries["method"] != "grid":
        raise DataError(
            f"{where}: method is {entries['method']!r}; only grid is run: what other methods try next is chosen by "
            "the server of W&B, so start them with wandb sweep and wandb agent"
        )
    metric = _mapping(f"{where}: metric", entries["metric"], ("name", "goal"))
    if not isinstance(metric["name"], str):
        raise DataError(f"{where}: metric: name is {metric['name']!r}; give the name that `mcmfh` logs")
    if metric["goal"] not in ("maximize", "minimize"):
        raise DataError(f"{where}: metric: goal is {metric['goal']!r}; choose maximize or minimize")
    parameters, command = entries["parameters"], entries.get("command", [])
    if not isinstance(parameters, dict) or not parameters:
        raise DataError(f"{where}: parameters is {parameters!r}; give a mapping of flags to their values")
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise DataError(f"{where}: command is {command!r}; give a list of words, each a string")
    values = {}
    for flag, entry in parameters.items():
        name_of_flag = str(flag).replace("-", "_")  # both spellings are read
        if name_of_flag in values:
            raise DataError(
                f"{where}: parameters: {flag} is there twice, with hyphens and with underscores; remove one"
            )
        values[name_of_flag] = _values(f"{where}: parameters", flag, entry)
    return Sweep(where, name, metric["name"], metric["goal"], values, tuple(command))


def _mapping(where: str, content: object, keys: Sequence[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    """Check that content is a mapping with all of these keys and, apart from optional ones, no others."""
    if not isinstance(content, dict):
        raise DataError(f"{where}: is {type(content).__name__}, not a mapping; give it {', '.join(keys)}")
    for key in content:
        if key not in keys and key not in optional:
            raise DataError(f"{where}: unknown key {key!r}; only {', '.join([*keys, *optional])} are read")
    for key in keys:
        if key not in content:
            raise DataError(f"{where}: lacks the key {key!r}; add it")
    return content


def _values(where: str, flag: object, entry: object) -> tuple[Any, ...]:
    if not isinstance(flag, str) or not flag or flag.startswith("-"):
        raise DataError(f"{where}: {flag!r} is not the dotted name of a flag, such as model.num_bits")
    where = f"{where}: {flag}"
    if not isinstance(entry, dict) or set(entry) not in ({"value"}, {"values"}):
        raise DataError(f"{where}: is {entry!r}; give {{value: x}} or {{values: [x, y]}} and nothing else")
    values = [entry["value"]] if "value" in entry else entry["values"]
    if not isinstance(values, list) or not values:
        raise DataError(f"{where}: values is {values!r}; list at least one")
    try:
        return tuple({canonical(value): value for value in values}.values())
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {error}; give numbers, strings, true, false, null, or lists of them") from error
