"""From runs and results to what is compared: the systems on one data set at one number of bits, over their seeds."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.protocols import PROTOCOLS
from mcmfh_lightning.sweeps.declared import CONFIG, DeclaredRun, slug
from mcmfh_lightning.sweeps.result import ABNORMAL, ALL, METRICS, MODEL, NULLS, UNSEEN, Data, Result
from rendering.store import HEADLINE

DIRECTIONS: Mapping[str, tuple[str, ...]] = {
    name: tuple(one.name for one in directions) for name, directions in PROTOCOLS.items()
}
"""The names of the directions of each protocol."""
DATABASES = (UNSEEN, "train+val")
HEADLINE_METRIC = "mAP@all"
PUBLISHED = "_published.yaml"
"""How the name of a config ends that has the settings of a method's authors."""
Matched = Sequence[tuple[DeclaredRun, Result | None]]

_PLACE = ["ranking", "system", "protocol", "database", "direction", "metric"]
_ORDER = {
    "ranking": (MODEL, *NULLS),
    "protocol": tuple(DIRECTIONS),
    "database": DATABASES,
    "direction": tuple(dict.fromkeys(name for names in DIRECTIONS.values() for name in names)),
    "metric": METRICS,
}


@dataclass(frozen=True)
class Panel:
    """What is compared: the systems on a data set at a number of bits, and those without codes."""

    data: str
    num_bits: int | None
    rows: pd.DataFrame
    """By system, in the order of the file: ``bits`` (0 without codes), ``declared`` (runs), ``results`` (those that
    were run), ``settings`` and ``trials``."""

    @cached_property
    def results(self) -> list[Result]:
        """The results of all rows."""
        return [result for results in self.rows.results for result in results]

    @property
    def title(self) -> str:
        """Data and bits."""
        return self.data if self.num_bits is None else f"{self.data}, {self.num_bits} bits"

    @cached_property
    def queries(self) -> str:
        """The query subset that speaks for a system."""
        abnormal = any(result.queries and ABNORMAL in result.queries.subsets for result in self.results)
        return ABNORMAL if abnormal else ALL

    @cached_property
    def spreads(self) -> pd.DataFrame:
        """Mean, sd and number of values over seeds, by the names in `_PLACE`, for the query subset."""
        numbers = self._numbers.dropna(subset="value").groupby(_PLACE, observed=True).value
        return numbers.agg(mean="mean", sd="std", seeds="count")

    @cached_property
    def headline(self) -> pd.DataFrame:
        """Mean and sd over seeds of the mean of both directions, by ranking and system."""
        chosen = self._numbers
        for name, value in zip(("protocol", "database", "metric"), (*HEADLINE, HEADLINE_METRIC), strict=True):
            chosen = chosen[chosen[name] == value]
        directions = list(DIRECTIONS[HEADLINE[0]])
        values = chosen.set_index(["ranking", "system", "run", "direction"]).value.unstack().reindex(columns=directions)
        means = values.mean(axis=1, skipna=False).dropna()  # of a run; without one direction it has none
        return means.groupby(["ranking", "system"], observed=True).agg(mean="mean", sd="std")

    def best(self, protocol: str) -> str | None:
        """Find the system whose nulls are shown: of those with codes, if any, the one with the best headline.

        Args:
            protocol: What codes may see; methods without such codes are passed over.
        """
        has = [any(protocol in (result.results or {}) for result in results) for results in self.rows.results]
        run = self.rows[has]
        coded = run[run.bits > 0] if (run.bits > 0).any() else run
        means = self.headline["mean"]
        return max(coded.index, key=lambda system: means.get((MODEL, system), -1.0), default=None)

    @cached_property
    def _numbers(self) -> pd.DataFrame:
        """Every number of the query subset, a row each."""
        runs = ((system, result) for system, results in self.rows.results.items() for result in results)
        found = (
            (number, system, *values)
            for number, (system, result) in enumerate(runs)
            for values in _numbers_of(result, self.queries)
        )
        columns = ["run", "system", "protocol", "database", "direction", "ranking", "metric", "value"]
        frame = pd.DataFrame(found, columns=columns).astype({"value": float})
        for name, values in (_ORDER | {"system": tuple(self.rows.index)}).items():
            frame[name] = pd.Categorical(frame[name], values, ordered=True)
        return frame


def _numbers_of(result: Result, queries: str) -> Iterator[tuple[str, str, str, str, str, float | None]]:
    for protocol, of_protocol in (result.results or {}).items():
        for database, of_database in of_protocol.items():
            for direction, of_direction in of_database.get(queries, {}).items():
                for ranking, of_ranking in of_direction.items():
                    for metric, (value, _, _) in of_ranking.items():
                        yield protocol, database, direction, ranking, metric, value


def panels(runs: Matched, results: Sequence[Result], folders: Mapping[str, Data]) -> list[Panel]:
    """Group the runs that are tested; data and systems in the order of the file, bits ascending.

    Args:
        runs: Runs with their results.
        results: All results, of which trials are counted.
        folders: The data in each folder, as far as known.
    """
    labels = labels_of_folders([run for run, _ in runs], folders)
    trials = [one for one in results if one.is_trial]
    made = []
    for label in dict.fromkeys(labels[run.root] for run, _ in runs):
        members = [(run, result) for run, result in runs if labels[run.root] == label]
        rows = _rows(members, trials, folders.get(members[0][0].root))
        bits: list[int | None] = [*sorted({run.declared_bits for run, _ in members if run.declared_bits is not None})]
        made += [Panel(label, one, rows[rows.bits.isin([one or 0, 0])]) for one in bits or [None]]
    return made


def _rows(runs: Matched, trials: Sequence[Result], data: Data | None) -> pd.DataFrame:
    """Make a row for each system and number of bits; see `Panel.rows`."""
    of_runs = pd.DataFrame(
        {
            "system": [run.system for run, _ in runs],
            "bits": [run.declared_bits or 0 for run, _ in runs],
            "results": [result for _, result in runs],
            "published": [str(run.parameters[CONFIG]).endswith(PUBLISHED) for run, _ in runs],
        }
    )
    rows = of_runs.groupby(["system", "bits"], sort=False).agg(
        declared=("system", "size"),
        results=("results", lambda found: [result for result in found if result is not None]),
        published=("published", "all"),
    )
    rows = rows.reset_index("bits")
    for system in rows.index[rows.bits == 0].intersection(rows.index[rows.bits > 0]):
        raise DataError(f"{system!r} is declared with and without model.num_bits; give one of them another name")
    on_any = {slug(one.system) for one in trials}
    on_these = Counter(slug(one.system) for one in trials if data and one.data.key == data.key)
    # Settings are published by the method's authors, or tuned by trials on these or other data.
    tuned = ["tuned" if slug(system) in on_any else "-" for system in rows.index]
    rows["settings"] = pd.Series(tuned, rows.index).mask(rows.published, "published")
    rows["trials"] = [on_these[slug(system)] for system in rows.index]
    return rows


def labels_of_folders(runs: Sequence[DeclaredRun], folders: Mapping[str, Data]) -> dict[str, str]:
    """Name the data of each folder: by their name, with the encoder where two share it.

    Args:
        runs: Declared runs.
        folders: The data in folders; a folder that is not among them stands for itself.
    """
    used = {run.root: folders[run.root] for run in runs if run.root in folders}
    labels = {run.root: run.root for run in runs}
    for root, data in used.items():
        shared = len({other.key for other in used.values() if other.name == data.name}) > 1
        labels[root] = f"{data.name} ({data.encoder})" if shared else data.name
    return labels
