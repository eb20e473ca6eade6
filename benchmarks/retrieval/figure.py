"""The figure of the page: time and memory of a search by width."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from retrieval.rows import BYTES, DRAWN, FAISS_FLAT, FLAT, HASH, ONE, QUALITY, REAL, Row, Values, by_key, sizes

_STYLES = {FAISS_FLAT: "s--", FLAT: "o-", HASH: "^-"}


def plot(path: Path, rows: Sequence[Row]) -> None:
    """Time of one query and size of the index for the largest number of items, with the mAP under each width."""
    values = by_key(rows)
    items = sizes(rows)[-1]
    real = next(row.width for row in rows if row.system == REAL)
    widths = sorted({row.width for row in rows if (row.system, row.data, row.items) == (FLAT, DRAWN, items)})
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    figure.suptitle(f"Search among {items:,} items drawn around Open-i, one thread", fontsize="medium")
    for panel, metric, scale, label in zip(
        figure.subplots(1, 2), (ONE, BYTES), (1.0, 1e6), ("ms, one query", "index, MB"), strict=True
    ):
        threads = 1 if metric == ONE else 0
        for system, style in _STYLES.items():
            panel.plot(
                [values[system, DRAWN, items, width, threads, metric] / scale for width in widths],
                style, label=system, markersize=5,
            )  # fmt: skip
        panel.plot(
            [len(widths)], [values[REAL, DRAWN, items, real, threads, metric] / scale], "D", label=REAL, color="black"
        )
        panel.set_yscale("log")
        ticks = [f"{width} bits\n{_map(values, FLAT, width)}" for width in widths]
        ticks.append(f"{real} numbers\n{_map(values, REAL, real)}")
        panel.set_xticks(range(len(ticks)), ticks, fontsize="x-small")
        panel.set(ylabel=label, xlabel="width, and mAP@all (mean of I→T and T→I)")
        panel.grid(alpha=0.3)
    figure.axes[0].legend(fontsize="x-small")
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "search", "svg.fonttype": "none"}):  # the same bytes every time
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _map(values: Values, system: str, width: int) -> str:
    return f"{(values[system, '', 0, width, 0, QUALITY[0]] + values[system, '', 0, width, 0, QUALITY[1]]) / 2:.3f}"
