"""Runs of the ranking callback, and what they write."""

import csv

import numpy as np

from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking

PAIRS = {
    "unimodal": {
        "i2t": ("image", "text"),
        "t2i": ("text", "image"),
        "i2i": ("image", "image"),
        "t2t": ("text", "text"),
    },
    "asymmetric": {"i2case": ("image", "case"), "t2case": ("text", "case")},
    "paired": {"i2t": ("fused_image", "fused_text"), "t2i": ("fused_text", "fused_image")},
}
FIVE = {"i2t": "unimodal", "t2i": "unimodal", "i2i": "unimodal", "i2case": "asymmetric", "t2case": "asymmetric"}
"""The searches whose mean a fit chooses by, with their protocols."""
ALONE = ("i2t", "t2i", "i2i")
"""Those of them that need no code of a case."""


def run_test(world, module=None, data=None, callback=None, **settings):
    trainer = world.trainer(callback or HammingRanking(protocols=tuple(PAIRS), ks=(5,)), **settings)
    trainer.test(module or world.Module(), data or world.Data(world.splits), verbose=False)
    return trainer


def rows_of(folder):
    with (folder / "ranking.csv").open() as file:
        return {
            tuple(row[name] for name in ("protocol", "database", "queries", "direction", "system", "metric")): row
            for row in csv.DictReader(file)
        }


def subset_rows(splits):
    queries = splits["test"]
    normal = np.unpackbits(queries["labels"], axis=1)[:, 1].astype(bool)
    seen = np.concatenate([splits[name]["text_hash"] for name in ("train", "val")])
    return {
        "all": np.ones(len(normal), dtype=bool),
        "abnormal": ~normal,
        "normal": normal,
        "new_text": ~np.isin(queries["text_hash"], seen),
    }
