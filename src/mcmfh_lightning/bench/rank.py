"""``mcmfh-bench rank``."""

from pathlib import Path

from rich.console import Console

from mcmfh_lightning.bench.constants import constant_counts
from mcmfh_lightning.bench.files import write_csv, write_json
from mcmfh_lightning.bench.plots import plot_ranking
from mcmfh_lightning.bench.summary import LabelRow, Row, label_rows, legacy_rows, summarise
from mcmfh_lightning.bench.table import rank_table
from mcmfh_lightning.bench.task import Task, read_task
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.metrics import HammingHistogram, RankingCounts

_TABLE_WIDTH = 130


def rank(
    *,
    query: Path,
    database: Path,
    k: int | list[int] = 50,
    out: Path | None = None,
    num_bits: int | None = None,
    num_labels: int | None = None,
    label_names: Path | None = None,
    exclude_same_id: bool = False,
    legacy: bool = False,
    seed: int = 0,
) -> None:
    """Evaluate anybody's codes: rank a database for queries by Hamming distance, ties in closed form.

    Both files (.npz or .parquet) hold codes (signs, 0/1 or packed bytes) and labels (0/1 or packed bytes), and perhaps
    groups (patient, study: items of a query's own group are left out) and ids.

    Args:
        query: file of the queries.
        database: file of the database.
        k: depth of mAP@k, P@k, R@k, NDCG@k and ACG@k; several as [10,50].
        out: folder for results.json, results.csv, labels.csv and figures; without it nothing is written.
        num_bits: bits of a code; needed where codes are packed as numpy.packbits does.
        num_labels: number of labels; needed where label sets are packed.
        label_names: text file with a label a line, in their order; without it labels are called by number.
        exclude_same_id: leave out the database item of a query's own id.
        legacy: add what evaluators of published tables say, which depends on the order of the database.
        seed: seed of the bootstrap intervals.
    """
    ks = _depths(k)
    for name, number in (("--num-bits", num_bits), ("--num-labels", num_labels)):
        if number is not None and number < 1:
            raise DataError(f"{name} must be at least 1, got {number}")
    task = read_task(query, database, num_bits, num_labels, exclude_same_id=exclude_same_id)
    names = _label_names(label_names, task.query.num_labels)
    _make_folder(out)  # before the work: a wrong --out is told at once
    errors = Console(stderr=True)
    for warning in task.warnings:
        errors.print(f"warning: {warning}", style="yellow", soft_wrap=True, highlight=False, markup=False)
    counts, constants = _counted(task), constant_counts(task)
    rows = summarise(counts, constants, task.query_groups, ks, seed)
    if legacy:
        rows += legacy_rows(task, ks)
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(rank_table(rows, task))
    if out is not None:
        write_json(out / "results.json", rows, task, seed)
        write_csv(out / "results.csv", rows, Row)
        write_csv(out / "labels.csv", label_rows(counts, task, names, ks), LabelRow)
        plot_ranking(out, counts, constants, f"{len(task.query):,} queries, {task.query.num_bits} bits")


def _counted(task: Task) -> RankingCounts:
    histogram = HammingHistogram(task.query.num_bits, graded=True)
    histogram.set_queries(task.query.codes, task.query.labels, task.query_groups)
    histogram.update(task.database.codes, task.database.labels, task.groups)
    return histogram.counts()


def _depths(k: int | list[int]) -> list[int]:
    depths = list(dict.fromkeys([k] if isinstance(k, int) else k))
    if not depths or min(depths) < 1:
        raise DataError(f"--k must be at least 1, got {k}")
    return depths


def _label_names(path: Path | None, num_labels: int) -> list[str]:
    if path is None:
        return [str(number) for number in range(num_labels)]
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); correct --label-names") from error
    if len(names) != num_labels:
        raise DataError(f"{path}: {len(names)} names, the files have {num_labels} labels; correct --label-names")
    return names


def _make_folder(out: Path | None) -> None:
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be made ({error.strerror}); correct --out") from error
