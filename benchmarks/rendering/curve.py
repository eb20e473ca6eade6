"""Figure of mAP by number of bits."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from mcmfh_lightning.sweeps.declared import slug
from mcmfh_lightning.sweeps.page import RESEARCH_USE, save
from mcmfh_lightning.sweeps.result import METRICS, MODEL, NULLS, UNSEEN
from rendering.panels import FIVE, Panel

_NULL_LINES = (("--", "black"), (":", "black"), ("-.", "black"), ("--", "gray"), (":", "gray"))


def plot_curves(folder: Path, panels: Sequence[Panel]) -> None:
    """Draw ``bits_<data>.svg`` and ``.png`` for data on which codes of several lengths were run.

    Args:
        folder: An existing folder.
        panels: What is compared.
    """
    coded = [panel for panel in panels if panel.num_bits is not None and panel.results]
    for data in dict.fromkeys(panel.data for panel in coded):
        several = [panel for panel in coded if panel.data == data]
        if len(several) > 1:
            save(_figure(data, several), folder / curve_file(data))


def curve_file(data: str) -> str:
    """Name the figure of data, without the ending."""
    return f"bits_{slug(data)}"


def _figure(data: str, panels: Sequence[Panel]) -> Figure:
    figure = Figure(figsize=(7.5, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    bits = [panel.num_bits for panel in panels]
    # Mean and sd by ranking and system, a column for each number of bits.
    headline = pd.concat([panel.headline for panel in panels], axis=1, keys=bits).swaplevel(axis=1)
    for system in dict.fromkeys(system for panel in panels for system in panel.rows.index):
        if (MODEL, system) in headline.index:
            mean = headline["mean"].loc[(MODEL, system)].dropna()
            sd = headline["sd"].loc[(MODEL, system)].reindex(mean.index).fillna(0.0)
            axes.errorbar(mean.index, mean, sd, marker="o", markersize=3, capsize=2, label=system)
    best = [panel.best("searches") for panel in panels]
    for null, (style, color) in zip(NULLS, _NULL_LINES, strict=True):
        at = zip(panels, best, strict=True)
        means = pd.Series([panel.headline["mean"].get((null, system)) for panel, system in at], bits, dtype=float)
        if means.notna().any():
            axes.plot(means.index, means, style, color=color, label=null, linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks(bits, [str(number) for number in bits])
    axes.set(
        title=f"{data}: {UNSEEN}, {panels[0].queries} queries",
        xlabel="bits of a code",
        ylabel=f"{METRICS[0]}, mean of the {FIVE}",
        ylim=(0, None),
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.supxlabel(RESEARCH_USE, fontsize="x-small")
    return figure
