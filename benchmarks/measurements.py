"""Options, rows, files, tables and figures of all benchmarks.

A benchmark yields rows (mappings from column to entry), `record` writes them to a CSV file as they are measured, and
functions of the file alone make tables and figures. So a page can be rendered again without measuring again.
"""

import argparse
import os
import platform
import re
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import pandas as pd
import torch
from matplotlib.figure import Figure
from rich.progress import track

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import atomic_write

Row = Mapping[str, object]
System = TypeVar("System", bound=Hashable)

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
"""Options of a Trainer that only trains."""
ARROWS = {"i2t": "I→T", "t2i": "T→I", "i2i": "I→I", "t2t": "T→T", "i2case": "I→case", "t2case": "T→case"}
"""Searches, the directions of `ranking.csv`, as tables show them."""
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "features": {"required": True, "help": "folder of feature shards"},
    "csv": {"help": "file for the rows"},
    "page": {"help": "Markdown file whose tables are replaced"},
    "plot": {"help": "file for the figure (.svg or .png)"},
    "work": {"help": "folder for what is computed on the way, and not twice; a temporary one if not given"},
}
"""Options that several benchmarks have: all are paths."""


def options(doc: str | None, *shared: str) -> argparse.ArgumentParser:
    """Make the parser of a benchmark, with some of the `OPTIONS`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in shared:
        parser.add_argument(f"--{name}", type=Path, **OPTIONS[name])
    return parser


def report(
    arguments: argparse.Namespace,
    rows: Iterable[Row],
    tables: Callable[[pd.DataFrame], Mapping[str, str]],
    plot: Callable[[Path, pd.DataFrame], None] | None = None,
    *,
    benchmark: str = "",
    **of_file: Sequence[str],
) -> pd.DataFrame:
    """Measure, and write the file, the page and the figure that were asked for; tables are printed in any case.

    Args:
        arguments: Values of the options.
        rows: New rows, measured as they are asked for.
        tables: Renders the tables of the file by part.
        plot: Draws the figure of the file.
        benchmark: Name of the benchmark in the page.
        of_file: Arguments of `record`.

    Returns:
        The rows of the file.

    Raises:
        ValueError: If the page lacks the comments of a part; nothing is measured.
    """
    page, figure = (vars(arguments).get(name) for name in ("page", "plot"))
    if page:
        fill(page.read_text(), benchmark, dict.fromkeys(of_file["parts"], ""))  # refused before minutes pass
    if "packages" in of_file:
        print(machine(*of_file["packages"]))
    found = record(rows, arguments.csv, **of_file)
    rendered = tables(found)
    for part, table in rendered.items():
        print(f"\n### {part}\n\n{table}")
    if page:
        page.write_text(fill(page.read_text(), benchmark, rendered))
    if plot and figure:
        plot(figure, found)
    return found


def take_turns(systems: Mapping[System, Callable[[], float]], turns: int, title: str) -> dict[System, list[float]]:
    """Let systems measure themselves in turns, so that other work of the machine affects all of them.

    Args:
        systems: Functions that measure once, by system.
        turns: How often every system measures.
        title: Title of the progress bar.

    Returns:
        One number a turn, by system.
    """
    found: dict[System, list[float]] = {system: [] for system in systems}
    for _ in track(range(turns), description=title):
        for system, measure in systems.items():
            found[system].append(measure())
    return found


def seconds(run: Callable[[], object]) -> float:
    """Time a function once."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def seconds_each(run: Callable[[], object], runs: int, device: str) -> float:
    """Time a function that runs several times in a row, until the GPU has done all of it; the mean of a run."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def all_runs() -> None:
        for _ in range(runs):
            run()
        wait()

    wait()
    return seconds(all_runs) / runs


def processors(field: str) -> list[str]:
    """Read a field of ``/proc/cpuinfo`` for each processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return [line.split(":")[1].strip() for line in lines if line.startswith(field)]


def machine(*packages: str) -> str:
    """Describe the machine, its load and the versions of packages in one line."""
    models = processors("model name")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{models[0]}, {len(models)} cores, {torch.get_num_threads()} threads, {gpu}; "
        f"Python {platform.python_version()}, {versions}; load {load}"
    )


def read(source: Path | StringIO) -> pd.DataFrame:
    """Read rows of a CSV file: an empty entry is an empty text, and numbers keep all digits (pandas 3.1)."""
    return pd.read_csv(source, keep_default_na=False, na_values=["nan"])


def record(
    rows: Iterable[Row],
    path: Path | None,
    *,
    keys: Sequence[str] = (),
    parts: Sequence[str] = (),
    packages: Sequence[str] = (),
) -> pd.DataFrame:
    """Collect rows, and write them to a CSV file as they are measured, so that a benchmark that stops leaves them.

    Args:
        rows: New rows.
        path: The file, or None to write nothing.
        keys: Columns that name what was measured. Earlier rows of the file stay, except those with the keys of a new
            row. Without keys all earlier rows go.
        parts: Entries of the column ``part``, if the rows have it, in the order of the file.
        packages: Packages for the column ``machine``, which benchmarks of speed have.

    Returns:
        The rows of the file.

    Raises:
        DataError: If there are no new rows.
    """
    old = read(path) if path is not None and path.exists() and keys else pd.DataFrame()
    where = {"machine": machine(*packages)} if packages else {}
    measured: list[dict[str, object]] = []
    text = ""
    for row in rows:
        measured.append({**row, **where})
        table = pd.DataFrame(measured)
        if len(old):
            again = pd.MultiIndex.from_frame(old[[*keys]]).isin(pd.MultiIndex.from_frame(table[[*keys]]))
            table = pd.concat([old[~again].reindex(columns=table.columns, fill_value=""), table])
        if parts and "part" in table:
            table = table.sort_values("part", key=lambda column: column.map(parts.index), kind="stable")
        text = table.to_csv(index=False, lineterminator="\n", na_rep="nan")
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as stream:
                stream.write(text.encode())
    if not measured:
        raise DataError("nothing was measured: name other data, systems or parts")
    return read(StringIO(text))


def spread(rows: pd.DataFrame, lines: Sequence[str], column: str, cell: str = "cell") -> pd.DataFrame:
    """Spread texts over a table, lines and columns in the order of the rows; a missing cell is empty.

    Args:
        rows: At most one row for each cell.
        lines: Columns whose entries name a line of the table.
        column: Column whose entries become the columns of the table.
        cell: Column with the texts.
    """
    indexed = rows.set_index([*lines, column])[cell]
    table = indexed.unstack(fill_value="").reindex(columns=rows[column].unique())
    return table.loc[indexed.index.droplevel(column).unique()].reset_index()


def markdown(table: pd.DataFrame, align: str = "l") -> str:
    """Render a table in Markdown. Cells are not padded: a new number changes no line but its own.

    Args:
        table: Texts.
        align: A letter for each of the first columns, ``l`` or ``r``; further columns are aligned right.
    """
    rule = [{"l": "---", "r": "---:"}[letter] for letter in align.ljust(table.shape[1], "r")]
    lines = [[*table.columns], rule, *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def fill(page: str, benchmark: str, tables: Mapping[str, str]) -> str:
    """Put tables into a page, each between ``<!-- BENCHMARK: PART -->`` and ``<!-- end -->``.

    Raises:
        ValueError: If the page lacks the comments of a part.
    """
    for part, table in tables.items():
        place = re.compile(rf"(<!-- {benchmark}: {part} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not place.search(page):
            raise ValueError(f"the page has no lines '<!-- {benchmark}: {part} -->' and '<!-- end -->': add them")
        page = place.sub(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", page)  # type: ignore[misc]  # bound at once
    return page


def save_figure(figure: Figure, path: Path, name: str) -> None:
    """Write a figure, the same bytes every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
