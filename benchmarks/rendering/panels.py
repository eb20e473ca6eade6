"""Panels of a table: the systems on one data set at one number of bits, over their seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.protocols import PROTOCOLS
from mcmfh_lightning.searches import MEASURED, SEARCHES
from mcmfh_lightning.sweeps.declared import CONFIG, DeclaredRun, slug
from mcmfh_lightning.sweeps.result import ABNORMAL, ALL, METRICS, MODEL, NULLS, UNSEEN, Data, Result
from rendering.comparison import MEAN, compare
from rendering.store import PLACES

Matched = Sequence[tuple[DeclaredRun, Result | None]]
FIVE = "five searches"
"""What stands in the place of the protocol of a mean over `MEASURED`."""
VIEWS: Mapping[str, Sequence[tuple[str, str]]] = {
    "searches": [(FIVE, MEAN), *((protocol, search) for search, protocol in PLACES.items()), ("unimodal", "t2t")],
    "paired": [("paired", direction.name) for direction in PROTOCOLS["paired"]],
}
"""What tables show: the columns of each, protocol and direction. The mean leaves out T→T, and nothing else."""
DATABASES = (UNSEEN, "train+val")
PLACE = ["ranking", "system", "protocol", "database", "direction", "metric"]
"""The names that place a number; their values are ordered as below, systems as in the file."""
_ORDER = {
    "ranking": (MODEL, *NULLS),
    "protocol": [FIVE, *PROTOCOLS],
    "database": DATABASES,
    "direction": [MEAN, *SEARCHES],
    "metric": METRICS,
}


@dataclass(frozen=True)
class Panel:
    """The systems on a data set at a number of bits, and those without codes.

    Attributes:
        data: Name of the data.
        num_bits: Bits of a code; None if nothing has codes.
        rows: By system, in the order of the file: ``num_bits`` (0 without codes), ``declared`` (number of runs),
            ``results`` (a list), ``settings``, ``trials``, and for the eye ``bits`` and ``seeds``.
        reference: The system that others are compared with, if it is one of several.
    """

    data: str
    num_bits: int | None
    rows: pd.DataFrame
    reference: str | None

    @cached_property
    def results(self) -> list[Result]:
        """Return the results of all rows."""
        return [result for results in self.rows.results for result in results]

    @property
    def title(self) -> str:
        """Return data and bits."""
        return self.data if self.num_bits is None else f"{self.data}, {self.num_bits} bits"

    @cached_property
    def queries(self) -> str:
        """Return the query subset of all numbers."""
        abnormal = any(result.queries and ABNORMAL in result.queries.subsets for result in self.results)
        return ABNORMAL if abnormal else ALL

    @cached_property
    def spreads(self) -> pd.DataFrame:
        """Compute mean, sd and number of values over seeds, by the names in `PLACE`."""
        numbers = self._numbers.dropna(subset="value").groupby(PLACE, observed=True).value
        return numbers.agg(mean="mean", sd="std", seeds="count")

    @cached_property
    def headline(self) -> pd.DataFrame:
        """Look up mean and sd over seeds of the mean mAP@all of the five searches, by ranking and system."""
        level = self.spreads.index.get_level_values
        chosen = (level("protocol") == FIVE) & (level("database") == UNSEEN) & (level("metric") == METRICS[0])
        return self.spreads[chosen].droplevel(PLACE[2:])[["mean", "sd"]]

    @cached_property
    def ordered(self) -> list[str]:
        """Sort the systems by their mean of the five searches, the best first; those without one come last."""
        means = self.headline["mean"]
        return sorted(self.rows.index, key=lambda system: -means.get((MODEL, system), -1.0))

    @cached_property
    def differences(self) -> pd.DataFrame | None:
        """Compare the reference with every other system that was run."""
        return self.reference and compare(dict(self.rows.results), self.reference, self.queries)

    def best(self, view: str) -> str | None:
        """Find the system whose nulls are shown: of those with codes, if any, the one with the best headline.

        Args:
            view: One of `VIEWS`; methods without codes of its protocols are passed over.
        """
        protocols = {protocol for protocol, _ in VIEWS[view]}
        run = self.rows[[any(protocols & {*(one.results or {})} for one in found) for found in self.rows.results]]
        coded = run[run.num_bits > 0] if (run.num_bits > 0).any() else run
        means = self.headline["mean"]
        return max(coded.index, key=lambda system: means.get((MODEL, system), -1.0), default=None)

    @cached_property
    def _numbers(self) -> pd.DataFrame:
        """List every number of the query subset, a row each."""
        runs = ((system, result) for system, results in self.rows.results.items() for result in results)
        found = (
            (run, system, protocol, database, direction, ranking, metric, value)
            for run, (system, result) in enumerate(runs)
            for protocol, of_protocol in (result.results or {}).items()
            for database, of_database in of_protocol.items()
            for direction, of_direction in of_database.get(self.queries, {}).items()
            for ranking, of_ranking in of_direction.items()
            for metric, (value, _, _) in of_ranking.items()
        )
        columns = ["run", "system", "protocol", "database", "direction", "ranking", "metric", "value"]
        frame = pd.DataFrame(found, columns=columns).astype({"value": float})
        frame = pd.concat([frame, _means(frame)])
        for name, values in (_ORDER | {"system": self.rows.index}).items():
            frame[name] = pd.Categorical(frame[name], values, ordered=True)
        return frame


def _means(numbers: pd.DataFrame) -> pd.DataFrame:
    """Average the five searches of each run and ranking; there is no mean where one of them is missing or undefined."""
    of_five = numbers[numbers.protocol.isin({*PLACES.values()}) & numbers.direction.isin(MEASURED)]
    runs = ["run", "system", "database", "ranking", "metric"]
    values = of_five.set_index([*runs, "direction"]).value.unstack().reindex(columns=MEASURED)
    means = values.mean(axis=1, skipna=False).dropna()
    return means.rename("value").reset_index().assign(protocol=FIVE, direction=MEAN)


def panels(runs: Matched, results: Sequence[Result], folders: Mapping[str, Data], reference: str | None) -> list[Panel]:
    """Group the runs that are tested; data and systems in the order of the file, bits ascending.

    Args:
        runs: Runs with their results.
        results: All results, of which trials are counted.
        folders: The data in each folder, as far as known.
        reference: The system that others are compared with.

    Raises:
        DataError: If a system is declared with and without codes.
    """
    labels = labels_of_folders([run for run, _ in runs], folders)
    trials = [one for one in results if one.is_trial]
    made = []
    for label in dict.fromkeys(labels[run.root] for run, _ in runs):
        members = [(run, result) for run, result in runs if labels[run.root] == label]
        rows = _rows(members, trials, folders.get(members[0][0].root))
        for num_bits in sorted({*rows.num_bits} - {0}) or [0]:
            of_panel = rows[rows.num_bits.isin([num_bits, 0])]
            if of_panel.index.has_duplicates:
                system = of_panel.index[of_panel.index.duplicated()][0]
                raise DataError(
                    f"{system!r} is declared with and without model.num_bits; give one of them another name"
                )
            against = reference if reference in of_panel.index and len(of_panel) > 1 else None
            made.append(Panel(label, num_bits or None, of_panel, against))
    return made


def _rows(runs: Matched, trials: Sequence[Result], data: Data | None) -> pd.DataFrame:
    """Make a row for each system and number of bits; see `Panel`."""
    tuned = {slug(one.system) for one in trials}  # on these or other data
    on_these = Counter(slug(one.system) for one in trials if data and one.data.key == data.key)
    lines = []
    for system, num_bits in dict.fromkeys((run.system, run.declared_bits or 0) for run, _ in runs):
        members = [(run, result) for run, result in runs if (run.system, run.declared_bits or 0) == (system, num_bits)]
        results = [result for _, result in members if result is not None]
        # A method that ranks by cosine has no bits; one whose bits follow from the data has them in its results.
        measured = sorted({result.num_bits for result in results if result.num_bits is not None})
        bits = ", ".join(map(str, [num_bits] if num_bits else measured)) or ("real-valued" if results else "")
        settings = "tuned" if slug(system) in tuned else "-"
        if all(str(run.parameters[CONFIG]).endswith("_published.yaml") for run, _ in members):
            settings = "published"  # by the method's authors
        seeds = str(len(results)) if len(results) == len(members) else f"{len(results)} of {len(members)}"
        lines.append((system, num_bits, len(members), results, settings, on_these[slug(system)], bits, seeds))
    columns = ["system", "num_bits", "declared", "results", "settings", "trials", "bits", "seeds"]
    return pd.DataFrame(lines, columns=columns).set_index("system")


def labels_of_folders(runs: Sequence[DeclaredRun], folders: Mapping[str, Data]) -> dict[str, str]:
    """Name the data of each folder: by their name, with the encoder where two share it.

    Args:
        runs: Declared runs.
        folders: The data in folders; others are called by their path.
    """
    used = {run.root: folders[run.root] for run in runs if run.root in folders}
    labels = {run.root: run.root for run in runs}
    for root, data in used.items():
        shared = len({other.key for other in used.values() if other.name == data.name}) > 1
        labels[root] = f"{data.name} ({data.encoder})" if shared else data.name
    return labels
