"""Sweeps as Weights & Biases declares them, a YAML document each; of its methods the grid."""

import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from mcmfh_lightning.errors import DataError

KEYS = ("name", "program", "method", "metric", "parameters")
PROGRAM = "mcmfh"
METHOD = "grid"
Goal = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Sweep:
    """One document of a file."""

    where: str
    """File, number and name of the document, for messages."""
    name: str
    metric: str
    goal: Goal
    parameters: Mapping[str, tuple[Any, ...]]
    """The values of each flag of `mcmfh`, by its dotted name; plain JSON, each value once."""
    command: tuple[str, ...] = ()
    """What an agent of W&B runs, macros as written; empty where the file leaves it out."""

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of the values, as the grid search of W&B runs them; the order means nothing."""
        return [
            dict(zip(self.parameters, values, strict=True)) for values in itertools.product(*self.parameters.values())
        ]


def read_sweeps(path: Path, optional: Collection[str] = ()) -> list[Sweep]:
    """Read and check a file.

    Args:
        path: YAML, one or several documents.
        optional: Keys that a document may have besides `KEYS`; of these only `command` is looked at.

    Raises:
        DataError: The file cannot be read, or a document is not such a sweep; the message names document and key.
    """
    try:
        documents = list(yaml.load_all(path.read_text(encoding="utf-8"), _Loader))  # a SafeLoader
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); correct the path") from error
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML ({_in_one_line(error)}); correct it there") from error
    sweeps = [
        _sweep(f"{path}: document {number}", content, optional) for number, content in enumerate(documents, start=1)
    ]
    if not sweeps:
        raise DataError(f"{path}: holds no document; declare at least one sweep")
    return sweeps


def canonical(value: object) -> str:
    """Plain JSON as one string, equal for equal values: 1, 1.0 and true differ, the order of keys does not matter.

    Raises:
        TypeError: It is not plain JSON.
        ValueError: It has an infinite or undefined number.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  # PyYAML's
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} twice", key.start_mark)
                seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


def _in_one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())


def _sweep(where: str, content: object, optional: Collection[str]) -> Sweep:
    entries = _mapping(where, content, KEYS, optional)
    name = entries["name"]
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"{where}: name is {name!r}; give the system's label in the table")
    where = f"{where} ({name})"
    if entries["program"] != PROGRAM:
        raise DataError(f"{where}: program is {entries['program']!r}; only {PROGRAM} is run")
    if entries["method"] != METHOD:
        raise DataError(
            f"{where}: method is {entries['method']!r}; only {METHOD} is run: what other methods try next is chosen by "
            "the server of W&B, so start them with wandb sweep and wandb agent"
        )
    metric = _mapping(f"{where}: metric", entries["metric"], ("name", "goal"))
    if not isinstance(metric["name"], str):
        raise DataError(f"{where}: metric: name is {metric['name']!r}; give the name that `mcmfh` logs")
    if metric["goal"] not in get_args(Goal):
        raise DataError(f"{where}: metric: goal is {metric['goal']!r}; choose {' or '.join(get_args(Goal))}")
    return Sweep(
        where,
        name,
        metric["name"],
        cast(Goal, metric["goal"]),
        _parameters(where, entries["parameters"]),
        _command(where, entries.get("command", [])),
    )


def _command(where: str, content: object) -> tuple[str, ...]:
    if not isinstance(content, list) or not all(isinstance(word, str) for word in content):
        raise DataError(f"{where}: command is {content!r}; give a list of words, each a string")
    return tuple(content)


def _mapping(where: str, content: object, keys: Sequence[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    """A mapping with exactly these keys, and perhaps optional ones."""
    if not isinstance(content, dict):
        raise DataError(f"{where}: is {type(content).__name__}, not a mapping; give it {', '.join(keys)}")
    for key in content:
        if key not in keys and key not in optional:
            raise DataError(f"{where}: unknown key {key!r}; only {', '.join([*keys, *optional])} are read")
    for key in keys:
        if key not in content:
            raise DataError(f"{where}: lacks the key {key!r}; add it")
    return content


def _parameters(where: str, content: object) -> dict[str, tuple[Any, ...]]:
    if not isinstance(content, dict) or not content:
        raise DataError(f"{where}: parameters is {content!r}; give a mapping of flags to their values")
    return {_flag(where, name): _values(f"{where}: parameters: {name}", entry) for name, entry in content.items()}


def _flag(where: str, name: object) -> str:
    if not isinstance(name, str) or not name or name.startswith("-"):
        raise DataError(f"{where}: parameters: {name!r} is no dotted name of a flag, such as model.num_bits")
    return name


def _values(where: str, entry: object) -> tuple[Any, ...]:
    if not isinstance(entry, dict) or set(entry) not in ({"value"}, {"values"}):
        raise DataError(f"{where}: is {entry!r}; give {{value: x}} or {{values: [x, y]}} and nothing else")
    values = [entry["value"]] if "value" in entry else entry["values"]
    if not isinstance(values, list) or not values:
        raise DataError(f"{where}: values is {values!r}; list at least one")
    try:
        return tuple({canonical(value): value for value in values}.values())
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {error}; give numbers, strings, true, false, null, or lists of them") from error
