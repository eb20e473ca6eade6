"""Results of runs: a JSON file each, comparable if they were made with the same data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.protocols import CHANCE, CONSTANT, HYPERPLANES, MODEL, SHUFFLED, SHUFFLED_WITHIN
from mcmfh_lightning.sweeps.declared import DeclaredRun, Run

FORMAT_VERSION = 2  # 1: `best` and the fit were of I→T and T→I alone, and no test had I→I
MONITOR = "val/mAP"
"""What the fit of a tested run is judged by, as `mcmfh_lightning.callbacks.HammingRanking` logs it."""
# Names of a test's ranking.csv.
METRICS = ("mAP@all", "mAP@50", "NDCG@50")
NULLS = (CHANCE, HYPERPLANES, CONSTANT, SHUFFLED, SHUFFLED_WITHIN)
ALL, ABNORMAL, UNSEEN = "all", "abnormal", "unseen"
KEPT = {"metric": METRICS, "system": (MODEL, *NULLS), "queries": (ALL, ABNORMAL)}
"""The rows of ``ranking.csv`` that results keep."""

Interval = tuple[float | None, float | None, float | None]
"""Value, and the ends of its 95 % interval over groups; None where undefined."""
Results = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Mapping[str, Mapping[str, Interval]]]]]]
"""By protocol, database, queries, direction, system (the model and its nulls) and metric."""


@dataclass(frozen=True)
class Data:
    """The data of a run; runs of one table must agree.

    Attributes:
        name: Name of the data in their dataset.json.
        encoder: Name of the encoder; None for raw pairs.
        encoder_digest: 16 hexadecimal digits of the SHA-256 of the encoder's identity.
        num_labels: Number of labels.
        pairs: Pairs of each split.
    """

    name: str
    encoder: str | None
    encoder_digest: str | None
    num_labels: int
    pairs: Mapping[str, int]

    @property
    def key(self) -> str:
        """Return the identity of the data: features of another encoder are other data."""
        return f"{self.name}@{self.encoder_digest}"


@dataclass(frozen=True)
class QueryValues:
    """Values of each test query, in the order of the split, for the database `unseen`.

    Attributes:
        group: Number of its group.
        subsets: 1 for the members of a query subset, by its name; "all" is left out.
        average_precision: AP over all items, by protocol and direction; None where a query has no relevant item.
    """

    group: list[int]
    subsets: Mapping[str, list[int]]
    average_precision: Mapping[str, Mapping[str, list[float | None]]]


@dataclass(frozen=True)
class Result(Run):
    """Everything that tables need of a run.

    Attributes:
        data: What it was run with.
        num_bits: Bits of a code, as measured; None for methods without codes.
        package: Name and version of this package.
        torch: Version of PyTorch.
        device: Where it was run.
        jobs: Runs at a time on the machine: seconds of several jobs are not comparable with those of one.
        fit_seconds: Seconds of the fit, start of the program included.
        test_seconds: Seconds of the test.
        epochs: Number of epochs.
        best: Best value on the validation split: of `metric` for a tuning trial, else of `MONITOR`.
        results: Numbers of the test; None for a tuning trial.
        queries: Values of each query of the test; None for a tuning trial.
    """

    data: Data
    num_bits: int | None
    package: str
    torch: str
    device: str
    jobs: int
    fit_seconds: float
    test_seconds: float | None
    epochs: int
    best: float | None
    results: Results | None
    queries: QueryValues | None

    @property
    def file_name(self) -> str:
        """Return the name of its file."""
        return self.name(self.data.name, self.data.key)


def dumped(result: Result) -> str:
    """Write a result as JSON, a line for each entry, so that a change shows where it is."""
    content = {"format_version": FORMAT_VERSION, **vars(result)}
    lines = [
        # Not `asdict`, which copies every number of the queries.
        f"{json.dumps(key)}: "
        f"{json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(', ', ': '), default=vars)}"
        for key, value in content.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def parse(text: str | bytes, where: object) -> Result:
    """Read a result from JSON.

    Args:
        text: What `dumped` wrote.
        where: Its file, for messages.

    Raises:
        DataError: If it is not a result of this format.
    """
    try:
        content = json.loads(text)
        version = content.pop("format_version")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: not a result of a run ({error}); remove it and run again") from error
    if version != FORMAT_VERSION:
        raise DataError(f"{where}: format_version {version!r}, this release reads {FORMAT_VERSION}; run it again")
    try:
        content["data"] = Data(**content["data"])
        content["queries"] = content["queries"] and QueryValues(**content["queries"])
        result = Result(**content)
        result.name("", "")  # needs the parameters by which runs are named
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{where}: an entry is missing or unknown ({error}); run it again") from error
    return result


def load_all(folder: Path) -> list[Result]:
    """Read every result of a folder, in the order of their names; a folder that does not exist has none.

    Raises:
        DataError: If a file cannot be used, or has the name of another run.
    """
    results = []
    for path in sorted(folder.glob("*.json")):
        results.append(parse(path.read_bytes(), path))
        if path.name != results[-1].file_name:
            raise DataError(f"{path}: holds the run of {results[-1].file_name}; give it this name, or remove it")
    return results


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it.

    Raises:
        DataError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}); correct the path") from error
    return folder


def match(
    runs: Sequence[DeclaredRun], results: Sequence[Result], folders: Mapping[str, Data]
) -> tuple[dict[str, Data], list[tuple[DeclaredRun, Result | None]]]:
    """Find the data and the result of each run.

    Args:
        runs: Declared runs.
        results: Results of these and other runs, each with the data that were in its folder.
        folders: The data in folders of the runs, where they were looked at; else those that results name.

    Returns:
        The data by folder, unknown folders left out; the runs with their results, None for what was not run.

    Raises:
        DataError: If a folder held different data, or data share name and encoder, but not labels or sizes.
    """
    roots = {run.root for run in runs}
    known = {root: (root, data) for root, data in folders.items()}
    for result in results:
        if result.root in roots:
            source, data = known.setdefault(result.root, (result.file_name, result.data))
            if result.data.key != data.key:
                held, other = (
                    f"{one.name!r} of encoder {one.encoder!r} ({one.encoder_digest})" for one in (result.data, data)
                )
                raise DataError(
                    f"{result.file_name}: was made with {result.root} when it held {held}; for {source} it holds "
                    f"{other}: keep other data in another folder, or remove the results out of date"
                )
    firsts = {data.key: (source, data) for source, data in known.values()}
    for source, data in [*known.values(), *((result.file_name, result.data) for result in results)]:
        first, expected = firsts.get(data.key, (source, data))  # other data are not of these runs
        for entry, value in asdict(data).items():
            if value != (other := getattr(expected, entry)):
                raise DataError(
                    f"{source}: its data {data.name!r} have {entry} {value!r}, those of {first} {other!r}: not "
                    "comparable; give other data another name, or remove the results that are out of date"
                )
    of_folders = {root: data for root, (_, data) in known.items()}
    by_name = {result.file_name: result for result in results}
    names = [run.name(one.name, one.key) if (one := of_folders.get(run.root)) else "" for run in runs]
    return of_folders, [(run, by_name.get(name)) for run, name in zip(runs, names, strict=True)]
