"""Sections of a page about one panel: its tables, and its reference against the other systems."""

from math import nan

import pandas as pd
from measurements import ARROWS

from mcmfh_lightning.searches import MEASURED
from mcmfh_lightning.sweeps.page import NOT_RUN, UNDEFINED, pipe_table, short, with_sd
from mcmfh_lightning.sweeps.result import (
    ALL,
    CHANCE,
    CONSTANT,
    METRICS,
    MODEL,
    MONITOR,
    NULLS,
    SHUFFLED,
    SHUFFLED_WITHIN,
    UNSEEN,
)
from rendering.comparison import DRAWS, MEAN
from rendering.panels import DATABASES, FIVE, VIEWS, Panel

MARGIN = 0.01
"""A search in which the reference is further behind the best row is named."""
_PAIRED = "A query sees its own partner: not comparable with the other tables."
_NAMES = {MEAN: MEAN, **ARROWS}
_FIRST = UNSEEN, METRICS[0]


def panel_sections(panel: Panel) -> list[str]:
    """Write the sections of a panel: first the searches of unseen items and the reference, then everything else."""
    sections = [_searches(panel, UNSEEN, METRICS[0])]
    if panel.differences is not None and panel.results:
        sections += [_against_the_others(panel), *_search_by_search(panel)]
    measured = {
        (protocol == "paired", database)
        for result in panel.results
        for protocol, of_protocol in (result.results or {}).items()
        for database in of_protocol
    }
    others = [(database, metric) for database in DATABASES for metric in METRICS if (database, metric) != _FIRST]
    sections += [_searches(panel, *place) for place in others if (False, place[0]) in measured]
    for database in DATABASES:
        if (True, database) in measured:
            title = f"### {panel.title}: paired, {database}"
            sections.append(f"{title}\n\n{_note(panel, 'paired', database)} {_PAIRED}\n\n{_paired(panel, database)}")
    return sections


def _searches(panel: Panel, database: str, metric: str) -> str:
    """Write a column for each search and, first, their mean; only the first table says how systems were run."""
    names = [_NAMES[direction] for _, direction in VIEWS["searches"]]
    table = _table(panel, "searches", database, [metric], names, runs=(database, metric) == _FIRST)
    return f"### {panel.title}: {metric}, {database}\n\n{_note(panel, 'searches', database)}\n\n{table}"


def _paired(panel: Panel, database: str) -> str:
    names = [f"{metric} {_NAMES[direction]}" for metric in METRICS for _, direction in VIEWS["paired"]]
    return _table(panel, "paired", database, METRICS, names, runs=False)


def _table(
    panel: Panel, view: str, database: str, metrics: list[str] | tuple[str, ...], names: list[str], *, runs: bool
) -> str:
    """Write the systems and, below them, what they have to beat."""
    level = panel.spreads.index.get_level_values
    spreads = panel.spreads[(level("database") == database) & level("metric").isin(metrics)].droplevel("database")
    cells: dict[tuple[str, str], dict[tuple[str, str, str], str]] = {}  # by ranking and system, then by place
    for (ranking, system, *place), mean, sd in zip(spreads.index, spreads["mean"], spreads.sd, strict=True):
        # Without the deviation of what no seed changes.
        text = short(mean) if sd == 0 and ranking != MODEL else with_sd(mean, sd)
        cells.setdefault((ranking, system), {})[tuple(place)] = text
    places = [(protocol, direction, metric) for metric in metrics for protocol, direction in VIEWS[view]]
    about = ["settings", "bits", "seeds", "trials"] if runs else ["bits"]
    lines = []
    for system in panel.ordered:
        row = panel.rows.loc[system]
        of_model = cells.get((MODEL, system), {})
        missing = UNDEFINED if row.results else NOT_RUN
        lines.append([system, *(str(row[name]) for name in about), *(of_model.get(place, missing) for place in places)])
    best = panel.best(view)
    for null in NULLS:  # a collection without a normal label has not all of them
        if (null, best) in cells:
            of_null = cells[null, best]
            lines.append([f"*{null}*", *[""] * len(about), *(of_null.get(place, UNDEFINED) for place in places)])
    return pipe_table(["system", *about, *names], lines, left=2 if runs else 1)


def _note(panel: Panel, view: str, database: str) -> str:
    """Describe what a table shows: database, queries, whose nulls."""
    if not panel.results:  # whether there are abnormal queries is unknown
        return f"Database `{database}`."
    best = panel.best(view)
    return f"Database `{database}`, queries {_queries(panel)}{f'; nulls of {best}' if best is not None else ''}."


def _queries(panel: Panel) -> str:
    """Name the query subset, with its number of queries."""
    queries = next((result.queries for result in panel.results if result.queries), None)
    if queries is None:
        return f"`{panel.queries}`"
    number = len(queries.group) if panel.queries == ALL else sum(queries.subsets[panel.queries])
    return f"`{panel.queries}` ({number:,})"


def _against_the_others(panel: Panel) -> str:
    """Write the reference against the other rows: the mean of the five searches, then each."""
    note = (
        f"{METRICS[0]}, database `{UNSEEN}`, queries {_queries(panel)}. A positive number means that {panel.reference} "
        f"is ahead in the mean of the {FIVE}. AP of each query is averaged over seeds. The 95 % interval is of "
        f"{DRAWS:,} resamples of groups: the spread of seeds is not in it, but next to each mean. p is two-sided, "
        f"from the same resamples (at least {short(2 / (DRAWS + 1))}); Holm: corrected for "
        f"{int((panel.differences.direction == MEAN).sum())} comparisons. The last columns are the differences in each "
        "search; `comparison.csv` has their intervals."
    )
    head = ["system", "bits", "seeds", MONITOR, "mean", f"{panel.reference} ahead by", "p", "p (Holm)"]
    lines = []
    for system in panel.ordered:
        row = panel.rows.loc[system]
        cells = [NOT_RUN] * (len(head) - 3 + len(MEASURED))
        if row.results:
            best = pd.Series([result.best for result in row.results], dtype=float)
            mean, sd = panel.headline.reindex([(MODEL, system)]).iloc[0]
            cells = [with_sd(best.mean(), best.std()), with_sd(mean, sd), *_ahead(panel, system)]
        lines.append([system, row.bits, row.seeds, *cells])
    table = pipe_table([*head, *(ARROWS[name] for name in MEASURED)], lines, left=1)
    return f"### {panel.title}: {panel.reference} against the others\n\n{note}\n\n{table}"


def _ahead(panel: Panel, system: str) -> list[str]:
    """Write by how much the reference is ahead of a system: interval and p of the mean, then each search."""
    if system == panel.reference:
        return ["reference", *[""] * (2 + len(MEASURED))]
    ours = panel.differences[panel.differences.system == system].set_index("direction")
    mean = [UNDEFINED, "", ""]
    if MEAN in ours.index:
        of = ours.loc[MEAN]
        mean = [f"{short(of.difference)} [{short(of.low)}, {short(of.high)}]", short(of.p), short(of.p_holm)]
    return [*mean, *(with_sd(one, nan) for one in ours.difference.reindex(MEASURED).astype(float))]


def _search_by_search(panel: Panel) -> list[str]:
    """Write the reference next to the best other row with codes and to its own nulls, search by search."""
    values = panel.spreads["mean"].xs((UNSEEN, METRICS[0]), level=["database", "metric"]).unstack(["ranking", "system"])
    others = [name for name in panel.rows.index[panel.rows.num_bits > 0] if (MODEL, name) in values]
    others = [name for name in others if name != panel.reference]
    if not others or (MODEL, panel.reference) not in values:
        return []
    of_searches = values.reindex(VIEWS["searches"]).droplevel("protocol")
    ours, theirs = of_searches[MODEL, panel.reference], of_searches[MODEL][others]
    nulls = of_searches.xs(panel.reference, axis=1, level="system").reindex(columns=NULLS)
    best = theirs.max(axis=1)
    ahead = ours - best
    names = dict(theirs.dropna(how="all").idxmax(axis=1))
    shown = pd.DataFrame({panel.reference: ours, "best other": best, "ahead by": ahead})
    shown = shown.join(nulls[[CHANCE, SHUFFLED, SHUFFLED_WITHIN]])
    lines = [
        [
            _NAMES[search],
            *(with_sd(one, nan) for one in row[:3]),
            names.get(search, ""),
            *(with_sd(one, nan) for one in row[3:]),
        ]
        for search, row in zip(shown.index, shown.itertuples(index=False), strict=True)
    ]
    behind = ahead.reindex(MEASURED) < -MARGIN
    below = (nulls.drop(columns=CONSTANT).ge(ours, axis=0)).any(axis=1).reindex(MEASURED)
    note = (
        f"{panel.reference} next to the best other row of {panel.num_bits} bits in each search, and to its own nulls. "
        f"More than {short(MARGIN)} behind that row: {_listed(behind)}. Not above a null that reads no labels: "
        f"{_listed(below)}."
    )
    head = ["search", panel.reference, "best other", "ahead by", "which", CHANCE, SHUFFLED, SHUFFLED_WITHIN]
    table = pipe_table(head, lines, left=1)
    return [f"### {panel.title}: {panel.reference} search by search\n\n{note}\n\n{table}"]


def _listed(chosen: "pd.Series[bool]") -> str:
    return ", ".join(ARROWS[search] for search in chosen.index[chosen]) or "in no search"
