"""The project file: options of commands that are started in one folder, written there once.

A folder with its ``mcmfh.toml`` may come from elsewhere. Tables and keys are therefore a closed list, see
`mcmfh_lightning.cli.project_keys`, and configs are those of the package.
"""

import shlex
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclopts import App
from cyclopts.argument import ArgumentCollection, update_argument_collection

from mcmfh_lightning.cli.project_keys import TABLES, TOGETHER, WRITTEN, Kind, Value
from mcmfh_lightning.errors import ConfigError, without_controls
from mcmfh_lightning.lightning_configs.compose import known_configs
from mcmfh_lightning.nearest import did_you_mean

PROJECT_FILE = Path("mcmfh.toml")
"""The project file of the working folder; folders above are not looked at."""

UNDECIDED = "undecided"
"""Key of the options that the owner of the data has to choose: see `Project.check_decided`."""


@dataclass(frozen=True)
class Project:
    """Options of one command in a project file.

    Attributes:
        path: The file.
        table: Name of the table.
        options: Value of each option, without the hyphens in front.
        undecided: Options that have to be chosen, each entry one choice, as in ``group-column`` or ``a or b``.
    """

    path: Path
    table: str
    options: Mapping[str, Value]
    undecided: tuple[str, ...] = ()

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
                    f"{self.path}, [{self.table}]: {choice} has to be chosen, and only you know it; remove the # "
                    f"before one of the proposed lines, or pass {options}"
                )

    def announce(self, options: Mapping[str, Value]) -> None:
        """Print the options that are taken from the file, on standard error."""
        if options:
            line = f"{self.path}: {shlex.join(arguments_of(options))}"
            sys.stderr.write(f"{without_controls(line).replace(chr(10), ' ')}\n")


def read_project(program: str, command: str, path: Path = PROJECT_FILE) -> Project | None:
    """Read the options of a command.

    Args:
        program: Such as ``mcmfh-data``.
        command: Such as ``manifest``.
        path: The file.

    Returns:
        The options; None if there is no such file, no such table in it, or the command takes none.

    Raises:
        ConfigError: If the file is not TOML, or has an unknown table, an unknown key or a value of a wrong type.
    """
    if command not in TABLES.get(program, {}):
        return None
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a project file, for it is not UTF-8; save it as UTF-8") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a project file ({_one_line(error)}); correct it, or remove it") from error
    _check_tables(path, content)
    entries = content.get(program, {}).get(command)
    if entries is None:
        return None
    table = f"{program}.{command}"
    choices = entries.pop(UNDECIDED, [])
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise ConfigError(f"{path}, [{table}] {UNDECIDED}: a list of options is expected")
    known = TABLES[program][command]
    options: dict[str, Value] = {}
    for written, value in _flat(entries):
        name = written.replace("_", "-")
        if name not in known:
            near = did_you_mean(name, known)
            raise ConfigError(f"{path}, [{table}]: unknown key {written!r}{near or ';'} keys: {', '.join(known)}")
        options[name] = _checked(f"{path}, [{table}] {written}", value, known[name])
        if name in WRITTEN:
            _check_below(f"{path}, [{table}] {written}", str(value), name)
    return Project(path, table, options, tuple(choices))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check_tables(path: Path, content: Mapping[str, object]) -> None:
    for program, commands in content.items():
        if program not in TABLES or not isinstance(commands, dict):
            known = [f"{name}.{command}" for name, entries in TABLES.items() for command in entries]
            raise ConfigError(
                f"{path}: unknown {'table' if isinstance(commands, dict) else 'key'} {program!r}"
                f"{did_you_mean(program, TABLES) or ';'} tables: {', '.join(f'[{name}]' for name in known)}"
            )
        for command, entries in commands.items():
            if command not in TABLES[program] or not isinstance(entries, dict):
                listed = ", ".join(f"[{program}.{name}]" for name in TABLES[program])
                near = did_you_mean(command, TABLES[program]) or ";"
                raise ConfigError(f"{path}: unknown table [{program}.{command}]{near} tables: {listed}")


def _flat(entries: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """List keys with their values: TOML reads ``data.root`` as a table with a key."""
    for name, value in entries.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _checked(where: str, value: object, kind: Kind) -> Value:
    """Return a value that has the type of its option.

    Raises:
        ConfigError: If it has another.
    """
    if kind == "switch" and isinstance(value, bool):
        return value
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind == "text" and isinstance(value, str):
        return value
    if kind == "texts":
        values = value if isinstance(value, list) else [value]
        if all(isinstance(item, str) for item in values):
            return [str(item) for item in values]
    expected = {
        "switch": "true or false",
        "number": "a whole number",
        "text": 'a text in quotes, "..."',
        "texts": 'a list of texts, ["...", "..."]',
    }
    raise ConfigError(f"{where} = {str(value)[:40]!r}: {expected[kind]} is expected")


def _check_below(where: str, value: str, name: str) -> None:
    """Refuse a folder to write to that is not below the one of the file, which may come from elsewhere.

    Raises:
        ConfigError: If it is not.
    """
    if "://" in value or Path(value).is_absolute() or ".." in Path(value).parts:
        raise ConfigError(f"{where} = {value!r}: not below the folder of the file; pass it by --{name}")


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
    project = read_project(program, " ".join(commands))
    if project is None:
        return
    typed = {name.lstrip("-") for argument in arguments if argument.tokens for name in argument.names}
    project.check_decided(typed)
    options = project.left(typed)
    if isinstance(encoder := options.get("encoder"), str):
        _require_shipped(project, "encoder", encoder)
    project.announce(options)
    update_argument_collection(options, str(project.path), arguments, root_keys=(), allow_unknown=False)


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
    command = arguments[0]
    project = read_project("mcmfh", command)
    if project is None:
        return list(arguments)
    project.check_decided(typed)
    options = project.left(typed)
    if isinstance(config := options.get("config"), str):
        _require_shipped(project, "config", config)
        options = {"config": config, **options}  # first: what comes after it wins
    project.announce(options)
    pythonic = {name.replace("-", "_"): value for name, value in options.items()}
    return [command, *arguments_of(pythonic), *arguments[1:]]


def _require_shipped(project: Project, key: str, name: str) -> None:
    where = f"{project.path}, [{project.table}] {key} = {name!r}"
    if Path(name).exists():
        raise ConfigError(
            f"{where}: a file of this folder, and a project file takes those of the package alone, because such files "
            f"name classes; pass your own by --{key} {shlex.quote(name)}"
        )
    if name not in known_configs():  # not by its path: `..` would lead out of the package
        example = "experiments/mcmfh.yaml" if key == "config" else "model/encoder_offline.yaml"
        raise ConfigError(f"{where}: the package has no such config; correct it, as in {example}")
