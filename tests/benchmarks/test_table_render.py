"""Rendered numbers against NumPy, from results that are made up here."""

import csv
import lzma
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mcmfh_lightning.cli.bench import main as mcmfh_bench
from mcmfh_lightning.sweeps.result import METRICS, NULLS, Data, QueryValues, Result, dumped

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
    """Make a result whose numbers follow from random AP, (Q, searches) a protocol, some queries undefined."""
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
    return replace(
        Result(
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
        ),
        **changes,
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


@pytest.fixture
def make_folder(benchmark_file, tmp_path):
    return lambda *documents: Folder(benchmark_file, tmp_path, *documents)


@pytest.fixture
def folder(make_folder):
    return make_folder(*(document(name, "" if name == "Real" else "16") for name in SYSTEMS))


@pytest.fixture
def complete(folder):
    for root in ("runs/planted", "runs/plain"):
        for name in SYSTEMS:
            folder.add(*(made_up(name, seed, None if name == "Real" else 16, root) for seed in range(3)))
    return folder


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


@pytest.mark.parametrize(("root", "queries"), [("runs/planted", "abnormal"), ("runs/plain", "all")])
def test_means_and_deviations(complete, root, queries):
    """A column for each search and for the mean of five, by which rows are ordered; T→T is not in it."""
    pages, data = complete.render(), root.split("/")[1]
    order = sorted(SYSTEMS, key=lambda name: -np.mean([mean_of_five(run, queries) for run in seeds_of(name, root)]))
    best = next(name for name in order if name != "Real")
    number = QUERIES if queries == "all" else sum(made_up("MCMFH", 0, 16).queries.subsets["abnormal"])
    for metric in METRICS:
        text, rows = pages[f"{data}, 16 bits: {metric}, unseen"]
        assert text.strip() == f"Database `unseen`, queries `{queries}` ({number}); nulls of {best}."
        assert [row["system"] for row in rows[:4]] == order
        for row, name in zip(rows, order, strict=False):
            assert row["bits"] == ("real-valued" if name == "Real" else "16")
            assert row["mean"] == spread([mean_of_five(run, queries, metric) for run in seeds_of(name, root)])
            for (protocol, way), arrow in zip((*FIVE, ("unimodal", "t2t")), (*ARROWS, "T→T"), strict=True):
                values = [model(run, queries, way, metric, protocol) for run in seeds_of(name, root)]
                assert row[arrow] == spread(values)
        # Of the best system with codes; without a normal label nothing is shuffled within.
        shown = [f"*{null}*" for null in NULLS[: 5 if queries == "abnormal" else 4]]
        assert [row["system"] for row in rows[4:]] == shown
        shuffled = [mean_of_five(run, queries, metric, "shuffled queries") for run in seeds_of(best, root)]
        assert rows[7]["mean"] == spread(shuffled)
        assert rows[4]["mean"] == rows[4]["T→case"] == ".125"  # no deviation of what no seed changes
    first = pages[f"{data}, 16 bits: mAP@all, unseen"][1][0]
    assert (first["settings"], first["seeds"], first["trials"]) == ("-", "3", "0")


def test_a_system_without_a_search_has_no_mean(complete):
    """Neither over four searches nor in the comparison; it comes last, and says of which search it has no codes."""
    for seed in range(3):
        result = made_up("TwoTower", seed, 16)
        result.results["unimodal"]["unseen"]["abnormal"].pop("i2i")
        result.queries.average_precision["unimodal"].pop("i2i")
        complete.add(result)
    pages = complete.render()
    rows = pages["planted, 16 bits: mAP@all, unseen"][1]
    assert rows[3]["system"] == "TwoTower"
    assert (rows[3]["mean"], rows[3]["I→I"]) == ("-", "-")
    assert rows[3]["T→case"] == spread(
        [model(run, "abnormal", "t2case", protocol="asymmetric") for run in seeds_of("TwoTower")]
    )
    against = {row["system"]: row for row in pages["planted, 16 bits: MCMFH against the others"][1]}["TwoTower"]
    assert [against[name] for name in ("mean", "MCMFH ahead by", "p", "p (Holm)", "I→I")] == ["-", "-", "", "", "-"]
    lines = [
        line for line in complete.csv("comparison.csv") if (line["data"], line["system"]) == ("planted", "TwoTower")
    ]
    assert [line["direction"] for line in lines] == ["i2t", "t2i", "i2case", "t2case"]
    assert against["I→T"] == short(float(lines[0]["difference"])).replace("-0.", "-.")
    assert "corrected for 2 comparisons" in pages["planted, 16 bits: MCMFH against the others"][0]


@pytest.mark.parametrize(("root", "queries"), [("runs/planted", "abnormal"), ("runs/plain", "all")])
def test_each_search_names_the_best_other_row(complete, root, queries):
    """Of those with codes; the text lists the searches that are more than .01 behind it, or not above a null."""
    text, rows = complete.render("--reference", "UCMFH, all views")[
        f"{root.split('/')[1]}, 16 bits: UCMFH, all views search by search"
    ]
    found = pd.DataFrame(
        {
            (name, system): [np.mean([mean_of_five(run, queries, system=system) for run in seeds_of(name, root)])]
            + [
                np.mean([model(run, queries, way, protocol=protocol, system=system) for run in seeds_of(name, root)])
                for protocol, way in (*FIVE, ("unimodal", "t2t"))
            ]
            for name in ("UCMFH, all views", "MCMFH", "TwoTower")
            for system in ("model", *(NULLS if queries == "abnormal" else NULLS[:-1]))
        },
        index=["mean", *ARROWS, "T→T"],
    )
    ours, theirs = found["UCMFH, all views", "model"], found.loc[:, [("MCMFH", "model"), ("TwoTower", "model")]]
    ahead = ours - theirs.max(axis=1)
    assert [row["search"] for row in rows] == list(found.index)
    for row in rows:
        at = row["search"]
        assert row["UCMFH, all views"] == short(ours[at])
        assert (row["best other"], row["which"]) == (short(theirs.loc[at].max()), theirs.loc[at].idxmax()[0])
        assert row["ahead by"] == short(ahead[at]).replace("-0.", "-.")
        assert row["chance"] == ".125"
        assert row["shuffled queries"] == short(found.loc[at, ("UCMFH, all views", "shuffled queries")])
        within = ("UCMFH, all views", "shuffled within")
        assert row["shuffled within"] == (short(found.loc[at, within]) if within in found else "-")
    behind = [name for name in ARROWS if ahead[name] < -0.01]
    nulls = found["UCMFH, all views"].drop(columns=["model", "constant"])
    below = [name for name in ARROWS if (nulls.loc[name] >= ours[name]).any()]
    assert 0 < len(behind) < 5
    assert below
    assert f"More than .010 behind that row: {', '.join(behind)}. " in text
    assert f"Not above a null that reads no labels: {', '.join(below)}." in text


def resampled(differences, group):
    """Return the mean difference and its resamples, group by group and draw by draw: of the mean, of each search."""
    names = np.unique(group)
    drawn = torch.randint(len(names), (DRAWS, len(names)), generator=torch.Generator().manual_seed(0)).numpy()
    rows_of = [np.flatnonzero(group == name) for name in names]
    draws = np.array([np.nanmean(differences[np.concatenate([rows_of[at] for at in draw])], 0) for draw in drawn])
    value = np.nanmean(differences, 0)
    return np.array([value.mean(), *value]), np.column_stack([draws.mean(1), draws])


@pytest.mark.parametrize(("root", "queries"), [("runs/planted", "abnormal"), ("runs/plain", "all")])
def test_differences_intervals_and_p_values(complete, root, queries):
    data = root.split("/")[1]
    title = f"{data}, 16 bits: MCMFH against the others"
    rows = {row["system"]: row for row in complete.render()[title][1]}
    numbers = {
        (line["system"], line["direction"]): line for line in complete.csv("comparison.csv") if line["data"] == data
    }

    def per_query(name):
        runs = [made_up(name, seed, None if name == "Real" else 16, root) for seed in range(3)]
        values = [[run.queries.average_precision[protocol][way] for protocol, way in FIVE] for run in runs]
        return np.array(values, dtype=float).mean(0).T, runs[0]

    ours, run = per_query("MCMFH")
    counted = ~np.isnan(ours).all(1)
    if queries == "abnormal":
        counted &= np.array(run.queries.subsets["abnormal"]) == 1
    assert np.isnan(ours[counted]).any()  # else queries without relevant items in one search were not tested
    group = np.array(run.queries.group)[counted]
    p_values = {}
    for name in [name for name in SYSTEMS if name != "MCMFH"]:
        theirs, _ = per_query(name)
        values, draws = resampled((ours - theirs)[counted], group)
        ends = np.quantile(draws, [0.025, 0.975], axis=0)
        share = min((draws[:, 0] <= 0).sum(), (draws[:, 0] >= 0).sum())
        p_values[name] = min(1.0, 2 * (share + 1) / (DRAWS + 1))
        for at, direction in enumerate(("mean", *(way for _, way in FIVE))):
            line = numbers[name, direction]
            expected = [values[at], ends[0, at], ends[1, at]]
            assert [float(line[key]) for key in ("difference", "low", "high")] == pytest.approx(expected, abs=1e-6)
        shown = [short(number).replace("-0.", "-.") for number in (values[0], *ends[:, 0])]
        assert rows[name]["MCMFH ahead by"] == f"{shown[0]} [{shown[1]}, {shown[2]}]"
        each = [short(value).replace("-0.", "-.") for value in values[1:]]
        assert [rows[name][arrow] for arrow in ARROWS] == each
        assert float(numbers[name, "mean"]["p"]) == pytest.approx(p_values[name], abs=1e-6)
        assert rows[name]["mean"] == spread([mean_of_five(run, queries) for run in seeds_of(name, root)])
        assert rows[name]["val/mAP"] == ".310 ± .010"
    ordered = sorted(p_values, key=p_values.get)
    for rank, name in enumerate(ordered):
        expected = max(min(1.0, (3 - place) * p_values[ordered[place]]) for place in range(rank + 1))
        assert float(numbers[name, "mean"]["p_holm"]) == pytest.approx(expected, abs=1e-6)
    assert rows["MCMFH"]["MCMFH ahead by"] == "reference"


def test_holm_never_turns_the_order_around(benchmark_file):
    holm = benchmark_file("rendering.comparison").holm
    p_values = np.random.default_rng(0).random(20) * 0.2
    corrected = holm(pd.Series(p_values)).sort_index().to_numpy()
    assert (np.diff(corrected[p_values.argsort()]) >= 0).all()
    assert (corrected >= p_values).all()
    assert corrected[p_values.argmin()] == min(1, 20 * p_values.min())


def test_another_reference(complete):
    rows = complete.render("--reference", "TwoTower")["planted, 16 bits: TwoTower against the others"][1]
    assert {row["system"] for row in rows if row["TwoTower ahead by"] == "reference"} == {"TwoTower"}
    assert len(rows) == len(SYSTEMS)


def test_paired_says_what_it_is(complete):
    text, rows = complete.render()["planted, 16 bits: paired, unseen"]
    assert "A query sees its own partner" in text
    assert {row["system"]: row["mAP@all I→T"] for row in rows}["TwoTower"] == "-"
    assert {row["system"]: row["mAP@all I→T"] for row in rows}["MCMFH"] != "-"
    assert not any("train+val" in title for title in complete.sections())


def test_the_csv_has_the_numbers_of_the_page(complete):
    complete.render()
    lines = complete.csv("table.csv")
    runs = [made_up("UCMFH, all views", seed, 16) for seed in range(3)]
    values = [model(run, "abnormal", "t2i", protocol="paired") for run in runs]
    wanted = {"data": "planted", "protocol": "paired", "system": "UCMFH, all views", "ranking": "model"}
    (line,) = [
        line
        for line in lines
        if wanted.items() <= line.items() and (line["direction"], line["metric"]) == ("t2i", "mAP@all")
    ]
    assert float(line["mean"]) == pytest.approx(np.mean(values), abs=1e-6)
    assert float(line["sd"]) == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    assert {line["ranking"] for line in lines if line["data"] == "plain"} == {"model", *NULLS[:-1]}
    wanted |= {"protocol": "five searches", "direction": "mean", "metric": "NDCG@50"}
    (line,) = [line for line in lines if wanted.items() <= line.items()]
    assert float(line["mean"]) == pytest.approx(
        np.mean([mean_of_five(run, "abnormal", "NDCG@50") for run in runs]), abs=1e-6
    )


def test_what_was_not_run_says_so(folder):
    folder.add(made_up("MCMFH", 1, 16), *(made_up("Real", seed, None) for seed in range(3)))
    pages = folder.render()
    rows = {row["system"]: row for row in pages["planted, 16 bits: mAP@all, unseen"][1]}
    assert rows["MCMFH"]["seeds"] == "1 of 3"
    assert rows["MCMFH"]["I→T"] == short(model(made_up("MCMFH", 1, 16), "abnormal", "i2t"))
    assert rows["TwoTower"]["seeds"] == "0 of 3"
    assert {rows["TwoTower"][name] for name in ("mean", *ARROWS, "T→T")} == {"not run"}
    against = {row["system"]: row for row in pages["planted, 16 bits: MCMFH against the others"][1]}
    assert against["TwoTower"]["p"] == "not run"
    assert against["Real"]["MCMFH ahead by"].endswith("]")
    # The data of the other folder are unknown.
    rows = pages["runs/plain, 16 bits: mAP@all, unseen"][1]
    assert {row["T→I"] for row in rows} == {"not run"}
    assert len(rows) == len(SYSTEMS)


def test_nothing_was_run(folder):
    folder.render()
    shutil.rmtree(folder.results)  # nor is there a folder
    pages = folder.render()
    assert {row["seeds"] for row in pages["runs/planted, 16 bits: mAP@all, unseen"][1]} == {"0 of 3"}
    assert not (folder.out / "table.csv").exists()


def test_a_reference_that_was_not_run(folder):
    folder.add(made_up("TwoTower", 1, 16), made_up("Real", 1, None))
    rows = {row["system"]: row for row in folder.render()["planted, 16 bits: MCMFH against the others"][1]}
    assert rows["MCMFH"]["MCMFH ahead by"] == "not run"
    assert rows["TwoTower"]["MCMFH ahead by"] == "-"


def test_trials_are_counted_and_shown(make_folder):
    tuning = document("MCMFH", "16", "val/mAP", "runs/planted").replace("[0, 1, 2]", "[0]")
    tuning += "  model.temperature: {values: [0.2, 0.5, 1.0]}\n"
    folder = make_folder(document("MCMFH", "16"), document("TwoTower", "16"), tuning)
    folder.add(made_up("MCMFH", 0, 16), made_up("TwoTower", 0, 16), made_up("MCMFH", 0, 16, "runs/plain"))
    folder.add(*(replace(trial("MCMFH", model__temperature=t), best=b) for t, b in ((0.2, 0.31), (0.5, 0.33))))
    pages = folder.render()
    assert [row["trials"] for row in pages["planted, 16 bits: mAP@all, unseen"][1][:2]] == ["2", "0"]
    assert pages["plain, 16 bits: mAP@all, unseen"][1][0]["trials"] == "0"
    for data in ("planted", "plain"):  # tuned on one collection, it has these settings on the other too
        assert [row["settings"] for row in pages[f"{data}, 16 bits: mAP@all, unseen"][1][:2]] == ["tuned", "-"]
    rows = pages["planted: tuning trials"][1]
    assert [(row["settings"], row["best val/mAP"]) for row in rows] == [
        ("`model.temperature 0.2`", ".310"),
        ("`model.temperature 0.5`", "**.330**"),
        ("`model.temperature 1.0`", "not run"),
    ]
    assert [line["run"] for line in folder.csv("trials.csv")] == ["True", "True", "False"]


def test_a_row_of_published_settings_is_called_so(make_folder):
    """Known by the name of its config; also before it was run, and whatever trials there are."""
    published = document("UCMFH, all views", "16").replace("x.yaml", "ucmfh_published.yaml")
    folder = make_folder(document("MCMFH", "16"), published)
    folder.add(made_up("MCMFH", 0, 16), trial("UCMFH, all views"))
    rows = folder.render()["planted, 16 bits: mAP@all, unseen"][1]
    assert [row["settings"] for row in rows[:3]] == ["-", "published", ""]
    config = {"config": "experiments/ucmfh_published.yaml"}
    one = made_up("UCMFH, all views", 0, 16)
    folder.add(replace(one, parameters=one.parameters | config))
    rows = folder.render()["planted, 16 bits: mAP@all, unseen"][1]
    assert (rows[1]["settings"], rows[1]["seeds"]) == ("published", "1 of 3")
    lines = folder.csv("table.csv")
    assert {(line["system"], line["settings"]) for line in lines} == {("MCMFH", "-"), ("UCMFH, all views", "published")}


def test_a_table_and_a_curve_for_each_number_of_bits(make_folder):
    folder = make_folder(document("MCMFH", "64, 16"), document("TwoTower", "16, 64"), document("Real"))
    folder.add(*(made_up("MCMFH", seed, bits) for seed in range(3) for bits in (16, 64)))
    folder.add(made_up("TwoTower", 0, 64), made_up("Real", 0, None))
    pages = folder.render()
    for bits, seeds in (("16", "0 of 3"), ("64", "1 of 3")):
        rows = {row["system"]: row for row in pages[f"planted, {bits} bits: mAP@all, unseen"][1]}
        shown = {"MCMFH": (bits, "3"), "TwoTower": (bits, seeds), "Real": ("real-valued", "1 of 3")}
        assert {name: (rows[name]["bits"], rows[name]["seeds"]) for name in shown} == shown
    overview = {row["system"]: row for row in pages["planted: mean of the five searches by code length"][1]}
    means = {bits: [mean_of_five(made_up("MCMFH", seed, bits), "abnormal") for seed in range(3)] for bits in (16, 64)}
    assert overview == {
        "MCMFH": {"system": "MCMFH", "16 bits": spread(means[16]), "64 bits": spread(means[64])},
        "TwoTower": {
            "system": "TwoTower",
            "16 bits": "not run",
            "64 bits": short(mean_of_five(made_up("TwoTower", 0, 64), "abnormal")),
        },
    }
    assert list(pages).index("planted, 16 bits: mAP@all, unseen") < list(pages).index(
        "planted, 64 bits: mAP@all, unseen"
    )
    figures = {path.name: path.read_bytes() for path in folder.out.glob("bits_*")}
    assert figures.keys() == {"bits_planted.svg", "bits_planted.png"}
    for label in ("MCMFH", "TwoTower", "Real", "chance", "shuffled within", "not diagnosis"):
        assert label in figures["bits_planted.svg"].decode()
    page = (folder.out / "table.md").read_bytes()
    folder.render()
    assert (folder.out / "bits_planted.svg").read_bytes() == figures["bits_planted.svg"]
    assert (folder.out / "table.md").read_bytes() == page


def test_one_number_of_bits_has_no_curve(complete):
    complete.render()
    assert not list(complete.out.glob("bits_*"))


def test_the_table_of_the_readme(make_folder, benchmark_file, capsys):
    """Both collections in a cell, a column a search; systems that the README does not name are left out."""
    names, roots = ["UCMFH, all views", "TwoTower", "MCMFH"], ["runs/openi", "runs/roco"]
    together = ", ".join(roots)
    folder = make_folder(*(document(name, "" if name == "Real" else "16", roots=together) for name in SYSTEMS))
    for root in roots:
        folder.add(*(run for name in SYSTEMS for run in seeds_of(name, root)))
    folder.render()
    page = folder.path / "README.md"
    page.write_text("before\n<!-- comparison: searches -->\n<!-- end -->\nafter\n")
    capsys.readouterr()
    benchmark_file("readme_table").main(["--table", str(folder.out / "table.csv"), "--page", str(page)])
    printed = capsys.readouterr().out.strip()
    assert page.read_text() == f"before\n<!-- comparison: searches -->\n\n{printed}\n\n<!-- end -->\nafter\n"
    head, _, *lines = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in printed.splitlines())
    assert head == ["system", "mean", *ARROWS]
    average = {
        name: np.mean([mean_of_five(run, "all") for root in roots for run in seeds_of(name, root)]) for name in names
    }
    names.sort(key=lambda name: -average[name])
    assert [line[0] for line in lines] == [*names, "*best null*", "*chance*"]
    for name, line in zip(names, lines, strict=False):
        means = [spread([mean_of_five(run, "all") for run in seeds_of(name, root)]) for root in roots]
        assert line[1] == " / ".join(means)
        for (protocol, way), cell in zip(FIVE, line[2:], strict=True):
            values = [[model(run, "all", way, protocol=protocol) for run in seeds_of(name, root)] for root in roots]
            assert cell == " / ".join(short(np.mean(of_seeds)) for of_seeds in values)
    best = {root: folder.best(root) for root in roots}
    for (protocol, way), cell in zip(FIVE, lines[-2][2:], strict=True):
        nulls = [
            max(
                np.mean([model(run, "all", way, protocol=protocol, system=null) for run in seeds_of(best[root], root)])
                for null in NULLS[:-1]
            )
            for root in roots
        ]
        assert cell == " / ".join(map(short, nulls))
    assert set(lines[-1][1:]) == {".125 / .125"}


def test_two_encoders_of_one_collection_stand_apart(make_folder):
    roots = "runs/planted, runs/again"
    folder = make_folder(document("MCMFH", "16", roots=roots), document("TwoTower", "16", roots=roots))
    first = made_up("MCMFH", 0, 16)
    other = replace(first.data, encoder="tuned", encoder_digest="def")
    second = replace(first, parameters=first.parameters | {"data.root": "runs/again"}, data=other)
    assert first.file_name != second.file_name
    folder.add(first, second)
    titles = list(folder.render())
    assert "planted (planted), 16 bits: mAP@all, unseen" in titles
    assert "planted (tuned), 16 bits: mAP@all, unseen" in titles


def test_results_are_stored_a_line_a_run(folder):
    """The AP of each query for the five searches, to five decimals; all else to the last digit."""
    first, second = made_up("MCMFH", 0, 16), trial("TwoTower")
    second = replace(second, best=0.123456)
    everything = first.queries.average_precision
    finer = {
        protocol: {way: [value and value + 4e-6 for value in values] for way, values in of.items()}
        for protocol, of in everything.items()
    }
    folder.add(replace(first, queries=replace(first.queries, average_precision=finer)))
    folder.add(second)
    content = lzma.decompress((folder.results / "comparison.jsonl.xz").read_bytes()).decode()
    kept = {protocol: {} for protocol, _ in FIVE}
    for protocol, way in FIVE:
        kept[protocol][way] = everything[protocol][way]
    kept = replace(first, queries=replace(first.queries, average_precision=kept))
    assert content.splitlines() == [dumped(one).replace("\n", "") for one in (kept, second)]


def test_a_run_of_two_tables_is_stored_once(folder, benchmark_file):
    """The file that has it keeps it; a new result replaces the old one there."""
    store = benchmark_file("rendering.store")
    result = made_up("MCMFH", 0, 16)
    folder.add(result)
    store.add(folder.results, "other", [replace(result, epochs=99), made_up("MCMFH", 1, 16)])
    assert [one.epochs for one in store.read(folder.results)] == [99, 15]
    assert [path.name for path in sorted(folder.results.iterdir())] == ["comparison.jsonl.xz", "other.jsonl.xz"]


REFUSED = {
    "other labels": (
        lambda folder: folder.add(
            made_up("MCMFH", 0, 16), made_up("MCMFH", 1, 16, data=replace(made_up("MCMFH", 0, 16).data, num_labels=9))
        ),
        "have num_labels .*not comparable",
    ),
    "other queries": (
        lambda folder: folder.add(
            made_up("MCMFH", 0, 16),
            made_up("TwoTower", 1, 16, queries=replace(made_up("TwoTower", 1, 16).queries, group=[1] * QUERIES)),
        ),
        "its queries are not those of mcmfh-planted-16bit-seed0-",
    ),
    "no queries": (
        lambda folder: folder.add(made_up("MCMFH", 0, 16), made_up("TwoTower", 1, 16, queries=None)),
        "twotower-planted-16bit-seed1-.*holds no queries",
    ),
    "the folder held other data": (
        lambda folder: folder.add(
            made_up("MCMFH", 0, 16),
            made_up("MCMFH", 1, 16, data=replace(made_up("MCMFH", 0, 16).data, encoder_digest="def")),
        ),
        "was made with runs/planted when it held 'planted' of encoder 'planted'",
    ),
    "stored twice": (
        lambda folder: [folder.write(line(made_up("MCMFH", 0, 16)), name=name) for name in ("a", "b")],
        "b.jsonl.xz: line 1: mcmfh-planted-16bit-seed0-.* is in .*a.jsonl.xz already; remove one",
    ),
    "not compressed": (
        lambda folder: (folder.results / "x.jsonl.xz").write_text("{"),
        "x.jsonl.xz: not a file of results .*; restore it from git",
    ),
    "not JSON": (lambda folder: folder.write("{"), "jsonl.xz: line 1: not a result of a run"),
    "a list": (
        lambda folder: folder.write(line(made_up("MCMFH", 0, 16)), "[]"),
        "jsonl.xz: line 2: not a result of a run",
    ),
    "another version": (
        lambda folder: folder.write('{"format_version": 1}'),
        "format_version 1, this release reads 2",
    ),
    "lacks entries": (
        lambda folder: folder.write('{"format_version": 2}'),
        "an entry is missing or unknown .*run it again",
    ),
    "one system with and without bits": (
        lambda folder: folder.file.write_text("---".join((document("Real", "16"), document("Real")))),
        "'Real' is declared with and without model.num_bits; give one of them another name",
    ),
    "no runs at a time": (lambda folder: folder.flags.extend(["--jobs", "0"]), "--jobs must be at least 1"),
    "a file in the place of a folder": (
        lambda folder: folder.flags.extend(["--out", str(folder.file)]),
        "comparison.yaml: cannot be made .*correct the path",
    ),
    "again without a run": (
        lambda folder: folder.flags.extend(["--again", "MCMFH"]),
        "--again MCMFH needs --run, and a system that .* declares",
    ),
    "results of an earlier version": (
        lambda folder: (folder.results / "mcmfh-openi.json").write_text("{}"),
        "mcmfh-openi.json: a result of an earlier version",
    ),
    "another reference": (
        lambda folder: folder.flags.extend(["--reference", "Other"]),
        "--reference 'Other' is not a tested system; choose one of MCMFH, TwoTower",
    ),
}


def line(result):
    return dumped(result).replace("\n", "")


@pytest.mark.parametrize("name", REFUSED)
def test_results_that_are_refused(folder, capsys, name):
    make, pattern = REFUSED[name]
    folder.flags = []
    make(folder)
    with pytest.raises(SystemExit) as stop:
        folder.render(*folder.flags)
    assert stop.value.code == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("table.py: error: ")
    assert re.search(pattern, said), said


def test_the_old_command_says_where_it_is(capsys):
    with pytest.raises(SystemExit) as stop:
        mcmfh_bench(["table", "benchmarks/tables/bits.yaml", "--run"])
    assert stop.value.code == 2
    assert "python benchmarks/table.py FILE" in capsys.readouterr().err
