"""Parser of ``mcmfh fit``, ``validate``, ``test`` and ``predict``: how options and configs are read and refused."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import get_loader, set_loader
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_warn

from mcmfh_lightning.cli.options import CONFIGS, hyphenated, options_of, ordered, underscored
from mcmfh_lightning.cli.project import with_project
from mcmfh_lightning.cli.train_messages import MODULES, describe, describe_library, hyphenate, last_part
from mcmfh_lightning.errors import ConfigError, check_words
from mcmfh_lightning.hashers.checkpoints import NO_LONGER, RENAMED
from mcmfh_lightning.lightning_configs import find_configs
from mcmfh_lightning.lightning_configs.compose import known_configs
from mcmfh_lightning.nearest import did_you_mean


class UsageError(ConfigError):
    """A command line or a config that the parser refuses, in its words."""


class OneLineParser(LightningArgumentParser):
    """Parser that raises its errors, and whose help shows options with hyphens."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what is wrong.

        Raises:
            UsageError: If no other parser called this one.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        raise UsageError(message) from ex

    def dump(self, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401  # jsonargparse's
        """Write a configuration that was parsed, which has checked it: to check it again takes longer than to write."""
        if "skip_none" in kwargs:  # the former name, as Lightning has it
            kwargs["skip_unset"] = kwargs.pop("skip_none")
        text: str = super().dump(*args, **kwargs | {"skip_validation": True})
        return text

    def format_help(self, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401  # jsonargparse's
        """Write the help."""
        return hyphenate(super().format_help(*args, **kwargs))


@contextmanager
def usage_errors(args: Sequence[str]) -> Iterator[None]:
    """Say in one line what the parser, Lightning or wandb refuse.

    Args:
        args: The command line, as `read_arguments` gives it.
    """
    command = args[0] if args else ""
    try:
        yield
    except UsageError as error:
        raise ConfigError(describe(str(error), command, args)) from error
    except MisconfigurationException as error:
        raise ConfigError(describe_library(str(error))) from error
    except Exception as error:
        if not type(error).__module__.startswith("wandb"):
            raise
        said = " ".join(str(error).split()).partition(". ")[0]
        raise ConfigError(
            f"wandb: {said}: log in with `wandb login`, set WANDB_MODE=offline, or choose --trainer.logger "
            "logger/csv.yaml"
        ) from error


def read_arguments(args: Sequence[str]) -> list[str]:
    """Write a command line as LightningCLI reads it.

    Options of the project file come first, options get underscores and the names of this version, configs come before
    the options that they would replace, and names of configs of the package become paths. Read again, the result stays
    the same.

    Raises:
        ConfigError: If a config does not exist or cannot be read, a word is not text in the locale of the terminal, or
            the length of a schedule is given, which is linked to the length of the fit and would be replaced silently.
    """
    check_words(args)
    words = [underscored(arg) for arg in with_project(args)]
    flags = (arg.partition("=") for arg in find_configs(ordered(words)))
    read = [(_present_name(name) if name.startswith("--") else name) + equals + value for name, equals, value in flags]
    _check_configs(read[1:])
    if length := next((word for word in read if re.match(r"--[\w.]*lr_scheduler\.(init_args\.)?T_max\b", word)), None):
        given = hyphenated(length.partition("=")[0])
        raise ConfigError(f"{given} is the length of the fit: pass --trainer.max-epochs, and leave this option out")
    return read


def _check_configs(args: Sequence[str]) -> None:
    """Read every config of a command line: jsonargparse does not name a file that is broken.

    Raises:
        ConfigError: If there is no such file, it is not YAML, or what --config names is not a file with options.
    """
    for option, value in options_of(args):
        config, path = option in CONFIGS, Path(value)
        # A section is a file, or the name of a class; a config may be options in YAML.
        if config:
            named = re.fullmatch(r"[^{}\[\]:\n]+", value) is not None
        else:
            named = last_part(option.lstrip("-")) in (*MODULES, "trainer") and value.endswith((".yaml", ".yml"))
        if named and not path.exists():
            near = [str(other) for other in path.parent.glob("*.yaml")]
            raise ConfigError(
                f"{hyphenated(option.lstrip('-'))}: there is no file {value}, here or among the configs of "
                f"the package{did_you_mean(value, [*near, *known_configs()])}"
            )
        if config and value and path.is_dir():
            raise ConfigError(f"--config {value} is a folder: name a YAML file, such as experiments/query_towers.yaml")
        if not path.is_file() or not (config or value.endswith(".yaml")):
            continue
        try:
            content = yaml.safe_load(path.read_bytes())
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
        if config and not isinstance(content, dict):
            held = "is empty" if content is None else "holds no options"
            raise ConfigError(
                f"--config {value} {held}: name a YAML file of options, such as experiments/query_towers.yaml"
            )


_load_yaml = get_loader("yaml")


def _with_present_names(value: Any) -> Any:  # noqa: ANN401  # any content of a config
    """Rename keys of a config that have the name of the version before, and leave out those that are gone; warn."""
    if isinstance(value, list):
        return [_with_present_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    for name in NO_LONGER & value.keys():
        rank_zero_warn(f"{name} is no longer an option and is left out: {NO_LONGER[name]}")
    kept = {name: item for name, item in value.items() if name not in NO_LONGER}
    return {_present_name(name): _with_present_names(item) for name, item in kept.items()}


def _present_name(dotted: str) -> str:
    """Rename the last part of a flag or key if it was renamed; the former names are accepted for one release."""
    owner, dot, name = str(dotted).rpartition(".")
    if name not in RENAMED:
        return dotted
    rank_zero_warn(f"{dotted} is now {owner}{dot}{RENAMED[name]}; the next release drops the old name")
    return owner + dot + RENAMED[name]


set_loader("yaml", lambda text: _with_present_names(_load_yaml(text)), exceptions=(yaml.YAMLError,))
