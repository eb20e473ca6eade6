"""What a paired evaluation measures when images say nothing about their texts; see docs/concepts/leak.md.

    python benchmarks/leak.py --features DIR [DIR ...] [--csv FILE] [--plot FILE] [--seeds 0 1 2] [--work DIR]

Fusion hashing is fitted and tested (`mcmfh fit`, `mcmfh test`) twice on each collection: as it is, and with the images
of every split moved to other pairs, so that an image says nothing about its text and labels. Each system is evaluated
under `unimodal`, which then has to be at chance, and under `paired`, where a query has seen its own partner. Beside it
stands what the model's own codes score when queries take each other's place.

Prints a table in Markdown, writes a CSV and a figure. What is finished in the folder of ``--work`` is not done again.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mcmfh_command import mcmfh
from shuffled_images import shuffle_images

from mcmfh_lightning.shards import DatasetInfo

SYSTEMS = {
    "UCMFH": ["--config", "experiments/ucmfh.yaml"],
    "MCMFH, pairs": ["--config", "experiments/mcmfh.yaml", "--model.supervision", "pairs"],
    "MCMFH": ["--config", "experiments/mcmfh.yaml"],
}
"""Systems and their flags of ``mcmfh``; all but the last are trained on pairs alone."""
IMAGES = ("real", "moved")
PROTOCOLS = ("unimodal", "paired")
DIRECTIONS = {"i2t": "I→T", "t2i": "T→I"}
VALUE, SHUFFLED = "model", "shuffled queries"

Row = dict[str, str]


def measure(features: Sequence[Path], seeds: Sequence[int], epochs: int, work: Path) -> Iterator[Row]:
    """Rows of every collection, seed and system, with images as they are and moved."""
    for original in features:
        data = DatasetInfo.load(original).name
        for seed in seeds:
            moved = work / f"{data}-moved-{seed}"
            if not (moved / "dataset.json").exists():
                shuffle_images(original, moved, seed)
            for system in SYSTEMS:
                for images, folder in zip(IMAGES, (original, moved), strict=True):
                    slug = system.replace(", ", "_").replace(" ", "_")
                    run = work / f"{data}-{images}-{slug}-{seed}-{epochs}_epochs"
                    report = tested(SYSTEMS[system], folder, seed, epochs, run)
                    yield from rows_of(report, {"data": data, "images": images, "system": system, "seed": str(seed)})


def tested(system: Sequence[str], features: Path, seed: int, epochs: int, run: Path) -> Path:
    """Fit and test a system as its users do; returns its ``ranking.csv``."""
    report = run / "test" / "ranking.csv"
    if not report.exists():
        flags = [*system, "--data.root", str(features), "--run_dir", str(run), "--seed_everything", str(seed)]
        # Validated once, so that the last epoch is what is kept: with moved images the best would be chosen by noise.
        flags += ["--trainer.max_epochs", str(epochs), "--trainer.check_val_every_n_epoch", str(epochs)]
        mcmfh("fit", *flags)
        mcmfh("test", *flags, "--ckpt_path", str(run / "fit" / "checkpoints" / "best.ckpt"))
    return report


def rows_of(report: Path, keys: Row) -> Iterator[Row]:
    """A row for each protocol and direction: mAP@all of all queries against the unseen database."""
    found = {
        (row["protocol"], row["direction"], row["system"]): row["value"]
        for row in read(report)
        if (row["database"], row["queries"], row["metric"]) == ("unseen", "all", "mAP@all")
    }
    for protocol in PROTOCOLS:
        for direction in DIRECTIONS:
            values = {name: found[protocol, direction, name] for name in (VALUE, SHUFFLED, "chance")}
            yield {**keys, "protocol": protocol, "direction": direction, **values}


def select(rows: Sequence[Row], **keys: str) -> list[Row]:
    """The rows that have these entries, one a seed."""
    return [row for row in rows if all(row[name] == value for name, value in keys.items())]


def leads(rows: Sequence[Row]) -> list[float]:
    """How far a model is above its own codes with shuffled queries, by row."""
    return [float(row[VALUE]) - float(row[SHUFFLED]) for row in rows]


def names(rows: Sequence[Row], column: str) -> list[str]:
    """Distinct entries in their order."""
    return list(dict.fromkeys(row[column] for row in rows))


def markdown(rows: Sequence[Row]) -> str:
    """Means over seeds, and the lead with its standard deviation; images as they are beside moved ones."""
    heads = ["collection", "system", "protocol", "direction", "chance"]
    heads += [f"{images} images: {name}" for images in IMAGES for name in ("mAP@all", SHUFFLED, "lead")]
    lines = [heads, ["---"] * 4 + ["---:"] * (len(heads) - 4)]
    for data in names(rows, "data"):
        for protocol in PROTOCOLS:
            for system in names(rows, "system"):
                for direction, arrow in DIRECTIONS.items():
                    keys = {"data": data, "protocol": protocol, "system": system, "direction": direction}
                    line = [data, system, protocol, arrow, _mean(select(rows, **keys), "chance")]
                    for images in IMAGES:
                        chosen = select(rows, **keys, images=images)
                        line += [_mean(chosen, VALUE), _mean(chosen, SHUFFLED), _spread(leads(chosen))]
                    lines.append(line)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _mean(rows: Sequence[Row], column: str) -> str:
    return f"{fmean(float(row[column]) for row in rows):.3f}"


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def plot(path: Path, rows: Sequence[Row]) -> None:
    """A row of panels for each collection, a panel for each protocol; a point for each seed."""
    data_names = names(rows, "data")
    figure = Figure(figsize=(9, 0.8 + 3 * len(data_names)), layout="constrained")
    grid = figure.subplots(len(data_names), len(PROTOCOLS), sharey="row", squeeze=False)
    for data, panels in zip(data_names, grid, strict=True):
        for panel, protocol in zip(panels, PROTOCOLS, strict=True):
            _panel(panel, select(rows, data=data, protocol=protocol))
            panel.set_title(f"{data}, {protocol}", fontsize="medium")
        panels[0].set(ylabel="mAP@all", ylim=(0, None))
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="x-small")
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "leak", "svg.fonttype": "none"}):  # the same bytes every time
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _panel(panel: Axes, rows: Sequence[Row]) -> None:
    """Systems and directions side by side: images as they are left, moved ones right, each with its own null."""
    places = [(system, direction) for system in names(rows, "system") for direction in DIRECTIONS]
    for images, offset, colour in zip(IMAGES, (-0.17, 0.17), ("C0", "C3"), strict=True):
        for place, (system, direction) in enumerate(places):
            chosen = select(rows, system=system, direction=direction, images=images)
            first = place == 0
            x, values = [place + offset] * len(chosen), [float(row[VALUE]) for row in chosen]
            nulls = [float(row[SHUFFLED]) for row in chosen]
            panel.plot(x, values, "o", color=colour, markersize=4, label=f"{images} images" if first else None)
            null_label = f"{images} images, {SHUFFLED}" if first else None
            panel.plot(x, nulls, "_", color=colour, markersize=10, alpha=0.6, label=null_label)
    chance = fmean(float(row["chance"]) for row in rows)
    panel.axhline(chance, color="grey", linewidth=0.7, linestyle="--", label="chance")
    ticks = [f"{DIRECTIONS[direction]}\n" + system.replace(", ", ",\n") for system, direction in places]
    panel.set_xticks(range(len(ticks)), ticks, fontsize="xx-small")
    panel.grid(axis="y", alpha=0.3)


def read(path: Path) -> list[Row]:
    """Rows of a CSV."""
    with path.open() as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, nargs="+", required=True, help="folders of feature shards")
    parser.add_argument("--csv", type=Path, help="file for the rows")
    parser.add_argument("--plot", type=Path, help="file for the figure (.svg or .png)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the runs and of the moves")
    parser.add_argument("--epochs", type=int, default=15, help="of the fits; as in the configs if not given")
    parser.add_argument("--work", type=Path, help="folder for moved features and runs; a temporary one if not given")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        work = arguments.work or Path(stack.enter_context(TemporaryDirectory()))
        rows = list(measure(arguments.features, arguments.seeds, arguments.epochs, work))
    print(markdown(rows))
    if arguments.csv is not None:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if arguments.plot is not None:
        plot(arguments.plot, rows)


if __name__ == "__main__":
    main()
