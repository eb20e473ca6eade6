"""Results of runs: a JSON file each, comparable if they were made with the same data."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps.declared import DeclaredRun, Run

FORMAT_VERSION = 1
MONITOR = "val/mAP"
"""What the fit of a tested run is judged by, as `mcmfh_lightning.callbacks.HammingRanking` logs it."""
# Names of a test's ranking.csv. Not imported from where it is written: what only renders should not wait for torch.
METRICS = ("mAP@all", "mAP@50", "NDCG@50")
MODEL, CHANCE = "model", "chance"
NULLS = (CHANCE, "hyperplanes", "constant", "shuffled queries", "shuffled within")
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
        """The identity of the data: features of another encoder are other data."""
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
        """Name of its file."""
        return self.name(self.data.name, self.data.key)


def dumped(result: Result) -> str:
    """Write a result as JSON, a line for each entry, so that a change shows where it is."""
    content = {"format_version": FORMAT_VERSION, **asdict(result)}
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(', ', ': '))}"
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
    known = {field.name for field in fields(Result)}
    if content.keys() != known:
        raise DataError(f"{where}: entries {sorted(content.keys() ^ known)} are missing or unknown; run it again")
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


def check_agreement(results: Sequence[Result], folders: Mapping[str, Data]) -> None:
    """Refuse results whose data share name and encoder, but not labels or sizes.

    Args:
        results: Results.
        folders: The data in each folder.

    Raises:
        DataError: If data differ; the message names both and the entry.
    """
    seen: dict[str, tuple[str, Data]] = {}
    for source, data in [*folders.items(), *((result.file_name, result.data) for result in results)]:
        first, expected = seen.setdefault(data.key, (source, data))
        for entry, value in asdict(data).items():
            if value != (other := getattr(expected, entry)):
                raise DataError(
                    f"{source}: its data {data.name!r} have {entry} {value!r}, those of {first} {other!r}: not "
                    "comparable; give other data another name, or remove the results that are out of date"
                )


def data_of_folders(roots: Collection[str], results: Sequence[Result], folders: Mapping[str, Data]) -> dict[str, Data]:
    """Find the data that folders hold, or held.

    Args:
        roots: The folders of interest.
        results: Results, each with the data that were in its folder.
        folders: The data that were seen in folders.

    Returns:
        The data by folder; unknown folders are left out.

    Raises:
        DataError: If a folder held different data.
    """
    found = {root: ("there", data) for root, data in folders.items() if root in roots}
    for result in results:
        if result.root in roots:
            source, data = found.setdefault(result.root, (f"in {result.file_name}", result.data))
            if result.data.key != data.key:
                raise DataError(
                    f"{result.file_name}: was made with {result.root} when it held {_described(result.data)}; {source} "
                    f"it is {_described(data)}: keep other data in another folder, or remove the results out of date"
                )
    return {root: data for root, (_, data) in found.items()}


def matched(
    runs: Sequence[DeclaredRun], results: Sequence[Result], folders: Mapping[str, Data]
) -> list[tuple[DeclaredRun, Result | None]]:
    """Find the result of each run; None for what was not run.

    Args:
        runs: Declared runs.
        results: Results of these and other runs.
        folders: The data in each folder, as far as known.

    Raises:
        DataError: If the results found are not comparable.
    """
    by_name = {result.file_name: result for result in results}
    names = [run.name(folders[run.root].name, folders[run.root].key) if run.root in folders else "" for run in runs]
    found = [by_name.get(name) for name in names]
    check_agreement([result for result in found if result is not None], {})
    return list(zip(runs, found, strict=True))


def _described(data: Data) -> str:
    return f"{data.name!r} of encoder {data.encoder!r} ({data.encoder_digest})"
