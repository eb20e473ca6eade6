"""``mcmfh-bench table``."""

from pathlib import Path

from rich.console import Console

from mcmfh_lightning.bench.tables.csv_files import write_files
from mcmfh_lightning.bench.tables.curve import plot_curves
from mcmfh_lightning.bench.tables.declared import read_runs
from mcmfh_lightning.bench.tables.markdown import markdown
from mcmfh_lightning.bench.tables.page import make_page
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps.result import Data, load_all


def table(
    file: Path,
    *,
    run: bool = False,
    jobs: int = 1,
    results: Path = Path("benchmarks/results"),
    work: Path = Path("runs/table"),
    out: Path | None = None,
    reference: str | None = None,
) -> None:
    """Render the comparison tables of declared runs; with --run, first run what has no result yet.

    FILE holds sweeps in the format of Weights & Biases (method grid), a document for each row of the tables.

    Args:
        file: YAML file of declared runs, such as benchmarks/tables/comparison.yaml.
        run: fit and test what has no result yet.
        jobs: runs at a time; they share out the cores.
        results: folder of the results, a json for each run.
        work: folder in which runs write.
        out: folder for table.md, table.csv and figures; docs/results/<name of the file> unless given.
        reference: system that the others are compared with; the first of the file unless given.
    """
    if jobs < 1:
        raise DataError(f"--jobs must be at least 1, got {jobs}")
    runs = read_runs(file)
    folder = Path("docs/results") / file.stem if out is None else out
    for made in [folder, *([results, work] if run else [])]:  # before the work: a wrong folder is told at once
        make_folder(made)
    folders: dict[str, Data] = {}
    failed: list[str] = []
    if run:
        # Here, not above: what only renders should not wait for Lightning.
        from mcmfh_lightning.sweeps.runner import fill, read_data

        folders = read_data(runs)
        failed = fill(runs, folders, load_all(results), results, work, jobs)
    page = make_page(runs, load_all(results), reference, folders)
    (folder / "table.md").write_text(markdown(page, file.name), encoding="utf-8")
    write_files(folder, page)
    plot_curves(folder, page)
    Console().print(f"{folder / 'table.md'}", markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise DataError(f"{len(failed)} of {len(runs)} runs failed, see their logs: {', '.join(failed)}")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        DataError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}); correct the path") from error
