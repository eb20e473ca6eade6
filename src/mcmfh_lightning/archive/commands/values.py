"""Options that take one value, or several as a list in brackets: ``--splits test``, ``--splits [train,val]``."""

from collections.abc import Sequence
from typing import TypeVar

from mcmfh_lightning.datamodules.shards.info import Split
from mcmfh_lightning.errors import ConfigError

T = TypeVar("T", bound=str | int)
Names = str | list[str] | None
Splits = Split | list[Split] | None


def listed(values: T | Sequence[T] | None) -> tuple[T, ...]:
    """The values of such an option.

    Raises:
        ConfigError: If a list was read as one text, for an entry of it is a number or the like to YAML.

    >>> listed(None), listed("a"), listed(["a", "b"])
    ((), ('a',), ('a', 'b'))
    """
    if values is None:
        return ()
    if isinstance(values, str) and values.startswith("[") and values.endswith("]"):
        raise ConfigError(f"{values}: an entry is no text, such as a number: put each in quotes, as ['12', '013']")
    return (values,) if isinstance(values, str | int) else tuple(values)
