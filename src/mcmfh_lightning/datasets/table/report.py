"""What a user reads about a manifest before anything is converted, and whether to convert it."""

from pathlib import Path

from rich.console import Console

from mcmfh_lightning.datasets.table.label_hints import require_labels
from mcmfh_lightning.datasets.table.problems import by_kind, describe_problems, rows_of, write_problems
from mcmfh_lightning.datasets.table.rows import Manifest
from mcmfh_lightning.datasets.wording import counted
from mcmfh_lightning.errors import DataError, without_controls

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
        unread = ", ".join(name or "one without a name" for name in manifest.unread)
        lines.insert(0, f"columns that are not read: {unread}")
    bad, good = len(rows_of(manifest.problems)), len(manifest.candidates)
    rows = counted(bad + good, "row")
    if manifest.halves:
        kept = len(rows_of(manifest.halves))
        title = f"{manifest.path}: one side of {kept:,} of {rows} is bad, and the other side is kept"
        lines += describe_problems(manifest.halves, title, examples=_FEW)
    if bad:
        lines += describe_problems(manifest.problems, f"{manifest.path}: {bad:,} of {rows} {_are(bad)} bad")
    not_written = write_problems(list_file, manifest.problems, manifest.halves, manifest.ids)
    if not_written:
        lines.append(f"no list of all problems: {not_written}")
    elif bad or manifest.halves:
        lines.append(f"all problems are listed in {list_file}")
    for line in lines:
        console.print(without_controls(line), markup=False, highlight=False, soft_wrap=True)
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
    fix = "fix it" if bad == 1 else "fix them"
    return f"{fix} or pass {' or '.join(options)}" if options else fix
