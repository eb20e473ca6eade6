"""From runs and results to the rows of tables: one system on one data set at one number of bits, over its seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import fmean, stdev
from typing import NamedTuple

from mcmfh_lightning.bench.tables.declared import DeclaredRun, slug
from mcmfh_lightning.bench.tables.words import ABNORMAL, ALL, HEADLINE, HEADLINE_METRIC, MODEL, PROTOCOLS
from mcmfh_lightning.sweeps.result import Data, Result


class Spread(NamedTuple):
    """Of values over seeds."""

    mean: float
    """NaN if there is none."""
    sd: float
    """Of a sample (divided by n - 1); NaN of fewer than two."""
    number: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of the values that are defined.

    >>> spread([1.0, 2.0, float("nan")])
    Spread(mean=1.5, sd=0.7071067811865476, number=2)
    """
    defined = [value for value in values if not isnan(value)]
    mean = fmean(defined) if defined else nan
    return Spread(mean, stdev(defined) if len(defined) > 1 else nan, len(defined))


@dataclass(frozen=True)
class Row:
    """A system on a data set at a number of bits."""

    system: str
    num_bits: int | None
    """As declared; None for methods without codes."""
    declared: int
    """Runs."""
    results: tuple[Result, ...]
    """Those that were run."""
    trials: int
    """Tuning trials of the system on these data."""
    settings: str
    """``published`` (by the method's authors), ``tuned`` (by trials on these or other data) or a dash."""

    def values(self, protocol: str, database: str, queries: str, direction: str, system: str, metric: str) -> Spread:
        """A number of the test over seeds; see `Result.value`."""
        return spread([one.value(protocol, database, queries, direction, system, metric) for one in self.results])

    def mean_of_directions(self, protocol: str, database: str, queries: str, system: str = MODEL) -> Spread:
        """The mAP@all of both directions, over seeds."""
        means = [
            fmean(
                one.value(protocol, database, queries, direction, system, HEADLINE_METRIC)
                for direction in PROTOCOLS[protocol]
            )
            for one in self.results
        ]
        return spread(means)

    @property
    def best(self) -> Spread:
        """Best value on the validation split, over seeds."""
        return spread([nan if one.best is None else one.best for one in self.results])


@dataclass(frozen=True)
class Panel:
    """What is compared: the systems on a data set at a number of bits, and those without codes."""

    data: str
    num_bits: int | None
    rows: tuple[Row, ...]

    @property
    def results(self) -> list[Result]:
        """Of all rows."""
        return [result for row in self.rows for result in row.results]

    @property
    def title(self) -> str:
        """Data and bits."""
        return self.data if self.num_bits is None else f"{self.data}, {self.num_bits} bits"

    @property
    def headline_queries(self) -> str:
        """The query subset that speaks for a system."""
        abnormal = any(result.queries and ABNORMAL in result.queries.subsets for result in self.results)
        return ABNORMAL if abnormal else ALL

    @property
    def best_row(self) -> Row | None:
        """The row whose nulls are shown beside the headline."""
        return self.best_row_of(HEADLINE[0])

    def best_row_of(self, protocol: str) -> Row | None:
        """The row whose nulls are shown: of those with codes, if any, the one with the best headline.

        Args:
            protocol: What codes may see; methods without such codes are passed over.
        """
        run = [row for row in self.rows if any(protocol in (result.results or {}) for result in row.results)]
        coded = [row for row in run if row.num_bits is not None] or run
        return max(
            coded,
            key=lambda row: _or_least(row.mean_of_directions(*HEADLINE, self.headline_queries).mean),
            default=None,
        )


def matched(
    runs: Sequence[DeclaredRun], results: Sequence[Result], folders: Mapping[str, Data]
) -> list[tuple[DeclaredRun, Result | None]]:
    """The result of each run; None for what was not run.

    Args:
        runs: Declared runs.
        results: Results of these and other runs.
        folders: What lies in data folders, by folder.
    """
    by_name = {result.file_name: result for result in results}
    found = []
    for run in runs:
        data = folders.get(run.root)
        name = None if data is None else run.file_name(data.name, data.key)
        found.append((run, None if name is None else by_name.get(name)))
    return found


def labels_of_folders(runs: Sequence[DeclaredRun], folders: Mapping[str, Data]) -> dict[str, str]:
    """What the data of each folder are called: by their name, with the encoder where two share it.

    Args:
        runs: Declared runs.
        folders: What lies in data folders; a folder that is not among them stands for itself.
    """
    used = {run.root: folders[run.root] for run in runs if run.root in folders}
    labels = {run.root: run.root for run in runs}
    for root, data in used.items():
        shared = len({other.key for other in used.values() if other.name == data.name}) > 1
        labels[root] = f"{data.name} ({data.encoder})" if shared else data.name
    return labels


def panels(
    runs: Sequence[tuple[DeclaredRun, Result | None]], results: Sequence[Result], folders: Mapping[str, Data]
) -> list[Panel]:
    """Group the runs that are tested; data and systems in the order of the file, bits ascending.

    Args:
        runs: From `matched`.
        results: All results, of which trials are counted.
        folders: What lies in data folders, by folder.
    """
    labels = labels_of_folders([run for run, _ in runs], folders)
    of_data: dict[str, list[tuple[DeclaredRun, Result | None]]] = {}
    for run, result in runs:
        of_data.setdefault(labels[run.root], []).append((run, result))
    made = []
    for label, members in of_data.items():
        data = folders.get(members[0][0].root)
        rows = _rows(members, [one for one in results if one.is_trial], data)
        bits: list[int | None] = [*sorted({run.num_bits for run, _ in members if run.num_bits is not None})]
        made += [
            Panel(label, num_bits, tuple(row for row in rows if row.num_bits in (num_bits, None)))
            for num_bits in bits or [None]
        ]
    return made


def _rows(runs: Sequence[tuple[DeclaredRun, Result | None]], trials: Sequence[Result], data: Data | None) -> list[Row]:
    on_any = {slug(one.system) for one in trials}
    on_these = Counter(slug(one.system) for one in trials if data and one.data.key == data.key)
    grouped: dict[tuple[str, int | None], list[tuple[DeclaredRun, Result | None]]] = {}
    for run, result in runs:
        grouped.setdefault((run.system, run.num_bits), []).append((run, result))
    return [
        Row(
            system,
            num_bits,
            len(members),
            tuple(result for _, result in members if result is not None),
            on_these[slug(system)],
            _settings([run for run, _ in members], tuned=slug(system) in on_any),
        )
        for (system, num_bits), members in grouped.items()
    ]


def _settings(runs: Sequence[DeclaredRun], *, tuned: bool) -> str:
    """Say where the settings of a row come from; see `Row.settings`."""
    if all(run.is_published for run in runs):
        return "published"
    return "tuned" if tuned else "-"


def _or_least(value: float) -> float:
    return -1.0 if isnan(value) else value
