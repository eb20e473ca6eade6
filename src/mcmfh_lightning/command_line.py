"""What is wrong with a command line, in one line."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from mcmfh_lightning.errors import TRACEBACK_VARIABLE, ConfigError

_FRAME = re.compile(
    r"Expected a <class 'NoneType'>|Does not validate against any of the Union subtypes|Subtypes: |Errors:$"
    r"|Given value|Expected a path but .* not accessible or invalid|$"
)
"""What jsonargparse says beside the point: a type such as ``Hasher | None`` is answered for each of its parts."""


class OneLineParser(LightningArgumentParser):
    """A parser whose errors end in one line, not in a page of options."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong and exit with 2, or raise for a parser that another one calls."""
        if not self.exit_on_error:
            super().error(message, ex)
        if os.environ.get(TRACEBACK_VARIABLE):
            raise ConfigError(message) from ex
        parser = getattr(ex, "subcommand_parser", None) or self
        prog = parser.prog.replace(" [options]", "")
        sys.stderr.write(f"mcmfh: error: {one_line(message)}; options: {prog} --help\n")
        sys.exit(2)


def one_line(message: str) -> str:
    r"""Leave of a message of jsonargparse what tells the user something.

    >>> one_line("Parser key \"model\":\n  Errors:\n    - Option 'colour' is not accepted\n  Given value: x")
    "model: Option 'colour' is not accepted"
    """
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    text = " ".join(line for line in lines if not _FRAME.match(line))
    text = re.sub(r"Problem with given class_path '(?:[^']*\.)?(\w+)':", r"\1:", text)
    return re.sub(r'Parser key "([^"]*)":', r"\1:", text)


def check_configs(args: Sequence[str]) -> None:
    """Read every YAML file that is named: of one that is broken, jsonargparse says the line but not the name.

    Raises:
        ConfigError: If one is not YAML.
    """
    for path in (Path(arg.rpartition("=")[2]) for arg in args if arg.endswith(".yaml")):
        if path.is_file():
            try:
                yaml.safe_load(path.read_bytes())
            except yaml.YAMLError as error:
                raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
