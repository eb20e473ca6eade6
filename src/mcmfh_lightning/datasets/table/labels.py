"""Labels of a row: lists, strings with separators, printed lists, and columns of 1, 0 and -1."""

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import TypeGuard

from mcmfh_lightning.datasets.table.values import BadValueError, is_missing, shortened
from mcmfh_lightning.literals import read_literal

_MAX_LABEL_LENGTH = 200
_SEPARATORS = (";", "|", "\t", " / ", "\uff1b", "\u3001", "\uff0c")
"""Separators of labels; no label holds one of these. A comma may also be a part of a label."""

# Texts that begin or end like a list that a program printed, or hold one: ['a', ...], ("a", ...), {a, ...},
# array(['a']), c("a")
_LISTLIKE = re.compile(r"\[|[({]\s*['\"]|\{.*\}$|[\w.]+\(\s*[\[({'\"]|[^\[]*['\"]\s*\]$|.*\[\s*['\"]", re.DOTALL)
_QUOTED = re.compile(r"[bru]?(['\"]).*\1", re.DOTALL | re.IGNORECASE)
_EMPTY_LIST = re.compile(r"\[\s*\]|\{\s*\}|\w*\(\s*\)|character\(0\)")
_ESCAPE = r"\\(?:['\"\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U000[0-9a-f]{5})"
_ITEM = re.compile(
    rf"(?P<item>'(?:[^'\\]|{_ESCAPE})*'|\"(?:[^\"\\]|{_ESCAPE})*\"|[^\s,'\"\[\](){{}}]+)(?P<gap>\s*,\s*|\s+|$)"
)

_DECIMAL_COMMA = re.compile(r"([-+]?\d+),(\d+)")
_YES_AND_NO = frozenset({"yes", "no", "y", "n", "t", "f"})
_WORDS = (
    "x + - ✓ u positive negative pos neg present absent uncertain mentioned seen found ja nein oui non si sí sim não"
)
_MARKS = frozenset(_WORDS.split())
"""Words that mean 1, 0 or -1 to people. They are not read, but make a column one of a finding and not one of labels."""


@dataclass(frozen=True)
class LabelRules:
    """Rules by which cells become labels.

    Attributes:
        separator: Separator of the labels of a string.
        findings: Columns of which each says whether one finding is there.
        uncertain: Whether -1 counts as present.
        normal: Names of the normal label; all become the first.
        prefixes: What the labels of a column begin with: ``location`` makes ``location: brain`` of ``brain``.
    """

    separator: str = ";"
    findings: frozenset[str] = frozenset()
    uncertain: bool = False
    normal: Sequence[str] = ()
    prefixes: Mapping[str, str] = field(default_factory=dict)

    def read(self, cells: Mapping[str, object], note: Callable[[str], None]) -> tuple[str, ...]:
        """Read the labels of a row: sorted, each once.

        Args:
            cells: Values of the row in the columns of labels.
            note: Takes what had to be assumed, for the summary.

        Raises:
            BadValueError: If a cell is neither a list of labels nor, in a column of a finding, 1, 0 or -1.
        """
        labels: set[str] = set()
        for column, cell in cells.items():
            try:
                found = self._present(column, cell, note) if column in self.findings else self._named(cell, note)
                if prefix := self.prefixes.get(column):
                    found = {f"{prefix}: {label}" for label in found}
                check_labels(found)
            except BadValueError as error:
                raise BadValueError(error.reason, error.fix, error.detail, column) from error
            labels |= found
        if named := labels.intersection(self.normal):
            if named != {self.normal[0]}:
                note(f"another name of the normal label read as {self.normal[0]!r}")
            labels = (labels - named) | {self.normal[0]}
        return tuple(sorted(labels))

    def _present(self, column: str, cell: object, note: Callable[[str], None]) -> set[str]:
        if is_missing(cell):
            return set()
        state = read_state(cell)
        if state is None:
            raise BadValueError(
                "neither 1, 0 nor -1",
                "write 1 for present, 0 for absent, -1 for uncertain, and nothing where it is not mentioned",
                shortened(cell),
            )
        if state == -1:
            note(f"an uncertain finding (-1) read as {'present' if self.uncertain else 'absent'}")
        return {column} if state == 1 or (state == -1 and self.uncertain) else set()

    def _named(self, cell: object, note: Callable[[str], None]) -> set[str]:
        if cell is None or (isinstance(cell, float) and is_missing(cell)):
            return set()
        names = self._split(cell, note) if isinstance(cell, str) else cell
        if not _is_strings(names):
            fix = 'write ["a", "b"], or one string with separators'
            raise BadValueError("labels are not a list of strings", fix, shortened(cell))
        labels = {name.strip() for name in names if name is not None} - {""}
        if not isinstance(cell, str) and any(_is_list(label) for label in labels):
            raise _bad_list(cell)
        if other := self.other_separator(cell):
            note(f"labels that hold {other!r}, which may separate them")
        if words := {label for label in labels if label not in self.normal and is_missing(label)}:
            note("a word for a missing value among the labels")
        return labels - words

    def _split(self, cell: str, note: Callable[[str], None]) -> list[str]:
        text = cell.strip()
        if _EMPTY_LIST.fullmatch(text):
            return []
        parts = [part.strip() for part in text.split(self.separator)]
        if _QUOTED.fullmatch(text) and all(map(_QUOTED.fullmatch, parts)):  # one by one: "a";"b"
            names = [name for part in parts for name in read_printed_list(f"[{part}]")]
        elif _is_list(text):
            names = read_printed_list(text)
        elif len(parts) > 1 and any(map(_is_list, parts)):
            raise _bad_list(cell)
        else:
            return parts
        note("labels read from a printed list")
        return names

    def other_separator(self, cell: object) -> str | None:
        """Return what may separate labels in a cell that is not split there; None if there is nothing such."""
        try:
            names = self._split(cell, lambda note: None) if isinstance(cell, str) else cell
        except BadValueError:
            return None
        if not isinstance(names, list):
            return None
        others = {*_SEPARATORS, self.separator.strip() or self.separator}
        if isinstance(cell, str) and names == [cell.strip()]:  # in a list, or next to a separator, a comma may be text
            others.add(",")
        held = (other for name in names if isinstance(name, str) for other in others if other in name.strip())
        return min(held, default=None)


def check_labels(labels: Iterable[str]) -> None:
    """Check that labels can be stored.

    Raises:
        BadValueError: If one is too long, or has a character that cannot be printed.
    """
    for label in labels:
        if len(label) > _MAX_LABEL_LENGTH or not label.isprintable():
            fix = "labels have 200 printable characters or fewer: correct it"
            raise BadValueError("unusable label", fix, shortened(label))


def _bad_list(cell: object) -> BadValueError:
    fix = "write ['a', 'b'] or [\"a\", \"b\"]"
    return BadValueError("labels look like a list that cannot be read", fix, shortened(cell))


def _is_list(text: str) -> bool:
    """Decide whether a text looks like a list that a program printed, or is in quotes."""
    return _LISTLIKE.match(text) is not None or _QUOTED.fullmatch(text) is not None


def _is_strings(names: object) -> TypeGuard[list[str | None]]:
    return isinstance(names, list) and all(isinstance(name, str | None) for name in names)


def read_printed_list(text: str) -> list[str]:
    r"""Read a list of strings as JSON, Python or NumPy print it. Nothing is evaluated but single string literals.

    Python takes ``['a' 'b']``, which NumPy prints for two strings, for the one string ``ab``: a list with commas
    between some of its strings and not between others is refused.

    Raises:
        BadValueError: If a part of it cannot be read.

    >>> read_printed_list("['pleural effusion', \"Kerley's lines\"]")
    ['pleural effusion', "Kerley's lines"]
    >>> read_printed_list("['a' 'b']")
    ['a', 'b']
    """
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if _is_strings(names):
        return [name for name in names if name is not None]
    pairs = {"[": "]", "(": ")", "{": "}"}
    if pairs.get(text[0]) != text[-1]:
        raise _bad_list(text)
    inside, at, items, gaps = text[1:-1].strip(), 0, [], []
    while at < len(inside):
        match = _ITEM.match(inside, at)
        if match is None:
            raise _bad_list(text)
        items.append(match["item"])
        gaps.append("," in match["gap"])
        at = match.end()
    bare = [item for item in items if item[0] not in "'\""]
    mixed = len(set(gaps[:-1])) > 1 or (len(items) > 1 and gaps[-1] and not gaps[0])
    if mixed or not all(map(is_missing, bare)):
        raise _bad_list(text)
    return [item if item in bare else str(read_literal(partial(ast.literal_eval, item))) for item in items]


def read_state(cell: object) -> int | None:
    """Return 1, 0 or -1 as a cell of a finding says it: 1, 1.0, "1", "1.0", true; None for anything else."""
    word = str(cell).strip().casefold()
    if word in ("true", "false"):
        return int(word == "true")
    number = _number(cell)
    return int(number) if number in (1, 0, -1) and "%" not in word else None


def _number(cell: object) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal):
        return None
    try:
        return float(_DECIMAL_COMMA.sub(r"\1.\2", cell.strip().removesuffix("%")) if isinstance(cell, str) else cell)
    except (ValueError, OverflowError):
        return None


def says_whether(cells: Iterable[object], *, one_of_several: bool) -> bool:
    """Decide whether a column says if a finding is there: at least half of its values are 1, 0, -1, true, yes, ...

    The others are then mistakes to report. A column without a value says that nothing is there.

    Args:
        cells: The values of the column.
        one_of_several: Whether there are other columns of labels. In a single one, "positive" may be a class.
    """
    words = _YES_AND_NO | _MARKS if one_of_several else _YES_AND_NO
    present = [cell for cell in cells if not is_missing(cell)]
    states = sum(
        read_state(cell) is not None or str(cell).strip().casefold().removeprefix("not ") in words for cell in present
    )
    return 2 * states >= len(present)


def is_numeric(cells: Iterable[object]) -> bool:
    """Decide whether a column holds nothing but numbers, one or several in a cell, so that it names no label."""
    parts = [part for cell in cells if not is_missing(cell) for part in _parts(cell)]
    return bool(parts) and all(_number(part) is not None for part in parts)


def _parts(cell: object) -> Iterable[object]:
    """Return what a cell may be made of, whatever separates it: ``1;0;0``, ``[1 0 0]`` and ``["1", "0"]`` alike."""
    if isinstance(cell, list):
        return [part for item in cell if item is not None for part in _parts(item)]
    if isinstance(cell, str) and _number(cell) is None:
        return [part for part in re.split(r"[\s;|,/\uff1b\u3001\uff0c'\"()\[\]{}]+", cell) if part]
    return [cell]
