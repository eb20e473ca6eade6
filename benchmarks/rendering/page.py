"""The page of a table file: everything that is rendered, a pure function of the declared runs and of results."""

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path

import pandas as pd

from mcmfh_lightning.errors import DataError
from mcmfh_lightning.sweeps.declared import ROOT, DeclaredRun, canonical, written
from mcmfh_lightning.sweeps.page import NOT_RUN, RESEARCH_USE, UNDEFINED, pipe_table, with_sd
from mcmfh_lightning.sweeps.result import METRICS, MODEL, UNSEEN, Data, Result, match
from rendering.curve import curve_file
from rendering.panels import FIVE, PLACE, VIEWS, Matched, Panel, labels_of_folders, panels
from rendering.sections import panel_sections

_LEGEND = (
    "Mean ± standard deviation over seeds of tie-aware metrics. *mean*: of the five searches I→T, T→I, I→I, I→case and "
    "T→case, by which rows are ordered; T→T is not in it. A case has image and text; in no search but *paired* has the "
    "code of a query seen its partner. *settings* are those published by the method's authors, or tuned by trials on a "
    "validation split, of these data or of others; *trials*: how many there were on these data; "
    f"*{UNDEFINED}*: the settings are neither, or the method has no such codes. Rows in italics are nulls."
)


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
    best = {protocol: panel.best(view) for view, columns in VIEWS.items() for protocol, _ in columns}
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
        sections += _bits_section(name, of_data)
        for panel in of_data:
            sections += panel_sections(panel)
    for (name, metric), of_metric in trials.groupby(["data", "metric"]):
        note = "Validation split; the best of each system in bold."
        sections.append(f"## {name}: tuning trials\n\n{note}\n\n{_trial_table(of_metric, metric)}")
    return "\n\n".join(sections) + "\n"


def _bits_section(name: str, compared: Sequence[Panel]) -> list[str]:
    """Write the mean of the five searches by number of bits, where there are several."""
    coded = [panel for panel in compared if panel.num_bits is not None]
    if len(coded) < 2:
        return []
    lines = []
    for system in dict.fromkeys(system for panel in coded for system in panel.rows.index[panel.rows.num_bits > 0]):
        cells = []
        for panel in coded:
            is_run = system in panel.rows.index and panel.rows.results[system]
            mean, sd = panel.headline.reindex([(MODEL, system)]).iloc[0]
            cells.append(with_sd(mean, sd) if is_run else NOT_RUN)
        lines.append([system, *cells])
    note = f"{METRICS[0]}, database `{UNSEEN}`, queries `{coded[0].queries}`."
    table = pipe_table(["system", *(f"{panel.num_bits} bits" for panel in coded)], lines, left=1)
    title = f"{name}: mean of the {FIVE} by code length"
    parts = [f"### {title}", note, table]
    if sum(bool(panel.results) for panel in coded) > 1:
        parts.append(f"![{title}]({curve_file(name)}.svg)")
    return ["\n\n".join(parts)]


def _data_note(data: Data) -> str:
    pairs = " / ".join(f"{number:,}" for number in data.pairs.values())
    encoder = f"embeddings of {data.encoder}" if data.encoder else "raw pairs"
    return f"{pairs} pairs ({' / '.join(data.pairs)}), {data.num_labels} labels, {encoder}. "


def _trial_table(trials: pd.DataFrame, metric: str) -> str:
    lines = []
    for one in trials.itertuples():
        value = with_sd(one.value, nan)
        shown = (f"**{value}**" if one.chosen else value) if one.run else NOT_RUN
        lines.append([one.system, f"`{one.settings}`" if one.settings else "", shown])
    return pipe_table(["system", "settings", f"best {metric}"], lines, left=2)
