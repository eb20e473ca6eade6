"""Tables of declared runs: ``python benchmarks/table.py FILE`` renders them, ``--run`` first runs what has no result.

FILE holds sweeps in the format of Weights & Biases (method grid), a document for each row of the tables; see
docs/guides/tables.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rendering.curve import plot_curves
from rendering.page import make_page, markdown, write_csv
from rendering.store import add, read

from mcmfh_lightning.errors import DataError, one_line_errors, say
from mcmfh_lightning.sweeps.declared import read_runs
from mcmfh_lightning.sweeps.result import Data, load_all, make_folder, match


def table(options: argparse.Namespace) -> None:
    """Render the tables of a file; with ``--run``, first run what has no result yet."""
    if options.jobs < 1:
        raise DataError(f"--jobs must be at least 1, got {options.jobs}")
    runs = read_runs(options.file)
    if options.again and not (options.run and options.again in {run.system for run in runs}):
        raise DataError(f"--again {options.again} needs --run, and a system that {options.file} declares")
    # Before the work: a wrong folder is named at once.
    folder = make_folder(options.out or Path("docs/results") / options.file.stem)
    folders: dict[str, Data] = {}
    failed: list[str] = []
    if options.run:
        from mcmfh_lightning.sweeps.runner import fill, read_data  # slow to import

        make_folder(options.results)
        finished = make_folder(options.work / "results")  # a JSON a run, until the command ends
        again = {(run.system, run.root) for run in runs if run.system == options.again}
        stored = [one for one in read(options.results) if (one.system, one.root) not in again]
        folders = read_data(runs)
        try:
            failed = fill(runs, folders, [*stored, *load_all(finished)], finished, options.work, options.jobs)
        finally:  # an interrupt keeps what has finished
            ours = [one for _, one in match(runs, load_all(finished), folders)[1] if one is not None]
            add(options.results, options.file.stem, ours)
            for one in ours:
                (finished / one.file_name).unlink()
    panels, trials = make_page(runs, read(options.results), options.reference, folders)
    (folder / "table.md").write_text(markdown(panels, trials, options.file.name), encoding="utf-8")
    write_csv(folder, panels, trials)
    plot_curves(folder, panels)
    say(str(folder / "table.md"))
    if failed:
        raise DataError(f"{len(failed)} of {len(runs)} runs failed, see their logs: {', '.join(failed)}")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; errors of the package end in one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("file", type=Path, help="declared runs, such as benchmarks/tables/comparison.yaml")
    parser.add_argument("--run", action="store_true", help="fit and test what has no result yet")
    parser.add_argument("--again", metavar="SYSTEM", help="with --run: run this system again though it has results")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; they share out the cores")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"), help="folder of stored results")
    parser.add_argument("--work", type=Path, default=Path("runs/table"), help="folder in which runs write")
    parser.add_argument("--out", type=Path, help="folder of the page; docs/results/<name of the file> unless given")
    parser.add_argument("--reference", help="system that the others are compared with; the first unless given")
    with one_line_errors("table.py"):
        table(parser.parse_args(args))


if __name__ == "__main__":
    main(sys.argv[1:])
