"""Frequent and rare labels: the mAP of the queries that carry a label, by how often it was trained on."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from generalise.rows import Row
from generalise.runs import SEED, Data, Run, encode_test_split, ranked
from mcmfh_lightning.evaluation.summary import DRAWS
from mcmfh_lightning.metrics.functional import (
    average_precision,
    bootstrap_means,
    bootstrap_weights,
    mean_by_label,
    percentile_interval,
)

BANDS = ("head", "middle", "tail")


def labels(run: Run, data: Data, work: Path) -> Iterator[Row]:
    """Means over the labels of each third by training frequency, the normal label left out.

    Chance and the null are those of the same queries; the interval resamples labels.
    """
    shuffled = shuffled_by_label(run, data)
    with (run.tested_on(data, work) / "labels.csv").open(newline="") as file:
        found = {(row["direction"], row["label"]): row for row in csv.DictReader(file) if _shown(row)}
    for band, names in bands(data).items():
        for direction in ("i2t", "t2i"):
            of_band = [found[direction, name] for name in names if found[direction, name]["value"]]
            values = [float(row["value"]) for row in of_band]
            low, high = label_interval(values)
            yield Row(
                part="labels",
                system=run.system,
                seed=run.seed,
                train=data.name,
                test=data.name,
                protocol="unimodal",
                direction=direction,
                queries="all",
                subset=band,
                metric="mAP@all",
                value=float(np.mean(values)),
                low=low,
                high=high,
                chance=float(np.mean([float(row["chance"]) for row in of_band])),
                null="shuffled queries",
                null_value=float(np.mean([shuffled[direction, row["label"]] for row in of_band])),
                number=len(of_band),
            )


def _shown(row: Mapping[str, str]) -> bool:
    return (row["protocol"], row["database"], row["metric"]) == ("unimodal", "unseen", "mAP@all")


def shuffled_by_label(run: Run, data: Data) -> dict[tuple[str, str], float]:
    """mAP@all of the queries that carry a label when each has another one's code, by direction and label."""
    hasher = run.hasher()
    encoded = encode_test_split(hasher, data)
    whole = encoded.present.all(1)
    found = {}
    for direction, query, database, column in (("i2t", "image", "text", 1), ("t2i", "text", "image", 0)):
        queries = encoded.items(encoded.codes[query]).where(whole)
        items = encoded.items(encoded.codes[database]).where(encoded.present[:, column])
        counts = ranked(hasher, queries.shuffled(), items)
        values = average_precision(counts.total, counts.relevant)
        means, _ = mean_by_label(values, queries.labels, data.module.num_labels)
        for label, mean in zip(data.module.label_vocabulary, means.tolist(), strict=True):
            found[direction, label] = mean
    return found


def training_frequency(data: Data) -> dict[str, int]:
    """Number of training pairs that carry each label."""
    reader = data.module.reader("train")
    packed = reader.labels[reader.present.all(axis=1)]
    counts = np.unpackbits(packed, axis=1, count=data.module.num_labels).sum(axis=0, dtype=np.int64)
    return dict(zip(data.module.label_vocabulary, counts.tolist(), strict=True))


def bands(data: Data) -> dict[str, list[str]]:
    """Labels in three parts of equal number, the most frequent first; the keys name how frequent they are."""
    counts = training_frequency(data)
    ordered = sorted(counts.keys() - {data.module.normal_label}, key=lambda label: (-counts[label], label))
    parts = [part.tolist() for part in np.array_split(ordered, len(BANDS))]
    return {
        f"{band} ({counts[names[-1]]} to {counts[names[0]]} pairs)": names
        for band, names in zip(BANDS, parts, strict=True)
    }


def label_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of a value over labels, by resampling the labels."""
    column = torch.tensor(values, dtype=torch.float64)[:, None]
    weights = bootstrap_weights(torch.arange(len(column)), DRAWS, SEED)
    low, high = percentile_interval(bootstrap_means(column, weights))
    return float(low), float(high)
