"""Effect of the order of the gallery on an evaluator that breaks ties by position; see docs/concepts/ties.md.

    python benchmarks/ties.py --features DIR [--checkpoint FILE] [--csv FILE] [--plot FILE] [--ranking FILE]

The codes of a test split, of a trained hasher (``--checkpoint``) or of 16 random hyperplanes, are ranked for each other
in ten random orders of the gallery, and in the order of the label sets and its reverse, by

    (a) mAP@50 as UCMFH defines it, ties by position (its own sort is not stable), AP divided by the hits among the
        first 50, nothing left out,
    (b) our mAP@50 with ties by position: AP divided by min(50, R), the query's own study left out,
    (c) our mAP@50: the same, in expectation over all orders of ties.

Prints a table in Markdown, writes a CSV file and a figure. With ``--ranking``, the ``ranking.csv`` of a tested model,
it also prints what a constant ranking scores next to that model.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from measurements import ARROWS, Row, markdown, options, read, report, save_figure
from torch import Tensor

from mcmfh_lightning.evaluation.nulls import RandomHyperplanes
from mcmfh_lightning.hashers.stored import load_hasher
from mcmfh_lightning.metrics import functional
from mcmfh_lightning.shards import FeatureShardReader

K = 50
BITS = 16
ORDERS = 10
SORTED = ["by label set", "by label set, reversed"]
DIRECTIONS = {"I→T": ("image", "text"), "T→I": ("text", "image")}
VALUES = {
    "legacy": f"(a) usual mAP@{K}",
    "by_position": "(b) ours, ties by position",
    "tie_aware": "(c) ours, tie-aware",
}


def test_split(folder: Path) -> dict[str, Tensor]:
    """Read the pairs of the test split that have both modalities."""
    reader = FeatureShardReader(folder, "test")
    rows = reader.gather(np.flatnonzero(reader.present.all(axis=1)))
    return {name: torch.from_numpy(array) for name, array in rows.items()}


def make_codes(batch: dict[str, Tensor], checkpoint: Path | None) -> tuple[str, int, dict[str, Tensor]]:
    """Hash the pairs by a trained hasher or, without one, by the signs of random projections of raw embeddings.

    Returns:
        Name of the codes, number of bits, and (N, ceil(num_bits / 8)) packed codes by modality.
    """
    if checkpoint is None:
        planes = RandomHyperplanes(BITS, batch["image"].shape[1], batch["text"].shape[1], 0, torch.device("cpu"))
        return f"random hyperplanes, {BITS} bits", BITS, planes.codes(batch)
    hasher = load_hasher(checkpoint).hasher
    with torch.inference_mode():
        codes = hasher.evaluate(batch)
    num_bits = int(hasher.architecture["num_bits"])
    packed = {side: functional.pack_signs(codes[side]) for side in ("image", "text")}
    return f"{type(hasher).__name__}, {num_bits} bits", num_bits, packed


def gallery_orders(labels: Tensor) -> dict[str, Tensor]:
    """Make ten random orders by their seed, and two that a folder of files may well have."""
    count = len(labels)
    orders = {str(s): torch.randperm(count, generator=torch.Generator().manual_seed(s)) for s in range(ORDERS)}
    by_labels = torch.from_numpy(np.lexsort(labels.numpy().T[::-1]))
    return orders | dict(zip(SORTED, (by_labels, by_labels.flip(0)), strict=True))


def measure(batch: dict[str, Tensor], checkpoint: Path | None) -> Iterator[Row]:
    """Measure each direction and order of the gallery."""
    name, num_bits, packed = make_codes(batch, checkpoint)
    labels, groups = batch["labels"], batch["group"]
    for direction, (query, database) in DIRECTIONS.items():
        for order, places in gallery_orders(labels).items():
            gallery = packed[query], packed[database][places], labels, labels[places]
            rankings = functional.average_precision(*one_item_a_level(*gallery, groups, groups[places]), k=K)
            counts = functional.hamming_histogram(*gallery, groups, groups[places], num_bits)
            values = {
                "legacy": functional.legacy_mean_average_precision(*gallery, k=K),
                "by_position": functional.mean_over_queries(rankings),
                "tie_aware": functional.mean_over_queries(functional.average_precision(*counts, k=K)),
            }
            row = {"codes": name, "direction": direction, "order": order}
            yield row | {value: float(number) for value, number in values.items()}


def one_item_a_level(
    query_codes: Tensor, codes: Tensor, query_labels: Tensor, labels: Tensor, query_groups: Tensor, groups: Tensor
) -> tuple[Tensor, Tensor]:
    """Count the ranking in which ties are broken by position: each level has at most one item."""
    order = functional.hamming_distances(query_codes, codes).argsort(dim=1, stable=True)  # (Q, N)
    counted = (query_groups[:, None] != groups).gather(1, order)
    return counted.long(), (functional.share_label(query_labels, labels).gather(1, order) & counted).long()


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render the lowest and highest value over the ten orders, and the values of the sorted ones."""
    lines = []
    for direction, shown in rows.groupby("direction", sort=False):
        by_order = shown.set_index("order")
        for value, title in VALUES.items():
            ten = by_order[value].iloc[:ORDERS]
            numbers = (ten.min(), ten.max(), *by_order.loc[SORTED, value])
            lines.append([direction, title, *(f"{number:.3f}" for number in numbers)])
    heads = ["direction", "evaluator", "lowest of ten", "highest of ten", *(f"gallery {order}" for order in SORTED)]
    return {"ties": markdown(pd.DataFrame(lines, columns=heads), "ll")}


def constant_table(ranking: pd.DataFrame) -> str:
    """Render a model and the better constant ranking by mAP@all, from the rows of a ``ranking.csv``."""
    shown = ranking.query("protocol == 'unimodal' and database == 'unseen' and metric == 'mAP@all'")
    values: Mapping[tuple[str, str, str], float] = shown.set_index(["queries", "direction", "system"])["value"]
    systems = {"chance": "chance", "model": "trained model", "constant": "constant ranking"}
    lines = [
        [queries, ARROWS[direction], *(f"{float(values[queries, direction, system]):.3f}" for system in systems)]
        for queries in ("all", "abnormal")
        for direction in ("i2t", "t2i")
    ]
    return markdown(pd.DataFrame(lines, columns=["queries", "direction", *systems.values()]), "ll")


def plot(path: Path, rows: pd.DataFrame) -> None:
    """Draw a panel for each direction, and a point for each order of the gallery."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    panels = figure.subplots(1, len(DIRECTIONS), sharey=True)
    figure.suptitle(f"The same codes ({rows['codes'].iloc[0]}), the gallery in other orders", fontsize="medium")
    ticks = [str(number + 1) for number in range(ORDERS)] + ["sorted", "reversed"]
    for panel, (direction, shown) in zip(panels, rows.groupby("direction", sort=False), strict=True):
        for (value, title), style in zip(VALUES.items(), ("o", "s", "-"), strict=True):
            panel.plot(shown[value].to_list(), style, label=title, markersize=4)
        panel.set_xticks(range(len(ticks)), ticks, fontsize="x-small", rotation=45)
        panel.axvline(ORDERS - 0.5, color="gray", linewidth=0.5)
        panel.set(title=direction, xlabel="order of the gallery")
        panel.grid(alpha=0.3)
    panels[0].set(ylabel=f"mAP@{K}", ylim=(0, None))
    panels[0].legend(fontsize="x-small", loc="lower left")
    save_figure(figure, path, "ties")


def main() -> None:
    """Measure, print and write."""
    parser = options(__doc__, "features", "csv", "plot")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint of a hasher; without it, random hyperplanes")
    parser.add_argument("--ranking", type=Path, help="ranking.csv of `mcmfh test`, for the second table")
    arguments = parser.parse_args()
    report(arguments, measure(test_split(arguments.features), arguments.checkpoint), tables, plot)
    if arguments.ranking is not None:
        print(f"\n{constant_table(read(arguments.ranking))}")


if __name__ == "__main__":
    main()
