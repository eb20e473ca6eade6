"""Problems of the rows of a manifest: what a user reads of them before anything is converted, and the file with all."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from mcmfh_lightning.datasets.table.label_hints import require_labels
from mcmfh_lightning.datasets.table.rows import Manifest, Problem
from mcmfh_lightning.errors import DataError, say, without_controls
from mcmfh_lightning.files import atomic_write
from mcmfh_lightning.tables import counted, listed

_COLUMNS = ["row", "id", "column", "problem", "detail", "fix", "outcome"]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MOST_COLUMNS = 40
EXAMPLES = 20


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
    rows = [*((problem, "row left out") for problem in bad), *((problem, f"{problem.keeps} kept") for problem in kept)]
    try:
        if path.exists() and not _is_ours(path):
            return f"{path} exists and is not a list of problems: name another file by --problems"
        if not rows:
            path.unlink(missing_ok=True)
            return None
        content = io.StringIO(newline="")
        table = csv.writer(content, lineterminator="\n")
        table.writerow(_COLUMNS)
        for (row, reason, fix, detail, column, _), outcome in sorted(rows, key=lambda row: row[0].row):
            cells = (ids.get(row, ""), column or "", reason, detail, fix, outcome)
            # A spreadsheet would run some cells as formulas: they get an apostrophe in front.
            table.writerow([row, *(f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells)])
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as stream:
            # An id or a path may hold bytes that are not characters.
            stream.write(content.getvalue().encode(errors="backslashreplace"))
    except OSError as error:
        return f"{path} cannot be written ({error.strerror or error}): name another file by --problems"
    return None


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline() == f"{','.join(_COLUMNS)}\n".encode()


_FEW = 5
"""Examples of problems that the user knows of and has an option for."""


def report(manifest: Manifest, console: Console, list_file: Path, *, skip_bad_rows: bool) -> None:
    """Print what may be wrong, list it in a file, and stop if rows are bad and may not be skipped.

    Args:
        manifest: What was read.
        console: Where it is printed.
        list_file: The file.
        skip_bad_rows: Whether the other rows are converted all the same.

    Raises:
        DataError: If rows are bad and may not be skipped, none is good, or no good row has a label.
    """
    lines = [f"hint: {hint}" for hint in manifest.hints]
    if manifest.unread:
        unread = listed((name or "one without a name" for name in manifest.unread), _MOST_COLUMNS)
        lines.insert(0, f"columns that are not read: {unread}")
    bad, good = len(rows_of(manifest.problems)), len(manifest.candidates)
    rows = counted(bad + good, "row")
    if manifest.halves:
        kept = len(rows_of(manifest.halves))
        title = f"{manifest.path}: one side of {kept:,} of {rows} is bad, and the other side is kept"
        lines += describe_problems(manifest.halves, title, examples=_FEW)
    if bad:
        lines += describe_problems(manifest.problems, f"{manifest.path}: {bad:,} of {rows} {_are(bad)} bad")
    if not_written := write_problems(list_file, manifest.problems, manifest.halves, manifest.ids):
        lines.append(f"no list of all problems: {not_written}")
    elif bad or manifest.halves:
        lines.append(f"all problems are listed in {list_file}")
    for line in lines:
        say(line, console)
    if bad and not (skip_bad_rows and good):
        kinds = ", ".join(f"{reason}: {len(rows_of(held)):,}" for reason, held in by_kind(manifest.problems).items())
        first = min(manifest.problems, key=lambda problem: problem.row).line(manifest.path)
        raise DataError(
            f"{manifest.path}: {bad:,} of {rows} {_are(bad)} bad ({kinds}), so nothing was written; "
            f"{_fixes(manifest, bad, good)}. The first: {without_controls(first)}"
        )
    if bad and manifest.reading.columns_of_labels:
        require_labels(manifest)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _fixes(manifest: Manifest, bad: int, good: int) -> str:
    """Name the options that would help, and how many rows each converts."""
    options = []
    others = rows_of(problem for problem in manifest.problems if problem.keeps is None)
    for side, option in (("text", "--bad-images keep-text"), ("image", "--bad-texts keep-image")):
        if saved := rows_of(problem for problem in manifest.problems if problem.keeps == side) - others:
            options.append(f"{option} (converts {counted(len(saved), side)} alone)")
    if good:
        options.append(f"--skip-bad-rows (converts {counted(good, 'row')})")
    return " or pass ".join(filter(None, ("fix it" if bad == 1 else "fix them", " or ".join(options))))
