"""Names, tables and figure of the measurements of searches."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from measurements import markdown, save_figure

DRAWN, UNIFORM = "drawn around Open-i", "uniform"  # codes drawn around real ones, and codes of independent fair bits

REAL = "real-valued, faiss IndexFlatIP"
FLAT, HASH = "codes, FlatIndex", "codes, HashIndex"
FAISS_FLAT, MULTI_HASH = "codes, faiss IndexBinaryFlat", "codes, faiss IndexBinaryMultiHash"
FAISS_HASH = "codes, faiss IndexBinaryHash"  # in `search_sizes` only
TITLES = {
    REAL: "(a) real-valued, faiss `IndexFlatIP`",
    FLAT: "`FlatIndex`",
    HASH: "`HashIndex`",
    FAISS_FLAT: "(b) faiss `IndexBinaryFlat`",
    MULTI_HASH: "(c) faiss `IndexBinaryMultiHash`",
    FAISS_HASH: "faiss `IndexBinaryHash`",
}
"""Systems in the order of the tables."""
ENCODING = "encoding a text query"

ONE, BATCH = "ms, one query", "ms a query, batch"
RATIOS = {ONE: "times as fast, one query", BATCH: "times as fast, batch"}
BYTES, RESIDENT, OPENING = "index, bytes", "resident growth, MB", "opening, ms"
DISTINCT, TIED = "distinct codes", "items at the distance of the last hit"
QUALITY = ("mAP@all I→T", "mAP@all T→I", "mAP@50 I→T", "mAP@50 T→I")  # by depth, then by direction

PARTS = ("quality", "speed", "memory", "claims")
KEYS = ["system", "data", "items", "width", "threads", "metric"]
"""Columns that name a value. ``width`` is the bits of a code or the numbers of an embedding; what does not apply is
empty or 0."""

PUBLISHED_SPEED, PUBLISHED_MEMORY = 1.73, 1 / 4
ASKED, GOAL, ASKED_MEMORY = 10, 50, 1 / 1024
BITS, LONG = 16, 64
_STYLES = {FAISS_FLAT: "s--", FLAT: "o-", HASH: "^-"}

Values = Mapping[tuple[str, str, int, int, int, str], float]


def by_key(rows: pd.DataFrame) -> Values:
    """Map the `KEYS` of each row to its value."""
    return dict(zip(rows[KEYS].itertuples(index=False, name=None), rows["value"], strict=True))


def sizes(rows: pd.DataFrame) -> list[int]:
    """List the numbers of items that were searched, ascending."""
    return sorted(rows.loc[rows["metric"] == BYTES, "items"].unique().tolist())


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render the tables of the page by part."""
    drawn = sizes(rows)
    speeds = [speed(rows, DRAWN, items) for items in drawn]
    if UNIFORM in set(rows["data"]):
        speeds.append(speed(rows, UNIFORM, drawn[-1]))
    rendered = (quality(rows, drawn[-1]), "\n\n".join(speeds), memory(rows, drawn[-1]), claims(rows))
    return dict(zip(PARTS, rendered, strict=True))


def quality(rows: pd.DataFrame, items: int) -> str:
    """Render the mAP of each width, next to distinct codes and the number of items tied with the last hit."""
    values = by_key(rows)
    lines = []
    for system, width in rows[rows["metric"] == QUALITY[0]][["system", "width"]].itertuples(index=False):
        crowd = [values.get((system, DRAWN, items, width, 0, name)) for name in (DISTINCT, TIED)]
        cells = [f"{values[system, '', 0, width, 0, name]:.3f}" for name in QUALITY]
        lines.append([_width(system, width), *cells, *("" if value is None else f"{value:,.0f}" for value in crowd)])
    return _table(lines, ["width", *QUALITY, f"distinct codes of {items:,}", "tied with the 50th"])


def speed(rows: pd.DataFrame, data: str, items: int) -> str:
    """Render milliseconds a query and, in brackets, how many times as fast as real-valued search that is."""
    values = by_key(rows)
    columns = [(ONE, 1), *((BATCH, count) for count in sorted(rows.loc[rows["metric"] == BATCH, "threads"].unique()))]
    lines = []
    for system, width in _systems(rows, data, items):
        cells = []
        for metric, threads in columns:
            key = system, data, items, width, threads
            time, ratio = values.get((*key, metric)), values.get((*key, RATIOS[metric]))
            cell = "" if time is None else _short(time)
            cells.append(cell if ratio is None else f"{cell} ({_times(ratio)})")
        lines.append([TITLES[system], _width(system, width), *cells])
    heads = [f"{metric.split(', ')[1]}, {count} thread{'s' if count > 1 else ''}" for metric, count in columns]
    return _table(lines, [f"N = {items:,}, {data}: ms a query", "width", *heads])


def memory(rows: pd.DataFrame, items: int) -> str:
    """Render MB of the index and the time to open it, by system."""
    values = by_key(rows)
    real = values[REAL, DRAWN, items, _real_width(rows), 0, BYTES]
    lines = []
    for system, width in _systems(rows, DRAWN, items):
        size, resident, opening = (values[system, DRAWN, items, width, 0, name] for name in (BYTES, RESIDENT, OPENING))
        cells = [_short(size / 1e6), f"1/{real / size:,.0f}", _short(resident), _short(opening)]
        lines.append([TITLES[system], _width(system, width), *cells])
    heads = [f"N = {items:,}, {DRAWN}", "width", "index, MB", "of real-valued", "resident, MB", "opening, ms"]
    return _table(lines, heads)


def claims(rows: pd.DataFrame) -> str:
    """Render what was claimed for the method or asked for, next to what was measured and what that makes of it."""
    values, largest, real = by_key(rows), sizes(rows)[-1], _real_width(rows)
    lines = [
        [f"{PUBLISHED_SPEED} x faster than real-valued", f"N = {items:,}, `FlatIndex`, {how}", _times(ratio), verdict]
        for items in sizes(rows)
        for how, ratio in _speeds(values, items, real)
        for verdict in ["confirmed" if ratio >= PUBLISHED_SPEED else "refuted"]
    ]
    size = {key: values[key[0], DRAWN, largest, key[1], 0, BYTES] for key in _systems(rows, DRAWN, largest)}
    for system, name in ((FLAT, "codes alone, `FlatIndex`"), (HASH, "`HashIndex`")):
        if (system, LONG) not in size:  # a table is for short codes
            continue
        share = size[system, BITS] / size[system, LONG]
        verdict = "confirmed" if share <= PUBLISHED_MEMORY else "refuted"
        claim = f"{BITS} bits take 1/4 of the memory of {LONG}"
        lines.append([claim, f"N = {largest:,}, {name}", f"{share:.3f}", verdict])
    for system in (FLAT, HASH):
        share = size[system, BITS] / size[REAL, real]
        for metric, how in ((ONE, "one query"), (BATCH, "batch")):
            ratio = values[system, DRAWN, largest, BITS, 1, RATIOS[metric]]
            verdict = "goal reached" if ratio >= GOAL else "reached, goal missed" if ratio >= ASKED else "missed"
            if share > ASKED_MEMORY:
                verdict += ", memory missed"
            claim = f"{ASKED} x (goal {GOAL} x) faster in 1/1,024 of the memory"
            measured = f"{_times(ratio)} in 1/{1 / share:,.0f}"
            lines.append([claim, f"N = {largest:,}, {TITLES[system]}, {how}", measured, verdict])
    return markdown(pd.DataFrame(lines, columns=["claim", "setting", "measured", ""]), "llrl")


def _speeds(values: Values, items: int, real_width: int) -> Iterator[tuple[str, float]]:
    """List how many times as fast codes of 16 bits are: the search alone, and with the encoding of the query."""
    for metric, how in ((ONE, "one query"), (BATCH, "batch")):
        yield how, values[FLAT, DRAWN, items, BITS, 1, RATIOS[metric]]
    encoding = values.get((ENCODING, "", 0, BITS, 1, ONE))
    if encoding is not None:
        real, flat = values[REAL, DRAWN, items, real_width, 1, ONE], values[FLAT, DRAWN, items, BITS, 1, ONE]
        yield f"one text query, its encoding ({encoding:.0f} ms) included", (encoding + real) / (encoding + flat)


def plot(path: Path, rows: pd.DataFrame) -> None:
    """Draw the time of one query and the size of the index for the largest number of items, by width and mAP."""
    values, items, real = by_key(rows), sizes(rows)[-1], _real_width(rows)
    widths = [width for system, width in _systems(rows, DRAWN, items) if system == FLAT]
    ticks = [f"{width} bits\n{_mean_quality(values, FLAT, width)}" for width in widths]
    ticks.append(f"{real} numbers\n{_mean_quality(values, REAL, real)}")
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    figure.suptitle(f"Search among {items:,} items drawn around Open-i, one thread", fontsize="medium")
    for panel, metric, threads, scale, label in zip(
        figure.subplots(1, 2), (ONE, BYTES), (1, 0), (1.0, 1e6), ("ms, one query", "index, MB"), strict=True
    ):
        for system, style in _STYLES.items():
            keys = [(system, DRAWN, items, width, threads, metric) for width in widths]
            places = [place for place, key in enumerate(keys) if key in values]
            heights = [values[keys[place]] / scale for place in places]
            panel.plot(places, heights, style, label=system, markersize=5)
        height = values[REAL, DRAWN, items, real, threads, metric] / scale
        panel.plot([len(widths)], [height], "D", label=REAL, color="black")
        panel.set_yscale("log")
        panel.set_xticks(range(len(ticks)), ticks, fontsize="x-small")
        panel.set(ylabel=label, xlabel="width, and mAP@all (mean of I→T and T→I)")
        panel.grid(alpha=0.3)
    figure.axes[0].legend(fontsize="x-small")
    save_figure(figure, path, "search")


def _mean_quality(values: Values, system: str, width: int) -> str:
    return f"{sum(values[system, '', 0, width, 0, name] for name in QUALITY[:2]) / 2:.3f}"


def _systems(rows: pd.DataFrame, data: str, items: int) -> Iterator[tuple[str, int]]:
    """List each system with its widths, ascending."""
    shown = rows[(rows["data"] == data) & (rows["items"] == items)]
    for system in TITLES:
        yield from ((system, width) for width in sorted(shown.loc[shown["system"] == system, "width"].unique()))


def _real_width(rows: pd.DataFrame) -> int:
    return int(rows.loc[rows["system"] == REAL, "width"].iloc[0])


def _width(system: str, width: int) -> str:
    return f"{width} numbers" if system == REAL else f"{width} bits"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} x" if ratio >= 10 else f"{ratio:.2f} x"


def _short(value: float) -> str:
    """Write a number with three digits."""
    digits = next((digits for digits, least in enumerate((100, 10, 0.1)) if value >= least), 3)
    return f"{value:,.{digits}f}"


def _table(lines: list[list[str]], heads: list[str]) -> str:
    return markdown(pd.DataFrame(lines, columns=heads))
