"""The report of ``mcmfh-bench rank``: a database ranked for queries by codes from files."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import cycle
from math import isnan
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from mcmfh_lightning import __version__
from mcmfh_lightning.errors import ConfigError, DataError, reason, say, without_controls
from mcmfh_lightning.evaluation.codes import Items, Task, read_task
from mcmfh_lightning.evaluation.codes_files import KEYS, Keys
from mcmfh_lightning.evaluation.nulls import DATABASE_CONSTANTS, database_levels
from mcmfh_lightning.evaluation.plots import ranking_figures
from mcmfh_lightning.evaluation.protocols import CHANCE, MODEL, Direction, Ranking
from mcmfh_lightning.evaluation.published import published_rows
from mcmfh_lightning.evaluation.report import (
    LABEL_COLUMNS,
    RESEARCH_USE,
    RESULT_COLUMNS,
    defined,
    label_rows,
    write_csv,
    write_json,
)
from mcmfh_lightning.evaluation.statistics import all_statistics, tied
from mcmfh_lightning.evaluation.stream import Queries, StreamResult
from mcmfh_lightning.evaluation.summary import DRAWS, Row, summarize
from mcmfh_lightning.figures import save_figure
from mcmfh_lightning.metrics import HammingHistogram, RankingCounts, functional
from mcmfh_lightning.tables import counted, make_table, paragraph, show

_MODALITIES = {"image": "img", "text": "txt"}
_RESULTS = "results.json"
_DIRECTIONS = (("image", "text"), ("text", "image"), ("image", "image"), ("text", "text"))


def read_tasks(
    query: Path | None,
    database: Path | None,
    query_keys: Keys,
    database_keys: Keys,
    all_directions: Path | None,
    **settings: Any,  # noqa: ANN401  # passed on
) -> list[Task]:
    """Read two files, or the four directions of a file that has the queries and the database of both modalities.

    Args:
        query: File of the queries.
        database: File of the database.
        query_keys: Names of the arrays of the queries.
        database_keys: Names of the arrays of the database.
        all_directions: The one file, instead of the two.
        **settings: What `read_task` needs besides.

    Raises:
        ConfigError: If files or keys are given that do not go together.
        DataError: If a file cannot be used.
    """
    if all_directions is None and query is not None and database is not None:
        return [read_task(query, database, query_keys=query_keys, database_keys=database_keys, **settings)]
    if (
        all_directions is None
        or query is not None
        or database is not None
        or (query_keys, database_keys) != (KEYS,) * 2
    ):
        raise ConfigError("give --query and --database, or one file with --all-directions and no --query-keys")
    return [
        read_task(
            all_directions,
            all_directions,
            query_keys=Keys(f"q_{_MODALITIES[source]}", "q_l", groups=None, ids=None),
            database_keys=Keys(f"r_{_MODALITIES[target]}", "r_l", groups=None, ids=None),
            direction=f"{source} to {target}",
            **settings,
        )
        for source, target in _DIRECTIONS
    ]


def read_label_names(path: Path | None, num_labels: int) -> list[str]:
    """Read a label a line; without a file labels are called by number.

    Raises:
        DataError: If the file cannot be read, or has more or fewer names than there are labels.
    """
    if path is None:
        return [str(number) for number in range(num_labels)]
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}); correct --label-names") from error
    if len(names) != num_labels:
        raise DataError(f"{path}: {len(names)} names, the files have {num_labels} labels; correct --label-names")
    return names


def print_rankings(
    tasks: Sequence[Task],
    out: Path | None,
    ks: Sequence[int],
    names: Sequence[str],
    seed: int,
    *,
    legacy: bool,
    protocols: Sequence[str],
) -> None:
    """Print a table of each task, and write its files where there is a folder.

    Args:
        tasks: Queries and databases.
        out: Folder of the files, with a folder for each direction where there are several.
        ks: Depths.
        names: Names of the labels, by position.
        seed: Seed of the intervals.
        legacy: Whether to add what published evaluators would report.
        protocols: Names of papers whose headline to add, see `mcmfh_lightning.evaluation.published.HEADLINES`.

    Raises:
        DataError: If a folder cannot be made, or holds the results of other codes.
    """
    folders = [out and out / task.direction.replace(" ", "_") for task in tasks]
    replaced = [_check_results(folder / _RESULTS, task) for folder, task in zip(folders, tasks, strict=True) if folder]
    for made in filter(None, folders):
        try:
            made.mkdir(parents=True, exist_ok=True)  # before the work: a wrong --out is reported at once
        except OSError as error:
            raise DataError(f"{made}: cannot be made ({error.strerror}); correct --out") from error
    errors = Console(stderr=True)
    for warning in dict.fromkeys(warning for task in tasks for warning in task.warnings):
        line = without_controls(f"warning: {warning}")  # names of files and ids may come from elsewhere
        errors.print(line, style="yellow", soft_wrap=True, highlight=False, markup=False)
    for task, folder in zip(tasks, folders, strict=True):
        counts = _counted(task, task.query.num_bits, task.query.codes, task.database.codes)
        constants = count_constants(task)
        rows = _summary(task, counts, constants, ks, seed)
        if legacy:
            rows += _legacy_rows(task, ks)
        rows += published_rows(task, protocols, seed)
        _print(rows, task)
        if folder is not None:
            _write(folder, task, rows, seed)
            _write_labels(folder / "labels.csv", task, counts, names, ks)
            lines = {"codes": (counts, ".-"), CHANCE: (tied(counts), "k--")}
            lines |= {f"constant: {name}": (one, ":") for name, one in constants.items()}
            title = f"{len(task.query):,} queries, {task.query.num_bits} bits"
            title = f"{task.direction}: {title}" if task.direction else title
            for name, figure in ranking_figures([{title: lines}]):
                save_figure(figure, folder / name)
    if out is not None:
        say(
            f"{out}: results.json, tables and figures written{', in place of earlier ones' if any(replaced) else ''}",
            errors,
        )


def _check_results(path: Path, task: Task) -> bool:
    """Refuse to replace the results of other codes, as `mcmfh test` does; return whether there are results already.

    Raises:
        DataError: If the file holds other results, or something else.
    """
    if not path.exists():
        return False
    sides = {"query": _file(task.query), "database": _file(task.database)}
    try:
        earlier = json.loads(path.read_bytes())
        same = all(earlier[side][key] == now[key] for side, now in sides.items() for key in ("sha256", "keys"))
        was = " and ".join(earlier[side]["file"] for side in sides)
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        same, was = False, "something else"
    if not same:
        raise DataError(
            f"{path} holds the results of {was}; these are of {task.query.path.name} and {task.database.path.name}, "
            f"whose content or arrays differ: choose another --out, or delete {path.parent}"
        )
    return True


def _counted(task: Task, num_bits: int, query_codes: Tensor, database_codes: Tensor) -> RankingCounts:
    histogram = HammingHistogram(num_bits, graded=True)
    histogram.set_queries(query_codes, task.query.labels, task.query_groups)
    histogram.update(database_codes, task.database.labels, task.groups)
    return histogram.counts()


def count_constants(task: Task) -> dict[str, RankingCounts]:
    """Count the constant rankings that know the labels of the database, by name.

    They are written as codes, which are counted fastest: level l of L is a code of L - 1 bits of which the first l are
    set, at Hamming distance l from a query of zeros.
    """
    counts = {}
    for name, levels in database_levels(task.database.labels).items():
        num_bits = max(1, int(levels.max()))
        bits = torch.arange(num_bits) < torch.arange(num_bits + 1)[:, None]
        thermometer = functional.pack_bits(bits)  # (levels, bytes)
        zeros = torch.zeros(len(task.query), thermometer.shape[1], dtype=torch.uint8)
        counts[name] = _counted(task, num_bits, zeros, thermometer[levels])
    return counts


def _summary(
    task: Task, counts: RankingCounts, constants: Mapping[str, RankingCounts], ks: Sequence[int], seed: int
) -> list[Row]:
    """Make the rows of the codes, over the queries that have relevant items."""
    index = torch.arange(len(task.query))
    result = StreamResult(
        queries=Queries(task.query.labels, task.query_groups, index, torch.zeros_like(index)),
        num_bits=task.query.num_bits,
        distance="hamming",
        rankings={"": {Ranking(MODEL, "", Direction(task.direction, "codes", "codes", "both")): counts}},
        constants={"": {"both": constants}},
        instances={},
        graded=True,
        missing={},
    )
    rows = summarize(result, {"": counts.relevant.sum(1) > 0}, all_statistics(ks), seed)
    return [row for row in rows if row.system == MODEL]


def _legacy_rows(task: Task, ks: Sequence[int]) -> list[Row]:
    """Make rows of what published evaluators would report.

    They break ties by position, leave out no item, and count a query without hits as 0.
    """
    tensors = task.query.codes, task.database.codes, task.query.labels, task.database.labels
    found: list[tuple[str, int | None, str, Any]] = [
        (f"legacy mAP@{k}", k, "hits in the first k", functional.legacy_mean_average_precision(*tensors, k=k))
        for k in ks
    ]
    for k in (*ks, None):
        value = functional.legacy_first_hits_mean_average_precision(*tensors, k=len(task.database) if k is None else k)
        found.append((f"legacy first-hits mAP@{'all' if k is None else k}", k, "min(k, R)", value))
    number = len(task.query)
    return [
        Row(metric=name, k=k, denominator=denominator, value=float(value), num_queries=number)
        for name, k, denominator, value in found
    ]


def _print(rows: Sequence[Row], task: Task) -> None:
    without = len(task.query) - rows[0].num_queries
    numbers = (
        f"{counted(len(task.query), 'query', 'queries')} ({without:,} without relevant items, left out), "
        f"{counted(len(task.database), 'item')}, {counted(task.query.num_bits, 'bit')}, "
        f"{counted(task.query.num_labels, 'label')}"
    )
    named = dict.fromkeys(row.constant_ranking for row in rows if row.constant_ranking)
    used = "; ".join(f"{name}: {DATABASE_CONSTANTS[name]}" for name in named)
    beginnings = {"legacy": "legacy ", "published": "as "}
    rough = [name for name, start in beginnings.items() if any(row.metric.startswith(start) for row in rows)]
    columns = ("value", f"95 % over\n{task.resampled}", "worst to best\norder", "chance", "best\nconstant")
    table = make_table(
        f"Ranking metrics, ties in closed form{', ' if task.direction else ''}{task.direction}\n{numbers}",
        ("metric", "divided by", *columns),
        [
            [
                row.metric,
                row.denominator,
                _short(row.value),
                _span(row.low, row.high),
                _span(row.pessimistic, row.optimistic),
                _short(row.chance),
                _short(row.constant),
            ]
            for row in rows
        ],
        numbers=columns,
    )
    notes = [
        f"codes were read as: {task.query.reading} (queries), {task.database.reading} (database)",
        f"left out of each ranking: {task.excluded}",
        f"constant rankings read the database's labels: {used}" if used else "",
        f"{' and '.join(rough)} rows break ties by position, leave nothing out and count queries without hits as 0"
        if rough
        else "",
        "their papers' splits, and who sees which modality, are not in codes: docs/concepts/published.md"
        if "published" in rough
        else "",
        RESEARCH_USE,
    ]
    show(table, *(paragraph(note) for note in notes if note))


def _span(low: float, high: float) -> str:
    return "-" if isnan(low) else f"[{_short(low)}, {_short(high)}]"


def _short(value: float) -> str:
    return "-" if isnan(value) else f"{value:.4f}"


def _write(folder: Path, task: Task, rows: Sequence[Row], seed: int) -> None:
    """Write results.csv and results.json, every number by metric and what it is of."""
    made = [asdict(row) for row in rows]
    write_csv(folder / "results.csv", RESULT_COLUMNS, made)
    content = {
        "package": f"mcmfh-lightning {__version__}",
        "research_use": RESEARCH_USE,
        **({"direction": task.direction} if task.direction else {}),
        "query": _file(task.query) | {"without_relevant": len(task.query) - rows[0].num_queries},
        "database": _file(task.database),
        "num_bits": task.query.num_bits,
        "num_labels": task.query.num_labels,
        "relevant": "shares at least one label",
        "gain": "number of labels shared",
        "left_out_of_each_ranking": task.excluded,
        "interval": {"level": 0.95, "resampled": task.resampled, "draws": DRAWS, "seed": seed},
        "constant_rankings": {
            name: f"reads the database's labels: {what}" for name, what in DATABASE_CONSTANTS.items()
        },
        "warnings": list(task.warnings),
        "results": {row["metric"]: defined(row, RESULT_COLUMNS[1:]) for row in made},
    }
    write_json(folder / _RESULTS, content)


def _file(items: Items) -> dict[str, Any]:
    with items.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "file": items.path.name,
        "sha256": digest,
        "number": len(items),
        "keys": asdict(items.keys),
        "codes_read_as": items.reading,
        "zero_signs": items.zeros,
    }


def _write_labels(path: Path, task: Task, counts: RankingCounts, names: Sequence[str], ks: Sequence[int]) -> None:
    """Write the mean average precisions of the labels that a query carries."""
    items, carried = (
        functional.unpack_bits(side.labels)[:, : len(names)].sum(0).tolist() for side in (task.database, task.query)
    )
    statistics = [one for one in all_statistics(ks) if one.bounds is not None]
    # The labels come in their order for each statistic; names may occur twice.
    of_labels = zip(label_rows(counts, task.query.labels, names, statistics), cycle(zip(items, carried, strict=True)))
    rows = [row | {"database_items": number} for row, (number, is_carried) in of_labels if is_carried]
    write_csv(path, (*LABEL_COLUMNS, "database_items"), rows)
