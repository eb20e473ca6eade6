"""Options that take one value, or several as a list in brackets: ``--splits test``, ``--splits [train,val]``."""

from collections.abc import Sequence
from typing import TypeVar, cast

import yaml

from mcmfh_lightning.datamodules.shards.info import Split
from mcmfh_lightning.errors import ConfigError

T = TypeVar("T", bound=str)
Names = str | list[str] | None
Splits = Split | list[Split] | None


def listed(values: T | Sequence[T] | None) -> tuple[T, ...]:
    """Return the values of such an option; numbers are texts too, as they are written.

    Raises:
        ConfigError: If a list in brackets cannot be read as one of texts.

    >>> listed(None), listed("a"), listed(["a", "b"]), listed("[007, P-1]")
    ((), ('a',), ('a', 'b'), ('007', 'P-1'))
    """
    if values is None:
        return ()
    if isinstance(values, str):
        # What jsonargparse leaves as one text is a list of which YAML reads an entry as a number, or the like.
        in_brackets = values.startswith("[") and values.endswith("]")
        return tuple(cast(list[T], _entries(values))) if in_brackets else (values,)
    return tuple(values)


def _entries(text: str) -> list[str]:
    try:
        entries = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # makes texts and lists of them alone, 007 stays 007
    except yaml.YAMLError:
        entries = None
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ConfigError(f"{text} is not a list such as [a, b]: put entries with brackets, commas or colons in quotes")
    return entries
