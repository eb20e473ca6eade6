"""A page as Markdown."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import isnan

from mcmfh_lightning.bench.tables.comparison import DRAWS, Comparison, Difference
from mcmfh_lightning.bench.tables.page import ComparedPanel, Page
from mcmfh_lightning.bench.tables.rows import Panel, Row, Spread
from mcmfh_lightning.bench.tables.trials import Trial
from mcmfh_lightning.bench.tables.words import (
    ALL,
    CHANCE,
    DATABASES,
    HEADLINE,
    HEADLINE_METRIC,
    METRICS,
    MODEL,
    MONITOR,
    NULLS,
    PAIRED_NOTE,
    PROTOCOLS,
    RESEARCH_USE,
    arrow,
    short,
)

NOT_RUN, UNDEFINED = "not run", "-"
_LEGEND = (
    "Mean ± standard deviation over seeds of tie-aware metrics; *settings* are those published by the method's "
    "authors, or tuned by trials on a validation split, of these data or of others; *trials*: how many there were on "
    f"these data; *{UNDEFINED}*: the settings are neither, or the method has no such codes."
)


def markdown(page: Page, file: str) -> str:
    """Render everything.

    Args:
        page: What is rendered.
        file: Name of the table file.
    """
    sections = [f"# {file}\n\nWritten by `mcmfh-bench table`: change the runs, not this page. {RESEARCH_USE}"]
    for _, of_data in groupby(page.panels, lambda one: one.panel.data):
        sections += _data_sections(list(of_data))
    by_data = sorted(page.trials, key=lambda trial: (trial.data, trial.metric))
    for (data, metric), of_set in groupby(by_data, lambda trial: (trial.data, trial.metric)):
        sections.append(trial_section(data, metric, list(of_set)))
    return "\n\n".join(sections) + "\n"


def panel_table(panel: Panel, protocol: str, database: str) -> str:
    """The systems and, below them, what they have to beat.

    Args:
        panel: The systems.
        protocol: What codes may see.
        database: What is ranked.
    """
    queries = panel.headline_queries
    places = [(metric, direction) for metric in METRICS for direction in PROTOCOLS[protocol]]
    head = [
        "system",
        "settings",
        "bits",
        "seeds",
        "trials",
        *(f"{metric} {arrow(direction)}" for metric, direction in places),
    ]
    lines = []
    for row in panel.rows:
        values = [row.values(protocol, database, queries, way, MODEL, metric) for metric, way in places]
        numbers = [with_sd(value) if row.results else NOT_RUN for value in values]
        lines.append([row.system, row.settings, _bits(row), _seeds(row), str(row.trials), *numbers])
    best = panel.best_row_of(protocol)
    for null in NULLS:
        if best is None:
            break
        values = [best.values(protocol, database, queries, way, null, metric) for metric, way in places]
        if not all(isnan(value.mean) for value in values):  # a collection without a normal label has not all of them
            lines.append([f"*{null}*", "", "", "", "", *(_of_null(value) for value in values)])
    return pipe_table(head, lines, left=2)


def panel_note(panel: Panel, protocol: str, database: str) -> str:
    """What a table is of: protocol, database, queries, chance, nulls, and the leak of `paired`."""
    if not panel.results:  # nothing tells whether there are abnormal queries
        return f"Protocol `{protocol}`, database `{database}`."
    queries = panel.headline_queries
    said = [f"Protocol `{protocol}`, database `{database}`, queries `{queries}`{_number_of_queries(panel)}"]
    best = panel.best_row_of(protocol)
    if best is not None:
        chances = [
            short(best.values(protocol, database, queries, direction, CHANCE, HEADLINE_METRIC).mean)
            for direction in PROTOCOLS[protocol]
        ]
        said.append(f"chance {' / '.join(dict.fromkeys(chances))}")
        said.append(f"nulls of {best.system}")
    return "; ".join(said) + "." + (f" {PAIRED_NOTE}" if protocol == "paired" else "")


def comparison_table(compared: ComparedPanel, reference: Row) -> str:
    """The reference against the other rows.

    Args:
        compared: A panel with its comparisons.
        reference: Its reference.
    """
    panel = compared.panel
    directions = PROTOCOLS[HEADLINE[0]]
    head = [
        "system",
        "bits",
        "seeds",
        MONITOR,
        f"{HEADLINE_METRIC}, mean of directions",
        f"{reference.system} ahead by",
    ]
    head += [*(arrow(direction) for direction in directions), "p", "p (Holm)"]
    lines = []
    for row in panel.rows:
        start = [row.system, _bits(row), _seeds(row)]
        if not row.results:
            lines.append([*start, *[NOT_RUN] * (len(head) - len(start))])
            continue
        start += [with_sd(row.best), with_sd(row.mean_of_directions(*HEADLINE, panel.headline_queries))]
        one = compared.comparisons.get(row.system)
        empty = "reference" if row is reference else UNDEFINED
        lines.append([*start, *(_compared_cells(one) if one else [empty, *[""] * (len(head) - len(start) - 1)])])
    return pipe_table(head, lines, left=1)


def trial_section(data: str, metric: str, trials: Sequence[Trial]) -> str:
    """The trials of a data set, the best of each system in bold.

    Args:
        data: Name of the data.
        metric: What they are judged by.
        trials: Those of the data and the metric.
    """
    lines = []
    for trial in trials:
        number = UNDEFINED if isnan(trial.value) else short(trial.value)
        shown = f"**{number}**" if trial.chosen else number
        lines.append([trial.system, f"`{trial.settings}`" if trial.settings else "", shown if trial.run else NOT_RUN])
    table = pipe_table(["system", "settings", f"best {metric}"], lines, left=2)
    return f"## {data}: tuning trials\n\nValidation split; the best of each system in bold.\n\n{table}"


def with_sd(value: Spread) -> str:
    """Mean ± standard deviation, the mean alone of a single run; a dash where nothing is defined."""
    if isnan(value.mean):
        return UNDEFINED
    return short(value.mean) if isnan(value.sd) else f"{short(value.mean)} ± {short(value.sd)}"


def pipe_table(head: Sequence[str], lines: Iterable[Sequence[str]], left: int) -> str:
    """A table in Markdown whose first columns are flush left, the others right."""
    rule = "|" + "---|" * left + "---:|" * (len(head) - left)
    return "\n".join([_line(head), rule, *(_line(line) for line in lines)])


def _data_sections(panels: Sequence[ComparedPanel]) -> list[str]:
    sections = [f"## {panels[0].panel.data}\n\n{_data_note([one.panel for one in panels])}{_LEGEND}"]
    for compared in panels:
        panel = compared.panel
        for protocol, database in _places(panel):
            title = f"### {panel.title}: {protocol}, {database}"
            table = panel_table(panel, protocol, database)
            sections.append(f"{title}\n\n{panel_note(panel, protocol, database)}\n\n{table}")
        if compared.reference is not None and panel.results:
            title = f"### {panel.title}: {compared.reference.system} against the others"
            table = comparison_table(compared, compared.reference)
            sections.append(f"{title}\n\n{_comparison_note(compared, compared.reference)}\n\n{table}")
    return sections


def _places(panel: Panel) -> list[tuple[str, str]]:
    """Protocol and database of each table: what any result has, and the headline in any case."""
    measured = {HEADLINE}
    for result in panel.results:
        measured |= {(protocol, database) for protocol, of in (result.results or {}).items() for database in of}
    return [
        (protocol, database) for protocol in PROTOCOLS for database in DATABASES if (protocol, database) in measured
    ]


def _data_note(panels: Sequence[Panel]) -> str:
    results = [result for panel in panels for result in panel.results]
    if not results:
        return ""
    data = results[0].data
    pairs = " / ".join(f"{number:,}" for number in data.pairs.values())
    encoder = f"embeddings of {data.encoder}" if data.encoder else "raw pairs"
    return f"{pairs} pairs ({' / '.join(data.pairs)}), {data.num_labels} labels, {encoder}. "


def _number_of_queries(panel: Panel) -> str:
    queries = next((result.queries for result in panel.results if result.queries), None)
    if queries is None:
        return ""
    chosen = panel.headline_queries
    return f" ({len(queries.group) if chosen == ALL else sum(queries.subsets[chosen]):,})"


def _comparison_note(compared: ComparedPanel, reference: Row) -> str:
    protocol, database = HEADLINE
    number = len(compared.comparisons)
    return (
        f"{HEADLINE_METRIC}, protocol `{protocol}`, database `{database}`, queries "
        f"`{compared.panel.headline_queries}`{_number_of_queries(compared.panel)}. AP of each query is averaged over "
        f"seeds; a positive number means that {reference.system} is ahead, with the 95 % interval of {DRAWS:,} "
        f"resamples of groups. p is two-sided, from the same resamples (at least {short(2 / (DRAWS + 1))}); Holm: "
        f"corrected for {number} comparisons."
    )


def _compared_cells(one: Comparison) -> list[str]:
    numbers = [_interval(one.mean), *(_interval(difference) for difference in one.directions.values())]
    return [*numbers, short(one.p), short(one.p_holm)]


def _interval(difference: Difference) -> str:
    return f"{short(difference.value)} [{short(difference.low)}, {short(difference.high)}]"


def _of_null(value: Spread) -> str:
    """Without the deviation of what is the same for every seed."""
    return short(value.mean) if value.sd == 0 else with_sd(value)


def _seeds(row: Row) -> str:
    run = len(row.results)
    return str(run) if run == row.declared else f"{run} of {row.declared}"


def _bits(row: Row) -> str:
    """As measured: a method that ranks by cosine has none."""
    if row.num_bits is not None:
        return str(row.num_bits)
    measured = {result.num_bits for result in row.results if result.num_bits is not None}
    return ", ".join(map(str, sorted(measured))) if measured else "real-valued" if row.results else ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
