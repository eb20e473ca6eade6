"""From the files of a finished run to its result."""

import csv
import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mcmfh_lightning import __version__
from mcmfh_lightning.bench.tables.declared import DeclaredRun, is_trial
from mcmfh_lightning.bench.tables.result import Data, QueryValues, Result
from mcmfh_lightning.bench.tables.words import ABNORMAL, ALL, HEADLINE, METRICS, MODEL, MONITOR, NULLS, PROTOCOLS
from mcmfh_lightning.errors import DataError

_DIGITS = 6
_SYSTEMS = (MODEL, *NULLS)
_QUERIES = (ALL, ABNORMAL)


class Effort(NamedTuple):
    """What a run took."""

    device: str
    jobs: int
    fit_seconds: float
    test_seconds: float | None


def collect(run: DeclaredRun, data: Data, folder: Path, effort: Effort) -> Result:
    """Make the result of a run.

    Args:
        run: What was run.
        data: With what.
        folder: Its ``--run_dir``.
        effort: How long it took, and where.

    Raises:
        DataError: A file is missing or lacks a column.
    """
    epochs, best = _of_fit(folder / "fit" / "metrics.csv", run)
    num_bits, results, queries = run.num_bits, None, None
    if not is_trial(run.metric):
        num_bits = json.loads((folder / "test" / "metrics.json").read_bytes())["num_bits"]
        results = _of_test(folder / "test" / "ranking.csv")
        queries = _of_queries(folder / "test" / "queries.csv")
    return Result(
        system=run.system,
        metric=run.metric,
        parameters=run.parameters,
        data=data,
        num_bits=num_bits,
        package=f"mcmfh-lightning {__version__}",
        torch=torch.__version__,
        device=effort.device,
        jobs=effort.jobs,
        fit_seconds=round(effort.fit_seconds, 1),
        test_seconds=None if effort.test_seconds is None else round(effort.test_seconds, 1),
        epochs=epochs,
        best=best,
        results=results,
        queries=queries,
    )


def _of_fit(path: Path, run: DeclaredRun) -> tuple[int, float | None]:
    """Number of epochs and best value of what is monitored."""
    if not path.is_file():
        raise DataError(f"{path}: the fit wrote none; leave trainer.logger to the config, which logs there")
    rows = _rows(path)
    name = run.metric if is_trial(run.metric) else MONITOR
    if not any(name in row for row in rows):
        logged = sorted({key for row in rows for key in row if key.startswith("val/")})
        raise DataError(f"{path}: {name} was not logged; choose one of {', '.join(logged)}")
    values = [value for row in rows if (value := _number(row[name])) is not None]
    chosen = min if is_trial(run.metric) and run.goal == "minimize" else max
    return max(int(row["epoch"]) for row in rows) + 1, chosen(values) if values else None


def _of_test(path: Path) -> dict[str, Any]:
    """The numbers that tables show, nested as `Result.results` is."""
    results: dict[str, Any] = {}
    for row in _rows(path):
        if row["metric"] in METRICS and row["system"] in _SYSTEMS and row["queries"] in _QUERIES:
            branch = results
            for name in ("protocol", "database", "queries", "direction", "system"):
                branch = branch.setdefault(row[name], {})
            branch[row["metric"]] = tuple(_number(row[name]) for name in ("value", "low", "high"))
    return results


def _of_queries(path: Path) -> QueryValues:
    rows = _rows(path)
    values: dict[str, dict[str, list[float | None]]] = {}
    subsets: dict[str, list[int]] = {}
    for name in rows[0]:
        protocol, _, place = name.partition("/")
        database, _, direction = place.partition("/")
        if protocol in PROTOCOLS and database == HEADLINE[1]:
            values.setdefault(protocol, {})[direction] = [_number(row[name]) for row in rows]
        elif not place and name not in ("id", "group", "index", "group_number", ALL):
            subsets[name] = [int(row[name]) for row in rows]
    return QueryValues([int(row["group_number"]) for row in rows], subsets, values)


def _rows(path: Path) -> Sequence[Mapping[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float | None:
    """Rounded; None for what is undefined."""
    return round(value, _DIGITS) if text and isfinite(value := float(text)) else None
