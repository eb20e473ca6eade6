"""Columns of a table as a guess sees them: the words of their names, and what they hold."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mcmfh_lightning.datasets.table.labels import is_numeric, read_state
from mcmfh_lightning.datasets.table.values import is_missing
from mcmfh_lightning.tables import counted

_JOINT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_FEW = 50
"""Most different values of a column of categories in a large table."""


def words_of(name: str) -> tuple[str, ...]:
    """Split the name of a column into words.

    >>> words_of("StudyInstanceUID"), words_of("Finding Labels"), words_of("patient_id")
    (('study', 'instance', 'uid'), ('finding', 'labels'), ('patient', 'id'))
    """
    return tuple(re.findall(r"[^\W\d_]+", _JOINT.sub(" ", name).casefold()))


@dataclass(frozen=True)
class Column:
    """Column of a table.

    Attributes:
        name: Its name.
        cells: The value of each row.
    """

    name: str
    cells: Sequence[object]

    @cached_property
    def words(self) -> frozenset[str]:
        """Words of the name, with and without breaks at capital letters: ``MeSH`` is one word."""
        return frozenset((*words_of(self.name), *words_of(self.name.casefold())))

    @cached_property
    def present(self) -> list[object]:
        """Values that say something."""
        return [cell for cell in self.cells if not is_missing(cell)]

    @cached_property
    def counts(self) -> Counter[str]:
        """Count how often each value occurs, as a string."""
        return Counter(str(cell).strip() for cell in self.present)

    @property
    def missing(self) -> int:
        """Number of rows that say nothing."""
        return len(self.cells) - len(self.present)

    @property
    def is_unique(self) -> bool:
        """Say whether every row has a value of its own."""
        return bool(self.present) and len(self.counts) == len(self.cells)

    @cached_property
    def is_numeric(self) -> bool:
        """Say whether it holds numbers alone."""
        return is_numeric(self.counts)

    @cached_property
    def is_finding(self) -> bool:
        """Say whether it holds 1, 0, -1, true and false alone."""
        return bool(self.counts) and all(read_state(value) is not None for value in self.counts)

    @cached_property
    def words_a_cell(self) -> float:
        """Mean number of words of a value."""
        lengths = [len(cell.split()) if isinstance(cell, str) else 1 for cell in self.present]
        return sum(lengths) / len(lengths) if lengths else 0.0

    @cached_property
    def is_prose(self) -> bool:
        """Say whether it holds sentences: several words, and seldom the same twice."""
        strings = [cell for cell in self.present if isinstance(cell, str)]
        varied = len(self.counts) >= 0.2 * len(self.present)
        return len(strings) == len(self.present) > 0 and self.words_a_cell >= 3 and varied and not self.is_numeric

    @cached_property
    def is_categories(self) -> bool:
        """Say whether it holds a few short words again and again, or lists."""
        if any(isinstance(cell, list) for cell in self.present):
            return True
        if not self.present or self.is_numeric or self.is_finding or self.words_a_cell > 6:
            return False
        return len(self.counts) <= min(_FEW, max(2, len(self.present) // 2))

    def shows(self) -> str:
        """Describe the number of its values.

        >>> Column("group", ["a", "b", "a", ""]).shows()
        '2 values on 3 rows'
        """
        return f"{counted(len(self.counts), 'value')} on {counted(len(self.present), 'row')}"


def quoted(names: Iterable[str], most: int = 4) -> str:
    """List names in quotes, the first few of them.

    >>> quoted(["a", "b", "c"], 2)
    "'a', 'b' and 1 more"
    """
    shown = list(names)
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(map(repr, shown[:most])) + more
