"""Problems of the rows of a manifest: what is said of them, and the file that lists them all."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

_COLUMNS = ["row", "id", "column", "problem", "detail", "fix", "outcome"]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
EXAMPLES = 20

Side = Literal["image", "text"]


class Problem(NamedTuple):
    """Something wrong with a row.

    Attributes:
        row: Number of the row.
        reason: What is wrong, as summaries count it.
        fix: What to do about it.
        detail: What exactly is wrong, or nothing.
        column: The column at fault, if one is.
        keeps: The side that could be converted without the one at fault, or nothing.
    """

    row: int
    reason: str
    fix: str
    detail: str = ""
    column: str | None = None
    keeps: Side | None = None

    def line(self, manifest: Path) -> str:
        """Return file, row, column, what is wrong and its fix in one line."""
        column = f", column {self.column!r}" if self.column else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{manifest}, row {self.row}{column}: {self.reason}{detail}; {self.fix}"


def by_kind(problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    """Sort problems into kinds, the most frequent first, and the problems of a kind by row."""
    kinds: dict[str, list[Problem]] = {}
    for problem in sorted(problems, key=lambda problem: problem.row):
        kinds.setdefault(problem.reason, []).append(problem)
    return dict(sorted(kinds.items(), key=lambda kind: -len(kind[1])))


def rows_of(problems: Iterable[Problem]) -> set[int]:
    """Return the numbers of the rows that have a problem."""
    return {problem.row for problem in problems}


def describe_problems(problems: Iterable[Problem], title: str, examples: int = EXAMPLES) -> list[str]:
    """Count each kind of problem, then show examples of every kind.

    Args:
        problems: At least one.
        title: First line.
        examples: How many to show; each kind has one at least.

    Returns:
        Lines. Names of files stand in them whole.
    """
    kinds = by_kind(problems)
    lines = [title, "    rows  first row  problem"]
    for reason, held in kinds.items():
        lines.append(f"{len(rows_of(held)):>8,}  {held[0].row:>9,}  {reason}")
    numbers = _shown([len(held) for held in kinds.values()], examples)
    for (reason, held), shown in zip(kinds.items(), numbers, strict=True):
        lines.append(f"{reason}: {held[0].fix}")
        lines += [f"    {_example(problem)}" for problem in held[:shown]]
        if len(held) > shown:
            lines.append(f"    ... and {len(held) - shown:,} more")
    return lines


def _shown(counts: Sequence[int], examples: int) -> list[int]:
    """Divide the examples: one of each kind, then one more of each until there are enough."""
    shown = [1] * len(counts)
    while sum(shown) < min(examples, sum(counts)):
        for kind, count in enumerate(counts):
            if shown[kind] < count and sum(shown) < examples:
                shown[kind] += 1
    return shown


def _example(problem: Problem) -> str:
    column = f", column {problem.column!r}" if problem.column else ""
    detail = f": {problem.detail}" if problem.detail else ""
    return f"row {problem.row:,}{column}{detail}"


def problems_file(out: Path) -> Path:
    """Return where problems are listed if the user names no file: next to the folder of the shards."""
    folder = out.resolve() if out.name in ("", "..") else out
    return folder.parent / f"{folder.name}-problems.csv"


def write_problems(path: Path, bad: Iterable[Problem], kept: Iterable[Problem], ids: Mapping[int, str]) -> str | None:
    """Write all problems as a table, or remove the table of an earlier run if there are none.

    Args:
        path: The file. One that is not such a table is left as it is.
        bad: What is wrong with rows that are left out.
        kept: What is wrong with rows of which one side is converted.
        ids: The id of each row that has one.

    Returns:
        Why the file could not be written; None if it was.
    """
    rows = [(problem, "row left out") for problem in bad]
    rows += [(problem, f"{problem.keeps} kept") for problem in kept]
    try:
        if path.exists() and not _is_ours(path):
            return f"{path} exists and is not a list of problems: name another file by --problems"
        if not rows:
            path.unlink(missing_ok=True)
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        # An id or a path may hold bytes that are not characters.
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(_COLUMNS)
            for problem, outcome in sorted(rows, key=lambda row: row[0].row):
                name = ids.get(problem.row, "")
                cells = (name, problem.column or "", problem.reason, problem.detail, problem.fix, outcome)
                table.writerow([problem.row, *map(_harmless, cells)])
    except OSError as error:
        return f"{path} cannot be written ({error.strerror or error}): name another file by --problems"
    return None


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline() == f"{','.join(_COLUMNS)}\n".encode()


def _harmless(cell: str) -> str:
    """Write a cell that a spreadsheet would run as a formula with an apostrophe in front."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
