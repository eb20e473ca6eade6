"""queries.csv: AP query by query, from which the means of ranking.csv follow."""

import csv
from math import isnan, nan

import numpy as np
import pytest

from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.hashers import TwoTower
from tests.callbacks.ranking_runs import PAIRS


def read(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=["whole", "mixed"])
def tested(request):
    """A world after its test; in the mixed one items and queries lack a modality."""
    report = request.getfixturevalue("report" if request.param == "whole" else "mixed_report")
    return request.param, report.world, read(report.folder / "queries.csv"), read(report.folder / "ranking.csv")


def test_every_value_against_brute_force(tested):
    name, world, rows, _ = tested
    module, queries = world.Module(), world.having(world.splits["test"], "both")
    assert [int(row["index"]) for row in rows] == queries["index"].tolist()
    assert [int(row["group_number"]) for row in rows] == queries["group"].tolist()
    assert list(rows[0])[:2] == ["id", "group"]
    assert [row["id"] for row in rows] == [f"test ä{index}" for index in queries["index"]]
    assert [row["group"] for row in rows] == [f"P-{group}" for group in queries["group"]]
    ours = world.codes(module, queries)
    undefined = 0
    for database, table in world.databases.items():
        for protocol, directions in PAIRS.items():
            for direction, (query, item) in directions.items():
                kept = world.having(table, item if item in ("image", "text") else "both")
                expected = world.hamming_ranked(queries, kept, ours[query], world.codes(module, kept)[item])
                values = [float(row[f"{protocol}/{database}/{direction}"] or nan) for row in rows]
                np.testing.assert_allclose(values, expected, rtol=1e-12)
                undefined += np.isnan(expected).sum()
    assert undefined or name == "whole"  # else empty cells were not tested


def test_members_of_the_query_subsets(tested):
    _, world, rows, _ = tested
    queries = world.having(world.splits["test"], "both")
    normal = np.unpackbits(queries["labels"], axis=1)[:, 1]
    seen = np.concatenate([world.splits[name]["text_hash"] for name in ("train", "val")])
    members = {name: np.array([int(row[name]) for row in rows]) for name in ("all", "normal", "abnormal", "new_text")}
    assert members["all"].all()
    np.testing.assert_array_equal(members["normal"], normal)
    np.testing.assert_array_equal(members["abnormal"], 1 - normal)
    np.testing.assert_array_equal(members["new_text"], ~np.isin(queries["text_hash"], seen))


def test_means_are_those_of_the_ranking(tested):
    _, _, rows, ranking = tested
    compared = 0
    for one in ranking:
        if (one["system"], one["metric"]) == ("model", "mAP@all"):
            name = "/".join(one[part] for part in ("protocol", "database", "direction"))
            values = [float(row[name] or nan) for row in rows if row[one["queries"]] == "1"]
            defined = [value for value in values if not isnan(value)]
            mean = np.mean(defined) if defined else nan
            assert float(one["value"] or nan) == pytest.approx(mean, rel=1e-12, nan_ok=True)
            compared += 1
    assert compared == sum(map(len, PAIRS.values())) * 2 * 4


def test_queries_of_feature_shards_are_named(make_features, world):
    """By their own ids and groups, here the numbers in digits."""
    data = FeatureDataModule(str(make_features(world.folder / "features", train=32, evaluated=24)))
    trainer = world.trainer(HammingRanking(protocols=("unimodal",), ks=()))
    trainer.test(TwoTower(8, data.image_dim, data.text_dim, d_model=8), data, verbose=False)
    rows = read(world.folder / "queries.csv")
    assert [row["id"] for row in rows] == [f"test{i:04d}" for i in range(24)]
    assert [(row["group"], row["group_number"]) for row in rows] == [(f"{56 + i // 2}",) * 2 for i in range(24)]
