"""Results that are made up, and the folder of a table of them."""

import csv
import lzma
import re
from dataclasses import replace
from functools import cache

import numpy as np

from mcmfh_lightning.sweeps.result import METRICS, NULLS, Data, QueryValues, Result

QUERIES, DRAWS = 60, 1000
WAYS = {"unimodal": ("i2t", "t2i", "i2i", "t2t"), "asymmetric": ("i2case", "t2case"), "paired": ("i2t", "t2i")}
FIVE = (
    ("unimodal", "i2t"),
    ("unimodal", "t2i"),
    ("unimodal", "i2i"),
    ("asymmetric", "i2case"),
    ("asymmetric", "t2case"),
)
ARROWS = ("I→T", "T→I", "I→I", "I→case", "T→case")
# Of each system: how good it is, and whether it has fused codes.
SYSTEMS = {"MCMFH": (0.40, True), "TwoTower": (0.36, False), "UCMFH, all views": (0.38, True), "Real": (0.45, False)}

TABLE = """
name: {name}
program: mcmfh
method: grid
metric: {{name: {metric}, goal: maximize}}
parameters:
  config: {{value: experiments/x.yaml}}
  data.root: {{values: [{roots}]}}
  seed_everything: {{values: [0, 1, 2]}}
"""


def document(name, bits="", metric="test/unimodal", roots="runs/planted, runs/plain"):
    text = TABLE.format(name=f'"{name}"', metric=metric, roots=roots)
    return text + (f"  model.num_bits: {{values: [{bits}]}}\n" if bits else "")


def made_up(system, seed, bits, root="runs/planted", **changes):
    """Make a result whose numbers follow from random AP; what all tests share of it is not to be changed."""
    return replace(_drawn(system, seed, bits, root), **changes)


@cache
def _drawn(system, seed, bits, root):
    """Draw AP, (Q, searches) a protocol, some queries undefined."""
    level, fuses = SYSTEMS[system]
    normal = root == "runs/planted"  # the other collection has no normal label
    rng = np.random.default_rng([len(system), seed, bits or 0, normal])
    labels = np.random.default_rng(5)
    abnormal = labels.random(QUERIES) < 0.7
    undefined = labels.random((QUERIES, 4)) < [0.05, 0.15, 0.05, 0.1]
    members = {"all": np.ones(QUERIES, dtype=bool)} | ({"abnormal": abnormal} if normal else {})
    group = np.sort(labels.integers(0, 25, QUERIES))
    results, values = {}, {}
    for protocol, ways in WAYS.items():
        if protocol == "paired" and not fuses:
            continue
        levels = level + np.array(
            [0.05 * system.startswith("UCMFH"), *[0.0] * (len(ways) - 1)]
        )  # one is good at a search
        ap = np.clip(levels + 0.2 * rng.normal(size=(QUERIES, len(ways))), 0, 1).round(5)
        ap[undefined[:, : len(ways)]] = np.nan
        values[protocol] = {
            way: [None if np.isnan(value) else value for value in ap[:, at].tolist()] for at, way in enumerate(ways)
        }
        of_queries = {
            queries: {
                way: {
                    name: {
                        metric: (round(float(number), 6), 0.1, 0.9)
                        for metric, number in zip(METRICS, (np.nanmean(ap[chosen, at]), *rng.random(2)), strict=True)
                    }
                    for name in ("model", *(NULLS if normal else NULLS[:-1]))
                }
                for at, way in enumerate(ways)
            }
            for queries, chosen in members.items()
        }
        for of_ways in of_queries.values():  # what is the same for every system and seed
            for of_way in of_ways.values():
                of_way["chance"] = dict.fromkeys(METRICS, (0.125, None, None))
        results[protocol] = {"unseen": of_queries}
    parameters = {"config": "experiments/x.yaml", "data.root": root, "seed_everything": seed}
    parameters |= {"model.num_bits": bits} if bits else {}
    return Result(
        system=system,
        metric="test/unimodal",
        parameters=parameters,
        data=Data(root.split("/")[1], "planted", "abc", 8, {"train": 512, "val": 60, "test": QUERIES}),
        num_bits=bits,
        package="mcmfh-lightning 0",
        torch="2",
        device="none",
        jobs=1,
        fit_seconds=1.0,
        test_seconds=1.0,
        epochs=15,
        best=round(0.3 + 0.01 * seed, 6),
        results=results,
        queries=QueryValues(group.tolist(), {"abnormal": abnormal.astype(int).tolist()} if normal else {}, values),
    )


def trial(system, **parameters):
    base = made_up(system, 0, 16)
    return replace(
        base,
        metric="val/mAP",
        parameters=base.parameters | {name.replace("__", "."): value for name, value in parameters.items()},
        results=None,
        queries=None,
        test_seconds=None,
    )


class Folder:
    """A table file, its results and what is rendered of them."""

    def __init__(self, benchmark_file, path, *documents):
        self._main, self._store = benchmark_file("table").main, benchmark_file("rendering.store")
        self.path, self.results, self.out = path, path / "results", path / "out"
        self.file = path / "comparison.yaml"
        self.file.write_text("---".join(documents))
        self.results.mkdir()

    def add(self, *results):
        self._store.add(self.results, "comparison", results)

    def write(self, *lines, name="comparison"):
        """Write a file of results with these lines."""
        (self.results / f"{name}.jsonl.xz").write_bytes(lzma.compress("".join(f"{line}\n" for line in lines).encode()))

    def render(self, *flags):
        self._main([str(self.file), "--results", str(self.results), "--out", str(self.out), *flags])
        return self.sections()

    def sections(self):
        """Read heading, text and cells of each table of the page."""
        found = {}
        for part in (self.out / "table.md").read_text().split("\n#")[1:]:
            title, *lines = part.lstrip("#").strip().splitlines()
            rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]
            head, body = rows[:1], rows[2:]
            found[title] = (
                "\n".join(line for line in lines if not line.startswith("|")),
                [dict(zip(head[0], row, strict=True)) for row in body],
            )
        return found

    def best(self, root):
        """Name the system whose nulls the page shows."""
        return re.search(r"nulls of (.*)\.", self.sections()[f"{root.split('/')[1]}, 16 bits: mAP@all, unseen"][0])[1]

    def csv(self, name):
        with (self.out / name).open() as file:
            return list(csv.DictReader(file))


def short(value):
    return f"{value:.3f}".replace("0.", ".", 1)


def model(result, queries, way, metric="mAP@all", protocol="unimodal", system="model"):
    return result.results[protocol]["unseen"][queries][way][system][metric][0]


def mean_of_five(result, queries, metric="mAP@all", system="model"):
    return sum(model(result, queries, way, metric, protocol, system) for protocol, way in FIVE) / 5


def spread(values):
    return f"{short(np.mean(values))} ± {short(np.std(values, ddof=1))}"


def seeds_of(name, root="runs/planted"):
    return [made_up(name, seed, None if name == "Real" else 16, root) for seed in range(3)]
