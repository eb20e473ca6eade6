"""The page of a table file: everything that is rendered, a pure function of the declared runs and of results."""

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path

import pandas as pd
from measurements import ARROWS

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps.declared import ROOT, DeclaredRun, canonical, written
from mcmfh_lightning.sweeps.page import NOT_RUN, RESEARCH_USE, UNDEFINED, pipe_table, short, with_sd
from mcmfh_lightning.sweeps.result import ALL, METRICS, MODEL, MONITOR, NULLS, Data, Result, match
from rendering.comparison import DRAWS, MEAN
from rendering.panels import DATABASES, DIRECTIONS, HEADLINE, PLACE, Matched, Panel, labels_of_folders, panels

_LEGEND = (
    "Mean ± standard deviation over seeds of tie-aware metrics; *settings* are those published by the method's "
    "authors, or tuned by trials on a validation split, of these data or of others; *trials*: how many there were on "
    f"these data; *{UNDEFINED}*: the settings are neither, or the method has no such codes."
)
_PAIRED = " A query sees its own partner: not comparable with the other protocols."


def make_page(
    runs: Sequence[DeclaredRun], results: Sequence[Result], reference: str | None, folders: Mapping[str, Data]
) -> tuple[list[Panel], pd.DataFrame]:
    """Match runs with results and compare them.

    Args:
        runs: Declared runs.
        results: All results that are kept.
        reference: The system that the others are compared with; None takes the first that is tested.
        folders: The data in each folder, where they were looked at; else those that results name.

    Returns:
        What is compared; and the tuning trials: ``data``, ``system``, ``metric``, ``settings`` (the flags that vary
        within the system's trials), ``run``, ``value`` (NaN if it was not run or is undefined) and ``chosen`` (the best
        of its system on its data).

    Raises:
        DataError: If no tested system has the reference's name, or results are not comparable.
    """
    known, found = match(runs, results, folders)
    tested = [(run, result) for run, result in found if not run.is_trial]
    systems = list(dict.fromkeys(run.system for run, _ in tested))
    if reference is not None and reference not in systems:
        raise DataError(f"--reference {reference!r} is not a tested system; choose one of {', '.join(systems) or '-'}")
    trials = [(run, result) for run, result in found if run.is_trial]
    compared = panels(tested, results, known, reference or next(iter(systems), None))
    return compared, _trials(trials, labels_of_folders(runs, known))


def _trials(runs: Matched, labels: Mapping[str, str]) -> pd.DataFrame:
    """List tuning trials in the order of the file; see `make_page`."""
    lines = []
    for run, result in runs:
        same = [one for one, _ in runs if (one.system, one.root, one.metric) == (run.system, run.root, run.metric)]
        names = dict.fromkeys(name for one in same for name in one.parameters if name != ROOT)
        varying = [name for name in names if len({canonical(one.parameters.get(name)) for one in same}) > 1]
        settings = ", ".join(f"{name} {written(run.parameters.get(name))}" for name in varying)
        value = None if result is None else result.best
        lines.append((labels[run.root], run.system, run.metric, settings, result is not None, value, run.goal))
    columns = ["data", "system", "metric", "settings", "run", "value", "goal"]
    made = pd.DataFrame(lines, columns=columns).astype({"value": float, "run": bool})
    grouped = made.groupby(["data", "system", "metric"]).value
    made["chosen"] = made.value == grouped.transform("max").mask(made.goal == "minimize", grouped.transform("min"))
    return made.drop(columns="goal")


def write_csv(folder: Path, compared: Sequence[Panel], trials: pd.DataFrame) -> None:
    """Write ``table.csv``, ``comparison.csv`` and ``trials.csv``, those of them that have a line.

    Numbers are rounded as results are; what is undefined stays empty.

    Args:
        folder: An existing folder.
        compared: What is compared.
        trials: Tuning trials.
    """
    numbers, differences = [], []
    for panel in compared:
        place = {"data": panel.data, "num_bits": panel.num_bits, "queries": panel.queries}
        numbers.append(_numbers(panel).assign(**place))
        if panel.differences is not None:
            differences.append(panel.differences.assign(**place, reference=panel.reference))
    head = (
        "data num_bits protocol database queries direction metric system settings ranking mean sd seeds declared trials"
    )
    against = "data num_bits queries reference system direction difference low high p p_holm"
    for name, frames, columns in (
        ("table.csv", numbers, head.split()),
        ("comparison.csv", differences, against.split()),
        ("trials.csv", [trials], None),
    ):
        lines = [frame for frame in frames if len(frame)]
        if lines:
            content = pd.concat(lines).reindex(columns=columns)
            content.round(6).to_csv(folder / name, index=False, lineterminator="\r\n")


def _numbers(panel: Panel) -> pd.DataFrame:
    """List the spreads of each system and, protocol by protocol, of the best one's nulls."""
    found = panel.spreads.reset_index()
    best = {protocol: panel.best(protocol) for protocol in DIRECTIONS}
    is_model = found.ranking == MODEL
    nulls = found[~is_model & (found.system.astype(object) == found.protocol.map(best).astype(object))]
    ordered = [found[is_model].sort_values(PLACE[1:]), nulls.sort_values([PLACE[0], *PLACE[2:]])]
    return pd.concat(ordered).join(panel.rows[["settings", "declared", "trials"]], on="system")


def markdown(compared: Sequence[Panel], trials: pd.DataFrame, file: str) -> str:
    """Render everything.

    Args:
        compared: What is compared.
        trials: Tuning trials.
        file: Name of the table file.
    """
    sections = [f"# {file}\n\nWritten by `benchmarks/table.py`: change the runs, not this page. {RESEARCH_USE}"]
    for name in dict.fromkeys(panel.data for panel in compared):
        of_data = [panel for panel in compared if panel.data == name]
        data = next((result.data for panel in of_data for result in panel.results), None)
        sections.append(f"## {name}\n\n{_data_note(data) if data else ''}{_LEGEND}")
        for panel in of_data:
            sections += _panel_sections(panel)
    for (name, metric), of_metric in trials.groupby(["data", "metric"]):
        note = "Validation split; the best of each system in bold."
        sections.append(f"## {name}: tuning trials\n\n{note}\n\n{_trial_table(of_metric, metric)}")
    return "\n\n".join(sections) + "\n"


def _data_note(data: Data) -> str:
    pairs = " / ".join(f"{number:,}" for number in data.pairs.values())
    encoder = f"embeddings of {data.encoder}" if data.encoder else "raw pairs"
    return f"{pairs} pairs ({' / '.join(data.pairs)}), {data.num_labels} labels, {encoder}. "


def _panel_sections(panel: Panel) -> list[str]:
    measured = {HEADLINE}  # in any case; else what any result has
    for result in panel.results:
        measured |= {(protocol, database) for protocol, of in (result.results or {}).items() for database in of}
    sections = [
        f"### {panel.title}: {protocol}, {database}\n\n{_note(panel, protocol, database)}\n\n"
        f"{_panel_table(panel, protocol, database)}"
        for protocol in DIRECTIONS
        for database in DATABASES
        if (protocol, database) in measured
    ]
    if panel.differences is not None and panel.results:
        title = f"### {panel.title}: {panel.reference} against the others"
        note = (
            f"{METRICS[0]}, protocol `{HEADLINE[0]}`, database `{HEADLINE[1]}`, queries {_queries(panel)}. AP of each "
            f"query is averaged over seeds; a positive number means that {panel.reference} is ahead, with the 95 % "
            f"interval of {DRAWS:,} resamples of groups. p is two-sided, from the same resamples (at least "
            f"{short(2 / (DRAWS + 1))}); Holm: corrected for {panel.differences.system.nunique()} comparisons."
        )
        sections.append(f"{title}\n\n{note}\n\n{_comparison_table(panel, panel.differences)}")
    return sections


def _panel_table(panel: Panel, protocol: str, database: str) -> str:
    """Write the systems and, below them, what they have to beat."""
    text = panel.spreads.apply(lambda one: with_sd(one["mean"], one.sd), axis=1).astype(object)
    steady = (text.index.get_level_values("ranking") != MODEL) & (panel.spreads.sd == 0)
    text = text.mask(steady, panel.spreads["mean"].map(short))  # without the deviation of what no seed changes
    places = [(metric, direction) for metric in METRICS for direction in DIRECTIONS[protocol]]
    level = text.index.get_level_values
    text = text[(level("protocol") == protocol) & (level("database") == database)]
    # By ranking and system, a column for each metric and direction; what was not measured is empty.
    cells = text.droplevel(["protocol", "database"]).unstack(["metric", "direction"]).reindex(columns=places)
    lines = []
    for system, row in panel.rows.iterrows():
        empty = pd.Series(UNDEFINED if row.results else NOT_RUN, cells.columns)
        numbers = cells.loc[(MODEL, system)].fillna(UNDEFINED) if (MODEL, system) in cells.index else empty
        lines.append([system, row.settings, row.bits, row.seeds, str(row.trials), *numbers])
    for null in NULLS:  # a collection without a normal label has not all of them
        at = (null, panel.best(protocol))
        if at in cells.index:
            lines.append([f"*{null}*", "", "", "", "", *cells.loc[at].fillna(UNDEFINED)])
    names = [f"{metric} {ARROWS[direction]}" for metric, direction in places]
    return pipe_table(["system", "settings", "bits", "seeds", "trials", *names], lines, left=2)


def _note(panel: Panel, protocol: str, database: str) -> str:
    """Describe what a table shows: protocol, database, queries, chance, nulls, and the leak of `paired`."""
    if not panel.results:  # whether there are abnormal queries is unknown
        return f"Protocol `{protocol}`, database `{database}`."
    text = f"Protocol `{protocol}`, database `{database}`, queries {_queries(panel)}"
    best = panel.best(protocol)
    if best is not None:
        places = [(NULLS[0], best, protocol, database, way, METRICS[0]) for way in DIRECTIONS[protocol]]
        chances = [short(panel.spreads["mean"].get(place, nan)) for place in places]
        text += f"; chance {' / '.join(dict.fromkeys(chances))}; nulls of {best}"
    return f"{text}.{_PAIRED if protocol == 'paired' else ''}"


def _queries(panel: Panel) -> str:
    """Name the query subset, with its number of queries."""
    queries = next((result.queries for result in panel.results if result.queries), None)
    if queries is None:
        return f"`{panel.queries}`"
    number = len(queries.group) if panel.queries == ALL else sum(queries.subsets[panel.queries])
    return f"`{panel.queries}` ({number:,})"


def _comparison_table(panel: Panel, differences: pd.DataFrame) -> str:
    """Write the reference against the other rows."""
    directions = DIRECTIONS[HEADLINE[0]]
    head = ["system", "bits", "seeds", MONITOR, f"{METRICS[0]}, mean of directions", f"{panel.reference} ahead by"]
    head += [*map(ARROWS.__getitem__, directions), "p", "p (Holm)"]
    lines = []
    for system, row in panel.rows.iterrows():
        cells = [NOT_RUN] * (len(head) - 3)
        if row.results:
            best = pd.Series([result.best for result in row.results], dtype=float)
            mean, sd = panel.headline.reindex([(MODEL, system)]).iloc[0]
            ours = differences[differences.system == system].set_index("direction")
            ahead = ["reference" if system == panel.reference else UNDEFINED, *[""] * (len(head) - 6)]
            if len(ours):
                of = ours.loc[[MEAN, *directions]].itertuples()
                ahead = [f"{short(one.difference)} [{short(one.low)}, {short(one.high)}]" for one in of]
                ahead += [short(ours.p[MEAN]), short(ours.p_holm[MEAN])]
            cells = [with_sd(best.mean(), best.std()), with_sd(mean, sd), *ahead]
        lines.append([system, row.bits, row.seeds, *cells])
    return pipe_table(head, lines, left=1)


def _trial_table(trials: pd.DataFrame, metric: str) -> str:
    lines = []
    for one in trials.itertuples():
        value = with_sd(one.value, nan)
        shown = (f"**{value}**" if one.chosen else value) if one.run else NOT_RUN
        lines.append([one.system, f"`{one.settings}`" if one.settings else "", shown])
    return pipe_table(["system", "settings", f"best {metric}"], lines, left=2)
