"""The result of one run: a json that is written once and committed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import nan
from pathlib import Path
from typing import Any

from mcmfh_lightning.bench.tables.declared import BITS, ROOT, file_name, is_trial
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
