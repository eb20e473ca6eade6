"""The page of a table file: everything that is rendered, a pure function of the declared runs and of results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps.declared import ROOT, DeclaredRun, canonical, written
from mcmfh_lightning.sweeps.page import NOT_RUN, RESEARCH_USE, UNDEFINED, pipe_table, short, with_sd
from mcmfh_lightning.sweeps.result import (
    ALL,
    CHANCE,
    METRICS,
    MODEL,
    MONITOR,
    NULLS,
    Data,
    Result,
    data_of_folders,
    matched,
)
from rendering.comparison import DRAWS, MEAN, compare
from rendering.panels import (
    DATABASES,
    DIRECTIONS,
    HEADLINE,
    HEADLINE_METRIC,
    Matched,
    Panel,
    labels_of_folders,
    panels,
)

_LEGEND = (
    "Mean ± standard deviation over seeds of tie-aware metrics; *settings* are those published by the method's "
    "authors, or tuned by trials on a validation split, of these data or of others; *trials*: how many there were on "
    f"these data; *{UNDEFINED}*: the settings are neither, or the method has no such codes."
)
_PAIRED = " A query sees its own partner: not comparable with the other protocols."


class Compared(NamedTuple):
    """A panel, and its reference against the other rows."""

    panel: Panel
    reference: str | None
    """None if it is not declared on these data, or nothing else is."""
    differences: pd.DataFrame | None
    """From `compare`."""


class Page(NamedTuple):
    """Everything that is rendered."""

    panels: list[Compared]
    trials: pd.DataFrame
    """Tuning trials: ``data``, ``system``, ``metric``, ``settings`` (the flags that vary within the system's trials),
    ``run``, ``value`` (NaN if it was not run or is undefined) and ``chosen`` (the best of its system on its data)."""


def make_page(
    runs: Sequence[DeclaredRun], results: Sequence[Result], reference: str | None, folders: Mapping[str, Data]
) -> Page:
    """Put together what is rendered.

    Args:
        runs: Declared runs.
        results: All results that are kept.
        reference: The system that the others are compared with; None takes the first that is tested.
        folders: The data in each folder, where they were looked at; else those that results name.

    Raises:
        DataError: If no tested system has the reference's name, or results are not comparable.
    """
    known = data_of_folders({run.root for run in runs}, results, folders)
    found = matched(runs, results, known)
    tested = [(run, result) for run, result in found if not run.is_trial]
    systems = list(dict.fromkeys(run.system for run, _ in tested))
    if reference is not None and reference not in systems:
        raise DataError(f"--reference {reference!r} is not a tested system; choose one of {', '.join(systems) or '-'}")
    chosen = reference or next(iter(systems), None)
    compared = []
    for panel in panels(tested, results, known):
        against = chosen if chosen in panel.rows.index and len(panel.rows) > 1 else None
        compared.append(Compared(panel, against, None if against is None else compare(panel, against)))
    trials = [(run, result) for run, result in found if run.is_trial]
    return Page(compared, _trials(trials, labels_of_folders(runs, known)))


def markdown(page: Page, file: str) -> str:
    """Render everything.

    Args:
        page: What is rendered.
        file: Name of the table file.
    """
    sections = [f"# {file}\n\nWritten by `benchmarks/table.py`: change the runs, not this page. {RESEARCH_USE}"]
    for data in dict.fromkeys(one.panel.data for one in page.panels):
        of_data = [one for one in page.panels if one.panel.data == data]
        sections.append(f"## {data}\n\n{_data_note([one.panel for one in of_data])}{_LEGEND}")
        for compared in of_data:
            sections += _panel_sections(compared)
    for (data, metric), trials in page.trials.groupby(["data", "metric"]):
        sections.append(
            f"## {data}: tuning trials\n\nValidation split; the best of each system in bold.\n\n"
            f"{_trial_table(trials, metric)}"
        )
    return "\n\n".join(sections) + "\n"


def write_csv(folder: Path, page: Page) -> None:
    """Write ``table.csv``, ``comparison.csv`` and ``trials.csv``, those of them that have a line.

    Numbers are rounded as results are; what is undefined stays empty.

    Args:
        folder: An existing folder.
        page: What is rendered.
    """
    numbers, differences = [pd.DataFrame()], [pd.DataFrame()]
    for panel, reference, of_panel in page.panels:
        place = {"data": panel.data, "num_bits": panel.num_bits}
        if panel.results:
            numbers.append(_numbers(panel).assign(**place, queries=panel.queries))
        if of_panel is not None and len(of_panel):
            differences.append(of_panel.assign(**place, queries=panel.queries, reference=reference))
    columns = ["data", "num_bits", "protocol", "database", "queries", "direction", "metric", "system", "settings"]
    columns += ["ranking", "mean", "sd", "seeds", "declared", "trials"]
    start = ["data", "num_bits", "queries", "reference", "system", "direction", "difference", "low", "high", "p"]
    written_files = {
        "table.csv": pd.concat(numbers).reindex(columns=columns),
        "comparison.csv": pd.concat(differences).reindex(columns=[*start, "p_holm"]),
        "trials.csv": page.trials,
    }
    for name, frame in written_files.items():
        if len(frame):
            frame.round(6).to_csv(folder / name, index=False, lineterminator="\r\n")


def _numbers(panel: Panel) -> pd.DataFrame:
    """List the spreads of each system and, protocol by protocol, of the best one's nulls."""
    found = panel.spreads.reset_index()
    best = {protocol: panel.best(protocol) for protocol in DIRECTIONS}
    is_model = found.ranking == MODEL
    nulls = found[~is_model & (found.system.astype(object) == found.protocol.map(best).astype(object))]
    of_systems = found[is_model].sort_values(["system", "protocol", "database", "direction", "metric"])
    ordered = [of_systems, nulls.sort_values(["ranking", "protocol", "database", "direction", "metric"])]
    return pd.concat(ordered).join(panel.rows[["settings", "declared", "trials"]], on="system")


def _panel_sections(compared: Compared) -> list[str]:
    panel, reference, differences = compared
    measured = {HEADLINE}  # in any case; else what any result has
    for result in panel.results:
        measured |= {(protocol, database) for protocol, of in (result.results or {}).items() for database in of}
    places = [(protocol, database) for protocol in DIRECTIONS for database in DATABASES]
    sections = [
        f"### {panel.title}: {protocol}, {database}\n\n{_note(panel, protocol, database)}\n\n"
        f"{_panel_table(panel, protocol, database)}"
        for protocol, database in places
        if (protocol, database) in measured
    ]
    if reference is not None and differences is not None and panel.results:
        note = _comparison_note(panel, reference, differences.system.nunique())
        table = _comparison_table(panel, reference, differences)
        sections.append(f"### {panel.title}: {reference} against the others\n\n{note}\n\n{table}")
    return sections


def _panel_table(panel: Panel, protocol: str, database: str) -> str:
    """Write the systems and, below them, what they have to beat."""
    places = [(metric, direction) for metric in METRICS for direction in DIRECTIONS[protocol]]
    # Rows by ranking and system, a column for each metric and direction; what was not measured is empty.
    text = panel.spreads.apply(lambda one: with_sd(one["mean"], one.sd), axis=1).astype(object)
    steady = (text.index.get_level_values("ranking") != MODEL) & (panel.spreads.sd == 0)
    text = text.mask(steady, panel.spreads["mean"].map(short))  # without the deviation of what no seed changes
    levels = text.index.get_level_values
    shown = text[(levels("protocol") == protocol) & (levels("database") == database)]
    shown = shown.droplevel(["protocol", "database"]).unstack(["metric", "direction"]).reindex(columns=places)
    lines = []
    for system, row in panel.rows.iterrows():
        cells = [NOT_RUN] * len(places)
        if row.results:
            at = (MODEL, system)
            cells = shown.loc[at].fillna(UNDEFINED).tolist() if at in shown.index else [UNDEFINED] * len(places)
        lines.append([system, row.settings, _bits(row), _seeds(row), str(row.trials), *cells])
    for null in NULLS:  # a collection without a normal label has not all of them
        at = (null, panel.best(protocol))
        if at in shown.index:
            lines.append([f"*{null}*", "", "", "", "", *shown.loc[at].fillna(UNDEFINED)])
    names = [f"{metric} {arrow(direction)}" for metric, direction in places]
    return pipe_table(["system", "settings", "bits", "seeds", "trials", *names], lines, left=2)


def _note(panel: Panel, protocol: str, database: str) -> str:
    """Say what a table shows: protocol, database, queries, chance, nulls, and the leak of `paired`."""
    if not panel.results:  # whether there are abnormal queries is unknown
        return f"Protocol `{protocol}`, database `{database}`."
    text = f"Protocol `{protocol}`, database `{database}`, queries `{panel.queries}`{_number_of_queries(panel)}"
    best = panel.best(protocol)
    if best is not None:
        places = [(CHANCE, best, protocol, database, way, HEADLINE_METRIC) for way in DIRECTIONS[protocol]]
        chances = [short(panel.spreads["mean"].get(place, float("nan"))) for place in places]
        text += f"; chance {' / '.join(dict.fromkeys(chances))}; nulls of {best}"
    return f"{text}.{_PAIRED if protocol == 'paired' else ''}"


def _comparison_table(panel: Panel, reference: str, differences: pd.DataFrame) -> str:
    """Write the reference against the other rows."""
    directions = DIRECTIONS[HEADLINE[0]]
    head = ["system", "bits", "seeds", MONITOR, f"{HEADLINE_METRIC}, mean of directions", f"{reference} ahead by"]
    head += [*(arrow(direction) for direction in directions), "p", "p (Holm)"]
    lines = []
    for system, row in panel.rows.iterrows():
        if not row.results:
            lines.append([system, _bits(row), _seeds(row), *[NOT_RUN] * (len(head) - 3)])
            continue
        best = pd.Series([result.best for result in row.results], dtype=float)
        lines.append([system, _bits(row), _seeds(row), with_sd(best.mean(), best.std())])
        at = (MODEL, system)
        lines[-1].append(with_sd(*panel.headline.loc[at]) if at in panel.headline.index else UNDEFINED)
        ours = differences[differences.system == system].set_index("direction")
        if ours.empty:
            lines[-1] += ["reference" if system == reference else UNDEFINED, *[""] * (len(head) - 6)]
        else:
            for one in ours.loc[[MEAN, *directions]].itertuples():
                lines[-1].append(f"{short(one.difference)} [{short(one.low)}, {short(one.high)}]")
            lines[-1] += [short(ours.p[MEAN]), short(ours.p_holm[MEAN])]
    return pipe_table(head, lines, left=1)


def _comparison_note(panel: Panel, reference: str, number: int) -> str:
    protocol, database = HEADLINE
    return (
        f"{HEADLINE_METRIC}, protocol `{protocol}`, database `{database}`, queries "
        f"`{panel.queries}`{_number_of_queries(panel)}. AP of each query is averaged over "
        f"seeds; a positive number means that {reference} is ahead, with the 95 % interval of {DRAWS:,} "
        f"resamples of groups. p is two-sided, from the same resamples (at least {short(2 / (DRAWS + 1))}); Holm: "
        f"corrected for {number} comparisons."
    )


def _trials(runs: Matched, labels: Mapping[str, str]) -> pd.DataFrame:
    """List tuning trials in the order of the file; see `Page.trials`."""
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


def _trial_table(trials: pd.DataFrame, metric: str) -> str:
    lines = []
    for one in trials.itertuples():
        value = with_sd(one.value, float("nan"))
        shown = (f"**{value}**" if one.chosen else value) if one.run else NOT_RUN
        lines.append([one.system, f"`{one.settings}`" if one.settings else "", shown])
    return pipe_table(["system", "settings", f"best {metric}"], lines, left=2)


def _data_note(of_data: Sequence[Panel]) -> str:
    data = next((result.data for panel in of_data for result in panel.results), None)
    if data is None:
        return ""
    pairs = " / ".join(f"{number:,}" for number in data.pairs.values())
    encoder = f"embeddings of {data.encoder}" if data.encoder else "raw pairs"
    return f"{pairs} pairs ({' / '.join(data.pairs)}), {data.num_labels} labels, {encoder}. "


def _number_of_queries(panel: Panel) -> str:
    queries = next((result.queries for result in panel.results if result.queries), None)
    if queries is None:
        return ""
    return f" ({len(queries.group) if panel.queries == ALL else sum(queries.subsets[panel.queries]):,})"


def _seeds(row: pd.Series) -> str:
    run = len(row.results)
    return str(run) if run == row.declared else f"{run} of {row.declared}"


def _bits(row: pd.Series) -> str:
    """Write the bits as declared, else as measured: a method that ranks by cosine has none."""
    if row.bits:
        return str(row.bits)
    measured = {result.num_bits for result in row.results if result.num_bits is not None}
    return ", ".join(map(str, sorted(measured))) if measured else "real-valued" if row.results else ""


def arrow(direction: str) -> str:
    """Write a direction for the eye.

    >>> arrow("i2case")
    'I→case'
    """
    query, _, found = direction.partition("2")
    return f"{query.upper()}→{found.upper() if len(found) == 1 else found}"
