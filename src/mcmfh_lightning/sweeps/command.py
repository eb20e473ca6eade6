"""``mcmfh-bench sweep``."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from mcmfh_lightning.bench.tables.command import make_folder
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps.declared import DeclaredSweep, read_sweep
from mcmfh_lightning.sweeps.figure import figure_of, save
from mcmfh_lightning.sweeps.page import markdown, screen_table, summarise, write_csv
from mcmfh_lightning.sweeps.result import Data, load_all


def sweep(
    file: Path,
    *,
    jobs: int = 1,
    task: int | None = None,
    tasks: int | None = None,
    count: bool = False,
    render: bool = False,
    out: Path | None = None,
) -> None:
    """Run a sweep of Weights & Biases without its server: what has no result yet is fitted, then a table is made.

    FILE is what `wandb sweep` takes (method grid); sweeps/experts_bits.yaml comes with the package.

    Args:
        file: YAML file of the sweep.
        jobs: runs at a time; they share out the cores.
        task: number of this task of an array, from 0; it runs its share of the runs and renders nothing.
        tasks: number of tasks of the array.
        count: print the number of runs and do nothing else.
        render: run nothing; render what is there.
        out: folder for results, work, table.md, table.csv and figure; runs/sweep/<name of the file> unless given.
    """
    declared = read_sweep(_found(file))
    if count:
        Console().print(str(len(declared.runs)), highlight=False)
        return
    folder = Path("runs/sweep") / file.stem if out is None else out
    _check(jobs, task, tasks, render=render)
    chosen = declared.runs[task::tasks]
    folders: dict[str, Data] = {}
    failed: list[str] = []
    results, work = folder / "results", folder / "work"
    for made in (results, work):
        make_folder(made)
    if not render:
        # Here, not above: what only counts or renders should not wait for Lightning.
        from mcmfh_lightning.sweeps.runner import fill, read_data

        folders = read_data(chosen)
        failed = fill(chosen, folders, load_all(results), results, work, jobs)
    if task is None:
        _render(declared, folders, file.name, folder)
    if failed:
        raise DataError(f"{len(failed)} of {len(chosen)} runs failed, see their logs: {', '.join(failed)}")


def _check(jobs: int, task: int | None, tasks: int | None, *, render: bool) -> None:
    if jobs < 1:
        raise DataError(f"--jobs must be at least 1, got {jobs}")
    if task is None and tasks is None:
        return
    if task is None or tasks is None:
        raise DataError("--task and --tasks belong together: pass both, or neither")
    if render:
        raise DataError("--render makes one page of all runs: leave out --task and --tasks")
    if not 0 <= task < tasks:
        raise DataError(f"--task must be from 0 to {tasks - 1} of --tasks {tasks}, got {task}; number the array from 0")


def _render(declared: DeclaredSweep, folders: Mapping[str, Data], name: str, folder: Path) -> None:
    summary = summarise(declared, load_all(folder / "results"), folders)
    figure = figure_of(summary)
    drawn = save(figure, folder / "figure")
    reason = figure if isinstance(figure, str) else ""
    page = markdown(summary, name, drawn[-1].name if drawn else "", reason)
    (folder / "table.md").write_text(page, encoding="utf-8")
    write_csv(folder / "table.csv", summary)
    console = Console()
    console.print(screen_table(summary))
    if reason:
        console.print(f"no figure: {reason}", markup=False, highlight=False, soft_wrap=True)
    for path in (folder / "table.md", folder / "table.csv", *drawn):
        console.print(str(path), markup=False, highlight=False, soft_wrap=True)


def _found(file: Path) -> Path:
    """The file, else the one of that name that comes with the package."""
    if file.exists():
        return file
    from mcmfh_lightning.cli.train import find_config

    return Path(find_config(str(file)))
