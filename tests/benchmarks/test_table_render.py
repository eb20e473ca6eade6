"""Rendered numbers against NumPy, from results that are made up here."""

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch

from mcmfh_lightning.sweeps.result import METRICS, NULLS
from tests.benchmarks.made_up import (
    ARROWS,
    DRAWS,
    FIVE,
    QUERIES,
    SYSTEMS,
    made_up,
    mean_of_five,
    model,
    seeds_of,
    short,
    spread,
)

ANOTHER = ("--reference", "UCMFH, all views")


@pytest.mark.parametrize(("root", "queries"), [("runs/planted", "abnormal"), ("runs/plain", "all")])
def test_means_and_deviations(rendered, root, queries):
    """A column for each search and for the mean of five, by which rows are ordered; T→T is not in it."""
    pages, data = rendered().sections(), root.split("/")[1]
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
    changed = [deepcopy(made_up("TwoTower", seed, 16)) for seed in range(3)]
    for result in changed:
        result.results["unimodal"]["unseen"]["abnormal"].pop("i2i")
        result.queries.average_precision["unimodal"].pop("i2i")
    complete.add(*changed)
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
def test_each_search_names_the_best_other_row(rendered, root, queries):
    """Of those with codes; the text lists the searches that are more than .01 behind it, or not above a null."""
    sections = rendered(*ANOTHER).sections()
    text, rows = sections[f"{root.split('/')[1]}, 16 bits: UCMFH, all views search by search"]
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
def test_differences_intervals_and_p_values(rendered, root, queries):
    data = root.split("/")[1]
    title = f"{data}, 16 bits: MCMFH against the others"
    rows = {row["system"]: row for row in rendered().sections()[title][1]}
    numbers = {
        (line["system"], line["direction"]): line for line in rendered().csv("comparison.csv") if line["data"] == data
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


def test_another_reference(rendered):
    rows = rendered(*ANOTHER).sections()["planted, 16 bits: UCMFH, all views against the others"][1]
    assert {row["system"] for row in rows if row["UCMFH, all views ahead by"] == "reference"} == {"UCMFH, all views"}
    assert len(rows) == len(SYSTEMS)


def test_paired_says_what_it_is(rendered):
    text, rows = rendered().sections()["planted, 16 bits: paired, unseen"]
    assert "A query sees its own partner" in text
    assert {row["system"]: row["mAP@all I→T"] for row in rows}["TwoTower"] == "-"
    assert {row["system"]: row["mAP@all I→T"] for row in rows}["MCMFH"] != "-"
    assert not any("train+val" in title for title in rendered().sections())


def test_the_csv_has_the_numbers_of_the_page(rendered):
    lines = rendered().csv("table.csv")
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
