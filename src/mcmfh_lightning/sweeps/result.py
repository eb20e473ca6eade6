"""The result of one run: a json that is written once and committed.

From the files of a finished run to its result.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite, nan
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mcmfh_lightning import __version__
from mcmfh_lightning.bench.tables.declared import BITS, ROOT, DeclaredRun, file_name, is_trial
from mcmfh_lightning.bench.tables.words import ABNORMAL, ALL, HEADLINE, METRICS, MODEL, MONITOR, NULLS, PROTOCOLS
from mcmfh_lightning.errors import DataError

FORMAT_VERSION = 1

Interval = tuple[float | None, float | None, float | None]
"""Value, and the ends of its 95 % interval over groups; None where undefined."""
Results = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Mapping[str, Mapping[str, Interval]]]]]]
"""By protocol, database, queries, direction, system (the model and its nulls) and metric."""


@dataclass(frozen=True)
class Data:
    """What a run was made with; runs of one table must agree."""

    name: str
    encoder: str | None
    """Name of the encoder; None for raw pairs."""
    encoder_digest: str | None
    """16 hexadecimal digits of the SHA-256 of the encoder's identity."""
    num_labels: int
    pairs: Mapping[str, int]
    """Pairs of each split."""

    @property
    def key(self) -> str:
        """What tells data apart: features of another encoder are other data."""
        return f"{self.name}@{self.encoder_digest}"


@dataclass(frozen=True)
class QueryValues:
    """What the test says of each query, in their order, for the database `unseen`."""

    group: list[int]
    subsets: Mapping[str, list[int]]
    """1 for the members of a query subset, by its name; "all" is left out."""
    average_precision: Mapping[str, Mapping[str, list[float | None]]]
    """AP over all items, by protocol and direction; None where a query has no relevant item."""


@dataclass(frozen=True)
class Result:
    """Everything that tables need of a run."""

    system: str
    metric: str
    parameters: Mapping[str, Any]
    data: Data
    num_bits: int | None
    """None for methods without codes."""
    package: str
    torch: str
    device: str
    jobs: int
    """Runs at a time on the machine: seconds of several jobs are not comparable with those of one."""
    fit_seconds: float
    test_seconds: float | None
    epochs: int
    best: float | None
    """Best value on the validation split: of `metric` for a tuning trial, else of val/mAP."""
    results: Results | None
    """None for a tuning trial, as `queries`."""
    queries: QueryValues | None

    @property
    def file_name(self) -> str:
        """Where this result is kept."""
        return file_name(self.system, self.metric, self.parameters, self.data.name, self.data.key)

    @property
    def is_trial(self) -> bool:
        """Whether it is a tuning trial."""
        return is_trial(self.metric)

    @property
    def root(self) -> str:
        """The folder that the data were read from."""
        return str(self.parameters[ROOT])

    @property
    def declared_bits(self) -> int | None:
        """Bits as declared, by which tables are made."""
        return self.parameters.get(BITS)

    def value(self, protocol: str, database: str, queries: str, direction: str, system: str, metric: str) -> float:
        """A number of the test; NaN where it is undefined or was not measured."""
        branch: Any = self.results or {}
        for name in (protocol, database, queries, direction, system, metric):
            branch = branch.get(name, {})
        return nan if not branch or branch[0] is None else float(branch[0])


def dumped(result: Result) -> bytes:
    """The file of a result: JSON, a line for each entry, so that a change shows where it is."""
    content = {"format_version": FORMAT_VERSION, **asdict(result)}
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(', ', ': '))}"
        for key, value in content.items()
    ]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def load(path: Path) -> Result:
    """Read a result.

    Raises:
        DataError: The file is none of this format, or is not where it belongs.
    """
    try:
        content = json.loads(path.read_bytes())
        version = content.pop("format_version")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no result of mcmfh-bench table ({error}); remove it and run again") from error
    if version != FORMAT_VERSION:
        raise DataError(f"{path}: format_version {version!r}, this release reads {FORMAT_VERSION}; run it again")
    known = {field.name for field in fields(Result)}
    if content.keys() != known:
        raise DataError(f"{path}: entries {sorted(content.keys() ^ known)} are missing or unknown; run it again")
    try:
        queries = content["queries"]
        content["data"] = Data(**content["data"])
        content["queries"] = None if queries is None else QueryValues(**queries)
        result = Result(**content)
        expected = result.file_name
    except (TypeError, KeyError) as error:
        raise DataError(f"{path}: an entry is missing or unknown ({error}); run it again") from error
    if path.name != expected:
        raise DataError(f"{path}: holds the run of {expected}; give it this name, or remove it")
    return result


def load_all(folder: Path) -> list[Result]:
    """Read every result of a folder, in the order of their names; a folder that is not there has none.

    Raises:
        DataError: A file cannot be used.
    """
    return [load(path) for path in sorted(folder.glob("*.json"))]


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
