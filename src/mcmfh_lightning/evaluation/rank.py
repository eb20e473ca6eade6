"""``mcmfh-bench rank``."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from mcmfh_lightning.errors import ConfigError, DataError
from mcmfh_lightning.evaluation.codes_files import KEYS, Keys
from mcmfh_lightning.evaluation.rank_report import (
    LabelRow,
    Row,
    label_rows,
    legacy_rows,
    plot_ranking,
    rank_table,
    summarise,
    write_csv,
    write_json,
)
from mcmfh_lightning.evaluation.task import Task, constant_counts, read_task
from mcmfh_lightning.metrics import HammingHistogram, RankingCounts

_TABLE_WIDTH = 130
_MODALITIES = {"image": "img", "text": "txt"}
_DIRECTIONS = (("image", "text"), ("text", "image"), ("image", "image"), ("text", "text"))


def rank(
    *,
    query: Path | None = None,
    database: Path | None = None,
    query_keys: Keys = KEYS,
    database_keys: Keys = KEYS,
    all_directions: Path | None = None,
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

    Files (.npz, .parquet, .mat, .h5 or .hdf5) hold codes (signs, 0/1 or packed bytes) and labels (0/1 or packed bytes),
    and perhaps groups (patient, study: items of a query's own group are left out) and ids.

    Args:
        query: file of the queries.
        database: file of the database; it may be that of the queries, with other keys.
        query_keys: names of the arrays of the queries.
        database_keys: names of the arrays of the database.
        all_directions: instead of --query and --database, one file as DCHMT and others write it: q_img, q_txt and q_l
            of the queries, r_img, r_txt and r_l of the database. All four directions are reported.
        k: depth of mAP@k, P@k, R@k, NDCG@k and ACG@k; several as [10,50].
        out: folder for results.json, results.csv, labels.csv and figures, with a folder for each direction where there
            are several; without it nothing is written.
        num_bits: bits of a code; needed where codes are packed as numpy.packbits does.
        num_labels: number of labels; needed where label sets are packed, and 1 where there is a single label.
        label_names: text file with a label a line, in their order; without it labels are called by number.
        exclude_same_id: leave out the database item of a query's own id.
        legacy: add what evaluators of published tables say, which depends on the order of the database.
        seed: seed of the bootstrap intervals.
    """
    ks = _depths(k)
    for name, number in (("--num-bits", num_bits), ("--num-labels", num_labels)):
        if number is not None and number < 1:
            raise DataError(f"{name} must be at least 1, got {number}")
    read = partial(read_task, num_bits=num_bits, num_labels=num_labels, exclude_same_id=exclude_same_id)
    if all_directions is None and query is not None and database is not None:
        tasks = [read(query, database, query_keys=query_keys, database_keys=database_keys)]
    elif all_directions is not None and query is database is None and query_keys == database_keys == KEYS:
        tasks = [read(all_directions, all_directions, **direction) for direction in _directions()]
    else:
        raise ConfigError("give --query and --database, or one file with --all-directions and no --query-keys")
    names = _label_names(label_names, tasks[0].query.num_labels)
    folders = [out and out / task.direction.replace(" ", "_") for task in tasks]
    for folder in folders:
        _make_folder(folder)  # before the work: a wrong --out is reported at once
    errors = Console(stderr=True)
    for warning in dict.fromkeys(warning for task in tasks for warning in task.warnings):
        errors.print(f"warning: {warning}", style="yellow", soft_wrap=True, highlight=False, markup=False)
    for task, folder in zip(tasks, folders, strict=True):
        _report(task, folder, ks, names, seed, legacy=legacy)


def _directions() -> Iterator[dict[str, Any]]:
    """Keys of the four directions of a file that has the queries and the database of both modalities."""
    for source, target in _DIRECTIONS:
        yield {
            "query_keys": Keys(f"q_{_MODALITIES[source]}", "q_l", groups=None, ids=None),
            "database_keys": Keys(f"r_{_MODALITIES[target]}", "r_l", groups=None, ids=None),
            "direction": f"{source} to {target}",
        }


def _report(task: Task, out: Path | None, ks: Sequence[int], names: Sequence[str], seed: int, *, legacy: bool) -> None:
    """Print the table of a task, and write its files where there is a folder."""
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
        title = f"{len(task.query):,} queries, {task.query.num_bits} bits"
        plot_ranking(out, counts, constants, f"{task.direction}: {title}" if task.direction else title)


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
