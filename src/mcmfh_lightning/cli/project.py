"""The project file: options of commands that are started in one folder, written there once.

A folder with its ``mcmfh.toml`` may come from elsewhere. Tables and keys are therefore a closed list: no option in it
names a class or deletes, what a command writes is below the folder of the file, and configs are those of the package.
"""

import re
import shlex
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from cyclopts import App
from cyclopts.argument import ArgumentCollection, update_argument_collection

from mcmfh_lightning.errors import ConfigError, without_controls
from mcmfh_lightning.lightning_configs.compose import known_configs
from mcmfh_lightning.nearest import did_you_mean

PROJECT_FILE = Path("mcmfh.toml")
"""The project file of the working folder; folders above are not looked at."""
UNDECIDED = "undecided"
"""Key of the options that the owner of the data has to choose: see `Project.check_decided`."""

Value = bool | int | str | list[str]
Kind = Literal["text", "texts", "number", "switch"]

_ARCHIVE: Mapping[str, Kind] = {"archive": "text", "device": "text"}
_ADD: Mapping[str, Kind] = {**_ARCHIVE, "features": "text", "pairs": "text", "splits": "texts", "checkpoint": "text"}
_RUN: Mapping[str, Kind] = {
    **dict.fromkeys(("config", "data.root", "run-dir", "trainer.accelerator", "model.supervision"), "text"),
    **dict.fromkeys(("seed-everything", "trainer.devices", "trainer.max-epochs", "model.num-bits"), "number"),
    **dict.fromkeys(("data.batch-size", "data.global-batch-size", "data.num-workers"), "number"),
}
_MANIFEST: Mapping[str, Kind] = {
    **dict.fromkeys(("manifest", "images", "out", "name", "source", "licence", "encoding", "delimiter"), "text"),
    **dict.fromkeys((f"{name}-column" for name in ("id", "image", "text", "labels", "group", "date")), "text"),
    **dict.fromkeys((f"{name}-column" for name in ("split", "source", "licence")), "text"),
    **dict.fromkeys(("label-separator", "split-by", "resplit", "drop-labels", "bad-images", "bad-texts"), "text"),
    **dict.fromkeys(("label-columns", "normal-label", "date-format", "split-names", "no-column"), "texts"),
    **dict.fromkeys(("uncertain-is-present", "no-labels", "prefix-labels", "no-stratify", "skip-bad-rows"), "switch"),
    **dict.fromkeys(("seed", "min-label-count"), "number"),
}
TABLES: Mapping[str, Mapping[str, Mapping[str, Kind]]] = {
    "mcmfh-data": {
        "manifest": _MANIFEST,
        "verify": {"folder": "text"},
        "stats": {"folder": "text", "out": "text"},
    },
    "mcmfh": {
        "predict": {**_RUN, "model.output-dir": "text"},
        **{command: {**_RUN, "ckpt-path": "text"} for command in ("fit", "validate", "test")},
    },
    "mcmfh-archive": {
        "build": {**_ADD, "encoder": "text", "store-content": "switch", "without-relaxed": "switch"},
        "add": _ADD,
        "upsert": _ADD,
        "delete": {"archive": "text"},
        "info": {"archive": "text"},
        "verify": {"archive": "text", "features": "text", "pairs": "text"},
        "search": {**_ARCHIVE, "k": "number", "rerank": "number", "against": "text", "index": "text"},
        "serve": {**_ARCHIVE, "port": "number"},
    },
}
"""Options that a project file may hold, by program and command."""

WRITTEN = frozenset(("out", "run-dir", "model.output-dir", "archive"))
"""Folders that commands write to."""

TOGETHER = (
    frozenset(("labels-column", "label-columns", "no-labels", "normal-label", "prefix-labels", "uncertain-is-present")),
    frozenset(("features", "pairs")),
    frozenset(("split-by", "split-names", "resplit", "no-stratify")),
    frozenset(("run-dir", "ckpt-path")),
)
"""Options that belong together: if one is typed, the others are not taken from the file."""


@dataclass(frozen=True)
class Project:
    """Options of one command in a project file.

    Attributes:
        where: File and table, for messages.
        options: Value of each option, without the hyphens in front.
        undecided: Options that have to be chosen, each entry one choice, as in ``group-column`` or ``a or b``.
    """

    where: str
    options: Mapping[str, Value]
    undecided: Sequence[str] = ()

    def left(self, typed: Collection[str]) -> dict[str, Value]:
        """Return the options that the command line does not decide.

        Args:
            typed: Names of the options on the command line, without the hyphens in front.
        """
        decided = set(typed).union(*(group for group in TOGETHER if group & set(typed)))
        if "no-column" in typed:  # of which column is not known here
            decided |= {name for name in self.options if name.endswith("-column")} - {"id-column", "group-column"}
        return {name: value for name, value in self.options.items() if name not in decided}

    def check_decided(self, typed: Collection[str]) -> None:
        """Refuse a command as long as something that its table cannot know is not chosen.

        Raises:
            ConfigError: If none of the options of a choice is in the file or on the command line.
        """
        for choice in self.undecided:
            names = choice.split(" or ")
            if not {*names} & {*typed, *self.options}:
                options = " or ".join(f"--{name}" for name in names)
                raise ConfigError(
                    f"{self.where}: {choice} has to be chosen, and only you know it; remove the # "
                    f"before one of the proposed lines, or pass {options}"
                )

    def take(self, typed: Collection[str]) -> dict[str, Value]:
        """Return the options that the command line does not decide, and print them on standard error.

        Raises:
            ConfigError: If something has to be chosen, or a config is not of the package: a config names classes.
        """
        self.check_decided(typed)
        left = self.left(typed)
        options = {"config": left["config"], **left} if "config" in left else left  # what comes after it wins
        for key, example in (("config", "experiments/mcmfh.yaml"), ("encoder", "model/encoder_offline.yaml")):
            if key not in options:
                continue
            name = str(options[key])
            where = f"{self.where} {key} = {name!r}"
            if Path(name).exists():
                raise ConfigError(
                    f"{where}: a file of this folder, and a project file takes those of the package alone, because "
                    f"such files name classes; pass your own by --{key} {shlex.quote(name)}"
                )
            if name not in known_configs():  # not by its path: `..` would lead out of the package
                raise ConfigError(f"{where}: the package has no such config; correct it, as in {example}")
        if options:
            line = f"{PROJECT_FILE}: {shlex.join(arguments_of(options))}"
            sys.stderr.write(f"{without_controls(line).replace(chr(10), ' ')}\n")
        return options


def read_project(program: str, command: str) -> Project | None:
    """Read the options of one command from the project file.

    Args:
        program: Such as ``mcmfh-data``.
        command: Such as ``manifest``.

    Returns:
        The options; None if there is no such file, no such table in it, or the command takes none.

    Raises:
        ConfigError: If the file is not TOML, has an unknown table, an unknown key or a value of a wrong type, or names
            a folder to write to that is not below its own.
    """
    known = TABLES.get(program, {}).get(command)
    if known is None:
        return None
    try:
        content = tomllib.loads(PROJECT_FILE.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{PROJECT_FILE}: not a project file, for it is not UTF-8; save it as UTF-8") from error
    except (OSError, ValueError, RecursionError) as error:
        said = _set_twice(str(error)) or " ".join(str(error).split())
        raise ConfigError(f"{PROJECT_FILE}: not a project file ({said}); correct it, or remove it") from error
    _check_tables(content)
    entries = content.get(program, {}).get(command)
    if entries is None:
        return None
    where = f"{PROJECT_FILE}, [{program}.{command}]"
    choices = entries.pop(UNDECIDED, [])
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise ConfigError(f"{where} {UNDECIDED}: a list of options is expected")
    options: dict[str, Value] = {}
    for written, value in _flat(entries):
        name = written.replace("_", "-")
        if name not in known:
            near = did_you_mean(name, known)
            raise ConfigError(f"{where}: unknown key {written!r}{near or ';'} keys: {', '.join(known)}")
        options[name] = _checked(f"{where} {written}", value, known[name])
        path = Path(str(value))
        # The file may come from elsewhere.
        if name in WRITTEN and ("://" in str(value) or path.is_absolute() or ".." in path.parts):
            raise ConfigError(f"{where} {written} = {value!r}: not below the folder of the file; pass it by --{name}")
    return Project(where, options, choices)


_KEY = re.compile(r"""\s*((?:[\w.-]|"[^"]*"|'[^']*')+)\s*=""")


def _set_twice(said: str) -> str:
    """Name the key where the parser says that a value is overwritten; nothing where it says something else."""
    found = re.fullmatch(r"Cannot overwrite a value \(at (?:line (\d+), .*|end of document)\)", said)
    if found is None:
        return ""
    lines = PROJECT_FILE.read_text(encoding="utf-8-sig").split("\n")[: int(found[1]) if found[1] else None]
    keys = [(number, key[1]) for number, line in enumerate(lines, 1) if (key := _KEY.match(line))]
    return "".join(f"line {number} sets {key} a second time" for number, key in keys[-1:])  # a list may end lower


def _check_tables(content: Mapping[str, object]) -> None:
    for program, commands in content.items():
        if program not in TABLES or not isinstance(commands, dict):
            known = [f"{name}.{command}" for name, entries in TABLES.items() for command in entries]
            raise ConfigError(
                f"{PROJECT_FILE}: unknown {'table' if isinstance(commands, dict) else 'key'} {program!r}"
                f"{did_you_mean(program, TABLES) or ';'} tables: {', '.join(f'[{name}]' for name in known)}"
            )
        for command, entries in commands.items():
            if command not in TABLES[program] or not isinstance(entries, dict):
                listed = ", ".join(f"[{program}.{name}]" for name in TABLES[program])
                near = did_you_mean(command, TABLES[program]) or ";"
                raise ConfigError(f"{PROJECT_FILE}: unknown table [{program}.{command}]{near} tables: {listed}")


def _flat(entries: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """List keys with their values: TOML reads ``data.root`` as a table with a key."""
    for name, value in entries.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


_KINDS: Mapping[Kind, tuple[type, str]] = {
    "switch": (bool, "true or false"),
    "number": (int, "a whole number"),
    "text": (str, 'a text in quotes, "..."'),
    "texts": (list, 'a list of texts, ["...", "..."]'),
}


def _checked(where: str, value: object, kind: Kind) -> Value:
    """Return a value that has the type of its option; one text alone is a list of it.

    Raises:
        ConfigError: If it has another.
    """
    if kind == "texts" and isinstance(value, str):
        return [value]
    of_type, expected = _KINDS[kind]
    if type(value) is of_type and all(isinstance(item, str) for item in (value if isinstance(value, list) else ())):
        return cast("Value", value)
    raise ConfigError(f"{where} = {str(value)[:40]!r}: {expected} is expected")


def arguments_of(options: Mapping[str, Value]) -> list[str]:
    """Write options as a command line has them: lists repeat the option, switches stand alone.

    >>> arguments_of({"labels": ["a", "b"], "k": 5, "erase": False, "any": True})
    ['--labels', 'a', '--labels', 'b', '--k', '5', '--any']
    """
    arguments: list[str] = []
    for name, value in options.items():
        if isinstance(value, bool):
            arguments += [f"--{name}"] * value
            continue
        for item in value if isinstance(value, list) else [value]:
            text = str(item)
            arguments += [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]
    return arguments


def take_project(program: str, _: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give the options of a command that are not on the command line the values of the project file.

    Args:
        program: Such as ``mcmfh-data``.
        _: The parser.
        commands: The command.
        arguments: Its options, with the values of the command line.
    """
    if project := read_project(program, " ".join(commands)):
        typed = {name.lstrip("-") for argument in arguments if argument.tokens for name in argument.names}
        options = project.take(typed)
        update_argument_collection(options, str(PROJECT_FILE), arguments, root_keys=(), allow_unknown=False)


def with_project(arguments: Sequence[str]) -> list[str]:
    """Put the options of the project file in front of those of a command line of ``mcmfh``, unless it has a config.

    Args:
        arguments: The command line after the program's name.

    Raises:
        ConfigError: If the file names a config that is not of the package: a config names classes.
    """
    typed = {word[2:].partition("=")[0].replace("_", "-") for word in arguments if word.startswith("--")}
    short = {word.partition("=")[0] for word in arguments} & {"-c", "-h"}
    if not arguments or short or typed & {"config", "help", "print-config"}:
        return list(arguments)
    project = read_project("mcmfh", arguments[0])
    taken = project.take(typed) if project else {}
    pythonic = {name.replace("-", "_"): value for name, value in taken.items()}
    return [arguments[0], *arguments_of(pythonic), *arguments[1:]]
