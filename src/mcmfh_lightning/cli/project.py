"""The project file: options of commands that are started in one folder, written there once.

A folder with its ``mcmfh.toml`` may come from elsewhere. Tables and keys are therefore a closed list: no option in it
names a class or deletes, what a command writes is below the folder of the file, and configs are those of the package.
"""

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclopts import App
from cyclopts.argument import ArgumentCollection, update_argument_collection

from mcmfh_lightning.cli.options import options_of
from mcmfh_lightning.cli.project_keys import TABLES, Value, checked
from mcmfh_lightning.errors import ConfigError, without_controls
from mcmfh_lightning.lightning_configs.compose import known_configs
from mcmfh_lightning.nearest import did_you_mean

PROJECT_FILE = Path("mcmfh.toml")
"""The project file of the working folder; folders above are not looked at."""
UNDECIDED = "undecided"
"""Key of the options that the owner of the data has to choose: see `Project.check_decided`."""

_LABELS = ("labels-column", "label-columns", "normal-label", "prefix-labels", "uncertain-is-present")
_DRAWN = ("split-by=group", "split-by=date", "resplit", "no-stratify")
_DROPPED: Mapping[str, Sequence[str]] = {
    "labels-column": ("label-columns", "prefix-labels", "uncertain-is-present", "no-labels", "no-column=labels"),
    "label-columns": ("labels-column", "no-labels", "no-column=labels"),
    "no-labels": _LABELS,
    "no-column=labels": _LABELS,
    "split-by=given": ("resplit", "no-stratify"),
    "split-by=date": ("no-stratify", "split-names"),
    "split-by=group": ("split-names",),
    "resplit": ("split-by=given", "split-names"),
    "no-stratify": ("split-by=given", "split-names"),
    "split-column": _DRAWN,
    "split-names": _DRAWN,
    "features": ("pairs",),
    "pairs": ("features",),
    "run-dir": ("ckpt-path",),  # not the other way round: what continues or measures a run stays in its folder
}
"""What is not taken from the file if an option is typed, because both cannot hold. ``NAME=VALUE`` is that value alone.
In the same way ``--no-column X`` and ``--X-column`` stand against each other."""


def _against(typed: Mapping[str, Sequence[str]]) -> set[str]:
    """Return what of a project file contradicts a command line, as in `_DROPPED`.

    Args:
        typed: See `Project.left`.
    """
    said = {name: values for name, values in typed.items() if list(values) != ["false"]}
    words = {*said, *(f"{name}={value}" for name, values in said.items() for value in values)}
    dropped = {one for word in words for one in _DROPPED.get(word, ())}
    # Where each row is a group, the converter takes the column of ids as --group-column next to --no-column group.
    dropped |= {f"{field}-column" for field in said.get("no-column", ()) if field != "group"}
    return dropped | {f"no-column={name.removesuffix('-column')}" for name in said if name.endswith("-column")}


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

    def left(self, typed: Mapping[str, Sequence[str]]) -> dict[str, Value]:
        """Return the options that the command line does not decide.

        Args:
            typed: Options of the command line, without the hyphens in front, with their values; of a switch they are
                ``true`` or ``false``.
        """
        decided = {*typed, *_against(typed)}
        left: dict[str, Value] = {}
        for name, value in self.options.items():
            if name in decided or f"{name}={value}" in decided:
                continue
            kept = [one for one in value if f"{name}={one}" not in decided] if isinstance(value, list) else value
            if kept != []:
                left[name] = kept
        return left

    def check_decided(self, typed: Mapping[str, Sequence[str]]) -> None:
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

    def take(self, typed: Mapping[str, Sequence[str]]) -> dict[str, Value]:
        """Return the options that the command line does not decide, and print them on standard error.

        Raises:
            ConfigError: If something has to be chosen, or a config is not of the package: a config names classes.
        """
        self.check_decided(typed)
        left = self.left(typed)
        options = {"config": left["config"], **left} if "config" in left else left  # what comes after it wins
        for key, example in (("config", "experiments/query_towers.yaml"), ("encoder", "model/encoder_offline.yaml")):
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
    if not isinstance(choices, list) or not all(
        isinstance(one, str) and known.keys() >= {*one.split(" or ")} for one in choices
    ):
        raise ConfigError(f"{where} {UNDECIDED}: a list of options is expected")
    options: dict[str, Value] = {}
    for written, value in _flat(entries):
        name = written.replace("_", "-")
        if name not in known:
            near = did_you_mean(name, known)
            raise ConfigError(f"{where}: unknown key {written!r}{near or ';'} keys: {', '.join(known)}")
        options[name] = checked(f"{where} {written}", name, value, known[name])
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
        typed = {
            name.lstrip("-"): [token.value or str(token.implicit_value).lower() for token in argument.tokens]
            for argument in arguments
            if argument.tokens
            for name in argument.names
        }
        options = project.take(typed)
        update_argument_collection(options, str(PROJECT_FILE), arguments, root_keys=(), allow_unknown=False)


def with_project(arguments: Sequence[str]) -> list[str]:
    """Put the options of the project file in front of those of a command line of ``mcmfh``, unless it has a config.

    Args:
        arguments: The command line after the program's name.

    Raises:
        ConfigError: If the file names a config that is not of the package: a config names classes.
    """
    typed = {name[2:].replace("_", "-"): [value] for name, value in options_of(arguments) if name.startswith("--")}
    short = {word.partition("=")[0] for word in arguments} & {"-c", "-h"}
    if not arguments or short or typed.keys() & {"config", "help", "print-config"}:
        return list(arguments)
    project = read_project("mcmfh", arguments[0])
    taken = project.take(typed) if project else {}
    pythonic = {name.replace("-", "_"): value for name, value in taken.items()}
    return [arguments[0], *arguments_of(pythonic), *arguments[1:]]
