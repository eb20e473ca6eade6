"""Which array of a file holds what."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mcmfh_lightning.errors import DataError

Array = NDArray[Any]

_LISTED = 12
"""Names of a file that a message shows at most."""


@dataclass(frozen=True)
class Keys:
    """Names under which a file holds its arrays.

    Args:
        codes: name of the codes.
        labels: name of the label sets.
        groups: name of the groups; null leaves them out.
        ids: name of the ids; null leaves them out.
    """

    codes: str = "codes"
    labels: str = "labels"
    groups: str | None = "groups"
    ids: str | None = "ids"

    def names_in(self, path: Path, names: Collection[str]) -> list[str]:
        """Choose what is read of a file.

        Args:
            path: The file, for messages.
            names: All that it holds.

        Returns:
            Names of the codes, of the labels, and of the groups and ids that are there.

        Raises:
            DataError: If codes or labels are missing, or groups or ids under a name that the user gave.
        """
        wanted = {key: name for key, name in asdict(self).items() if name is not None}
        for key, name in wanted.items():
            if name not in names and (key in ("codes", "labels") or name != getattr(KEYS, key)):
                raise DataError(
                    f"{path}: has no {name}; it holds {_listed(names)}: add {key} under this name, or pass another "
                    f"with --query-keys.{key} or --database-keys.{key}"
                )
        return [name for name in dict.fromkeys(wanted.values()) if name in names]

    def where(self, path: Path, key: str) -> str:
        """Say for a message what is meant.

        Args:
            path: The file.
            key: ``codes``, ``labels``, ``groups`` or ``ids``.

        Returns:
            File and key, and the array's own name where it differs.
        """
        name = asdict(self)[key]
        return f"{path}: {key}" if name == key else f"{path}: {key} ({name})"


KEYS = Keys()
"""The names that files have where the user gives no others."""


def _listed(names: Collection[str]) -> str:
    shown = sorted(names)[:_LISTED]
    more = [f"{len(names) - _LISTED} more"] if len(names) > _LISTED else []
    return ", ".join(shown + more) or "nothing"
