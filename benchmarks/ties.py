"""What the order of the gallery does to an evaluator that breaks ties by position; see docs/concepts/ties.md.

    python benchmarks/ties.py --features DIR [--checkpoint FILE] [--csv FILE] [--plot FILE] [--ranking FILE]

The codes of a test split, of a trained hasher (``--checkpoint``) or of 16 random hyperplanes, are ranked for each other
in ten random orders of the gallery, and in the order of the label sets and its reverse, by

    (a) mAP@50 as UCMFH defines it, ties by position (its own sort is not stable), AP divided by the hits among the
        first 50, nothing left out,
    (b) our mAP@50 with ties by position: AP divided by min(50, R), the query's own study left out,
    (c) our mAP@50: the same, in expectation over all orders of ties.

Prints a table in Markdown, writes a CSV and a figure. With ``--ranking``, the ``ranking.csv`` of a tested model, it
also prints what a constant ranking scores beside that model.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import normalize

from mcmfh_lightning.hashers.stored import load_hasher
from mcmfh_lightning.metrics.functional import (
    average_precision,
    hamming_distances,
    hamming_histogram,
    legacy_mean_average_precision,
    mean_over_queries,
    pack_signs,
    share_label,
)
from mcmfh_lightning.shards import FeatureShardReader

K = 50
BITS = 16
ORDERS = 10
SORTED = ("by label set", "by label set, reversed")
DIRECTIONS = {"I→T": ("image", "text"), "T→I": ("text", "image")}
VALUES = {
    "legacy": f"(a) usual mAP@{K}",
    "by_position": "(b) ours, ties by position",
    "tie_aware": "(c) ours, tie-aware",
}

QUERIES = ("all", "abnormal")

Row = dict[str, str]


class Codes(NamedTuple):
    """The codes of a split."""

    name: str
    num_bits: int
    packed: dict[str, Tensor]
    """(N, ceil(num_bits / 8)) uint8 by modality."""


def test_split(folder: Path) -> dict[str, Tensor]:
    """The pairs of the test split that have both modalities."""
    reader = FeatureShardReader(folder, "test")
    rows = reader.gather(np.flatnonzero(reader.present.all(axis=1)))
    return {name: torch.from_numpy(array) for name, array in rows.items()}


def trained_codes(batch: dict[str, Tensor], checkpoint: Path) -> Codes:
    """Those of a hasher."""
    hasher = load_hasher(checkpoint).hasher
    with torch.inference_mode():
        codes = hasher.evaluate(batch)
    packed = {side: pack_signs(codes[side]) for side in ("image", "text")}
    return Codes(type(hasher).__name__, int(hasher.architecture["num_bits"]), packed)


def hyperplane_codes(batch: dict[str, Tensor]) -> Codes:
    """Signs of random projections of the raw embeddings."""
    codes = {}
    for side in ("image", "text"):
        planes = torch.randn(batch[side].shape[1], BITS, generator=torch.Generator().manual_seed(0))
        codes[side] = pack_signs(normalize(batch[side]) @ planes)
    return Codes("random hyperplanes", BITS, codes)


def gallery_orders(labels: Tensor) -> dict[str, Tensor]:
    """Ten random orders by their seed, and two that a folder of files may well have."""
    count = len(labels)
    orders = {str(s): torch.randperm(count, generator=torch.Generator().manual_seed(s)) for s in range(ORDERS)}
    by_labels = torch.from_numpy(np.lexsort(labels.numpy().T[::-1]))
    return orders | dict(zip(SORTED, (by_labels, by_labels.flip(0)), strict=True))


def measure(codes: Codes, labels: Tensor, groups: Tensor) -> list[Row]:
    """One row for each direction and order of the gallery."""
    rows = []
    for direction, (query, database) in DIRECTIONS.items():
        for order, places in gallery_orders(labels).items():
            gallery = codes.packed[query], codes.packed[database][places], labels, labels[places]
            rankings = average_precision(*one_item_a_level(*gallery, groups, groups[places]), k=K)
            counts = hamming_histogram(*gallery, groups, groups[places], codes.num_bits)
            values = {
                "legacy": legacy_mean_average_precision(*gallery, k=K),
                "by_position": mean_over_queries(rankings),
                "tie_aware": mean_over_queries(average_precision(*counts, k=K)),
            }
            numbers = {value: repr(float(number)) for value, number in values.items()}
            name = f"{codes.name}, {codes.num_bits} bits"
            rows.append({"codes": name, "direction": direction, "order": order, **numbers})
    return rows


def one_item_a_level(
    query_codes: Tensor, codes: Tensor, query_labels: Tensor, labels: Tensor, query_groups: Tensor, groups: Tensor
) -> tuple[Tensor, Tensor]:
    """Counts of the ranking in which ties are broken by position: no level has more than one item."""
    order = hamming_distances(query_codes, codes).argsort(dim=1, stable=True)
    counted = (query_groups[:, None] != groups).gather(1, order)
    return counted.long(), (share_label(query_labels, labels).gather(1, order) & counted).long()


def markdown(rows: Sequence[Row]) -> str:
    """Lowest and highest value over the ten orders, and the values of the sorted ones."""
    heads = ["direction", "evaluator", "lowest of ten", "highest of ten", *(f"gallery {order}" for order in SORTED)]
    lines = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    for direction in DIRECTIONS:
        of_direction = [row for row in rows if row["direction"] == direction]
        for value, title in VALUES.items():
            of_order = {row["order"]: float(row[value]) for row in of_direction}
            ten = [of_order[str(seed)] for seed in range(ORDERS)]
            numbers = [min(ten), max(ten), *(of_order[order] for order in SORTED)]
            lines.append([direction, title, *(f"{number:.3f}" for number in numbers)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def read(path: Path) -> list[Row]:
    """Rows of a CSV."""
    with path.open() as file:
        return list(csv.DictReader(file))


def constant_markdown(ranking: Sequence[Row]) -> str:
    """A model and the better constant ranking by mAP@all, from the rows of a ``ranking.csv``."""
    heads = ["queries", "direction", "chance", "trained model", "constant ranking"]
    lines = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    shown = {
        (row["queries"], row["direction"], row["system"]): f"{float(row['value']):.3f}"
        for row in ranking
        if (row["protocol"], row["database"], row["metric"]) == ("unimodal", "unseen", "mAP@all")
    }
    for queries in QUERIES:
        for direction, name in (("i2t", "I→T"), ("t2i", "T→I")):
            lines.append([queries, name, *(shown[queries, direction, one] for one in ("chance", "model", "constant"))])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plot(path: Path, rows: Sequence[Row]) -> None:
    """A panel for each direction: a point for each order of the gallery."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    panels = figure.subplots(1, len(DIRECTIONS), sharey=True)
    figure.suptitle(f"The same codes ({rows[0]['codes']}), the gallery in other orders", fontsize="medium")
    for panel, direction in zip(panels, DIRECTIONS, strict=True):
        of_direction = [row for row in rows if row["direction"] == direction]
        for (value, title), style in zip(VALUES.items(), ("o", "s", "-"), strict=True):
            panel.plot([float(row[value]) for row in of_direction], style, label=title, markersize=4)
        ticks = [str(number + 1) for number in range(ORDERS)] + ["sorted", "reversed"]
        panel.set_xticks(range(len(ticks)), ticks, fontsize="x-small", rotation=45)
        panel.axvline(ORDERS - 0.5, color="grey", linewidth=0.5)
        panel.set(title=direction, xlabel="order of the gallery")
        panel.grid(alpha=0.3)
    panels[0].set(ylabel=f"mAP@{K}", ylim=(0, None))
    panels[0].legend(fontsize="x-small", loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "ties", "svg.fonttype": "none"}):  # the same bytes every time
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True, help="folder of feature shards")
    parser.add_argument("--checkpoint", type=Path, help="of a hasher; without it, random hyperplanes")
    parser.add_argument("--csv", type=Path, help="file for the rows")
    parser.add_argument("--plot", type=Path, help="file for the figure (.svg or .png)")
    parser.add_argument("--ranking", type=Path, help="ranking.csv of `mcmfh test`, for the second table")
    arguments = parser.parse_args()
    batch = test_split(arguments.features)
    checkpoint = arguments.checkpoint
    codes = hyperplane_codes(batch) if checkpoint is None else trained_codes(batch, checkpoint)
    rows = measure(codes, batch["labels"], batch["group"])
    print(markdown(rows))
    if arguments.csv is not None:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if arguments.plot is not None:
        plot(arguments.plot, rows)
    if arguments.ranking is not None:
        print(constant_markdown(read(arguments.ranking)))


if __name__ == "__main__":
    main()
