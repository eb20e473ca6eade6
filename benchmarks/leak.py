"""Paired evaluation of images that say nothing about their texts; see docs/concepts/leak.md.

    python benchmarks/leak.py --features DIR [DIR ...] [--csv FILE] [--plot FILE] [--seeds 0 1 2] [--work DIR]

Fusion hashing is fitted and tested (`mcmfh fit`, `mcmfh test`) twice on each collection: as it is, and with the images
of every split moved to other pairs, so that an image says nothing about its text and labels. Each system is evaluated
under `unimodal`, which then has to be at chance, and under `paired`, where a query has seen its own partner. Next to it
is what the model's own codes score when queries take each other's place.

Prints a table in Markdown, writes a CSV file and a figure. What is finished in the folder of ``--work`` is not
repeated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from measurements import ARROWS, Row, markdown, options, read, report, save_figure
from trained_runs import mcmfh

from mcmfh_lightning.shards import DatasetInfo, FeatureShardReader, FeatureShardWriter, merge_feature_parts

SYSTEMS = {
    "UCMFH": ["--config", "experiments/ucmfh.yaml"],
    "MCMFH, pairs": ["--config", "experiments/mcmfh.yaml", "--model.supervision", "pairs"],
    "MCMFH": ["--config", "experiments/mcmfh.yaml"],
}
"""Systems and their flags of ``mcmfh``; all but the last are trained on pairs alone."""
IMAGES = ("real", "moved")
PROTOCOLS = ("unimodal", "paired")
DIRECTIONS = ("i2t", "t2i")
VALUE, SHUFFLED = "model", "shuffled queries"
LINE = ["data", "protocol", "system", "direction"]


def shuffle_images(features: Path, folder: Path, seed: int) -> Path:
    """Copy feature shards, the images of each split permuted among its pairs; texts, labels and groups stay.

    Any image may come to any pair, whatever its labels. Sending images only to pairs without a common label would leave
    a trace: such an image says which labels its new text does *not* have, and a model learns that.

    Args:
        features: Folder of feature shards.
        folder: Folder to write.
        seed: Seed of the permutations.

    Returns:
        The folder that was written.

    Raises:
        DataError: If the folder holds features already.
    """
    info = DatasetInfo.load(features)
    writer = FeatureShardWriter(folder, rank=0)
    ids = {}
    for number, split in enumerate(info.splits):
        reader = FeatureShardReader(features, split)
        rows = reader.gather(np.arange(len(reader)))
        whole = np.flatnonzero(reader.present.all(axis=1))
        image = rows["image"].copy()
        image[whole] = rows["image"][np.random.default_rng([seed, number]).permutation(whole)]
        ids[split] = reader.ids
        columns = (reader.labels, reader.groups, reader.text_hashes, reader.present, reader.group_names)
        writer.write(split, reader.ids, image, rows["text"], *columns)
    writer.close()
    merge_feature_parts(folder, replace(info, splits={}), 1, expected_ids=ids)
    return folder


def measure(features: Sequence[Path], seeds: Sequence[int], epochs: int, work: Path) -> Iterator[Row]:
    """Measure every collection, seed and system, with real images and with moved ones."""
    for original, seed in product(features, seeds):
        data = DatasetInfo.load(original).name
        moved = work / f"{data}-moved-{seed}"
        if not (moved / "dataset.json").exists():
            shuffle_images(original, moved, seed)
        for system, (images, folder) in product(SYSTEMS, zip(IMAGES, (original, moved), strict=True)):
            slug = system.replace(", ", "_").replace(" ", "_")
            run = work / f"{data}-{images}-{slug}-{seed}-{epochs}_epochs"
            report = read(tested(SYSTEMS[system], folder, seed, epochs, run))
            report = report.query("database == 'unseen' and queries == 'all' and metric == 'mAP@all'")
            found = report.set_index(["protocol", "direction", "system"])["value"].astype(float)
            for protocol, direction in product(PROTOCOLS, DIRECTIONS):
                row = {"data": data, "images": images, "system": system, "seed": seed}
                row |= {"protocol": protocol, "direction": direction}
                yield row | {name: found[protocol, direction, name] for name in (VALUE, SHUFFLED, "chance")}


def tested(system: Sequence[str], features: Path, seed: int, epochs: int, run: Path) -> Path:
    """Fit and test a system as its users do; returns its ``ranking.csv``."""
    report = run / "test" / "ranking.csv"
    if not report.exists():
        flags = [*system, "--data.root", str(features), "--run_dir", str(run), "--seed_everything", str(seed)]
        # Validated once, so that the last epoch is kept: with moved images the best would be chosen by noise.
        flags += ["--trainer.max_epochs", str(epochs), "--trainer.check_val_every_n_epoch", str(epochs)]
        mcmfh("fit", *flags)
        mcmfh("test", *flags, "--ckpt_path", str(run / "fit" / "checkpoints" / "best.ckpt"))
    return report


def with_leads(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the lead of a model over its own codes with shuffled queries; lines of the table in the order of the rows."""
    ordered = {name: pd.Categorical(rows[name], rows[name].unique()) for name in LINE}
    return rows.assign(**ordered, lead=rows[VALUE] - rows[SHUFFLED])


def tables(rows: pd.DataFrame) -> dict[str, str]:
    """Render means over seeds, and the lead with its standard deviation; real images next to moved ones."""
    lines = []
    for (data, protocol, system, direction), shown in with_leads(rows).groupby(LINE, observed=True):
        line = [data, system, protocol, ARROWS[direction], f"{shown['chance'].mean():.3f}"]
        for images in IMAGES:
            chosen = shown[shown["images"] == images]
            deviation = f" ± {chosen['lead'].std():.3f}" if len(chosen) > 1 else ""
            line += [f"{chosen[name].mean():.3f}" for name in (VALUE, SHUFFLED, "lead")]
            line[-1] += deviation
        lines.append(line)
    heads = ["collection", "system", "protocol", "direction", "chance"]
    heads += [f"{images} images: {name}" for images in IMAGES for name in ("mAP@all", SHUFFLED, "lead")]
    return {"leak": markdown(pd.DataFrame(lines, columns=heads), "llll")}


def plot(path: Path, rows: pd.DataFrame) -> None:
    """Draw a row of panels for each collection, a panel for each protocol and a point for each seed."""
    collections = rows["data"].unique()
    figure = Figure(figsize=(9, 0.8 + 3 * len(collections)), layout="constrained")
    grid = figure.subplots(len(collections), len(PROTOCOLS), sharey="row", squeeze=False)
    for data, panels in zip(collections, grid, strict=True):
        for panel, protocol in zip(panels, PROTOCOLS, strict=True):
            _panel(panel, rows[(rows["data"] == data) & (rows["protocol"] == protocol)])
            panel.set_title(f"{data}, {protocol}", fontsize="medium")
        panels[0].set(ylabel="mAP@all", ylim=(0, None))
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize="x-small")
    save_figure(figure, path, "leak")


def _panel(panel: Axes, rows: pd.DataFrame) -> None:
    """Draw systems and directions side by side: real images left, moved ones right, each with its own null."""
    places = [*product(rows["system"].unique(), DIRECTIONS)]
    for images, offset, color in zip(IMAGES, (-0.17, 0.17), ("C0", "C3"), strict=True):
        for place, (system, direction) in enumerate(places):
            of_place = (rows["system"] == system) & (rows["direction"] == direction)
            chosen = rows[of_place & (rows["images"] == images)]
            x, label = [place + offset] * len(chosen), f"{images} images" if place == 0 else None
            panel.plot(x, chosen[VALUE], "o", color=color, markersize=4, label=label)
            label = label and f"{label}, {SHUFFLED}"
            panel.plot(x, chosen[SHUFFLED], "_", color=color, markersize=10, alpha=0.6, label=label)
    panel.axhline(rows["chance"].mean(), color="gray", linewidth=0.7, linestyle="--", label="chance")
    ticks = [f"{ARROWS[direction]}\n" + system.replace(", ", ",\n") for system, direction in places]
    panel.set_xticks(range(len(ticks)), ticks, fontsize="xx-small")
    panel.grid(axis="y", alpha=0.3)


def main() -> None:
    """Measure, print and write."""
    parser = options(__doc__, "csv", "plot", "work")
    parser.add_argument("--features", type=Path, nargs="+", required=True, help="folders of feature shards")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the runs and of the moves")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of the fits; as in the configs if not given")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        report(arguments, measure(arguments.features, arguments.seeds, arguments.epochs, work), tables, plot)


if __name__ == "__main__":
    main()
