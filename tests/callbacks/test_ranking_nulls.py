"""Nulls of a report on rankings, each against NumPy."""

import numpy as np
import pytest
import torch

from mcmfh_lightning.evaluation.nulls import POPULARITY_LEVELS, ConstantRankings, derangement, derangement_within
from tests.callbacks.ranking_runs import PAIRS, subset_rows


def test_constant_null_is_the_better_of_popularity_and_normals_first(world, report):
    rows, queries = report.rows, world.splits["test"]
    training = np.unpackbits(world.splits["train"]["labels"], axis=1)
    winners = set()
    for database, table in world.databases.items():
        labels = np.unpackbits(table["labels"], axis=1)
        share = np.array([(training & item).any(1).mean() for item in labels])
        levels = {
            "popularity": np.floor((1 - share) * (POPULARITY_LEVELS - 1) + 1e-9),
            "normals first": 1 - labels[:, 1].astype(int),
        }
        values = {name: world.ranked(queries, table, lambda _, level=level: level) for name, level in levels.items()}
        for subset, members in subset_rows(world.splits).items():
            means = {name: np.nanmean(value[members]) for name, value in values.items()}
            winners.add(max(means, key=means.get))
            for protocol, directions in PAIRS.items():
                for direction in directions:
                    row = rows[protocol, database, subset, direction, "constant", "mAP@all"]
                    assert float(row["value"]) == pytest.approx(max(means.values()), rel=1e-12)
    assert len(winners) == 2  # else the choice was not tested
    assert rows["unimodal", "unseen", "all", "i2t", "constant", "P@H<=2"]["value"] == ""


def test_shuffled_null_gives_each_query_the_code_of_another(world, report):
    rows, queries, table = report.rows, world.splits["test"], world.databases["train+val"]
    taken = derangement(len(queries["index"]), seed=0).numpy()
    query_codes, codes = world.codes(world.Module(), queries), world.codes(world.Module(), table)
    values = world.hamming_ranked(queries, table, query_codes["image"][taken], codes["text"])
    row = rows["unimodal", "train+val", "all", "i2t", "shuffled queries", "mAP@all"]
    assert float(row["value"]) == pytest.approx(np.nanmean(values), rel=1e-12)


def test_shuffling_within_strata_keeps_what_is_not_particular_to_a_query(world, report):
    rows, queries, table = report.rows, world.splits["test"], world.databases["train+val"]
    normal = np.unpackbits(queries["labels"], axis=1)[:, 1].astype(bool)
    taken = derangement_within(torch.from_numpy(normal), seed=0).numpy()
    assert sorted(taken) == list(range(len(taken)))
    assert (taken != np.arange(len(taken))).all()
    assert (normal[taken] == normal).all()
    query_codes, codes = world.codes(world.Module(), queries), world.codes(world.Module(), table)
    values = world.hamming_ranked(queries, table, query_codes["image"][taken], codes["text"])
    row = rows["unimodal", "train+val", "all", "i2t", "shuffled within", "mAP@all"]
    assert float(row["value"]) == pytest.approx(np.nanmean(values), rel=1e-12)


def test_a_query_alone_in_its_stratum_keeps_its_code():
    assert derangement_within(torch.tensor([False, True, False]), seed=0).tolist() == [2, 1, 0]


def test_derangement_moves_everything():
    for count in (2, 3, 50):
        taken = derangement(count, seed=count)
        assert sorted(taken.tolist()) == list(range(count))
        assert (taken != torch.arange(count)).all()


def test_abnormal_popularity_is_a_reference_and_no_null(world, report):
    rows, queries, table = report.rows, world.splits["test"], world.databases["unseen"]
    training = np.unpackbits(world.splits["train"]["labels"], axis=1)
    training = training[training[:, 1] == 0]
    share = np.array([(training & item).any(1).sum() for item in np.unpackbits(table["labels"], axis=1)])
    level = (len(training) - share) * (POPULARITY_LEVELS - 1) // len(training)
    values = world.ranked(queries, table, lambda _: level)
    row = rows["unimodal", "unseen", "all", "i2t", "abnormal popularity", "mAP@all"]
    assert float(row["value"]) == pytest.approx(np.nanmean(values), rel=1e-12)


def test_abnormal_popularity_counts_abnormal_training_pairs_alone():
    normal, first, second, both = ([1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1])
    training = np.packbits([normal] * 6 + [first] * 2 + [second], axis=1)
    rankings = ConstantRankings(training, 0, torch.device("cpu"))
    levels = rankings.levels(torch.from_numpy(np.packbits([normal, first, second, both], axis=1)))
    assert levels["abnormal popularity"].tolist() == [1023, 341, 682, 0]
    assert levels["popularity"].tolist() == [341, 795, 909, 682]


def test_hyperplane_null_hashes_the_raw_embeddings(world, report):
    rows, queries, table = report.rows, world.splits["test"], world.databases["train+val"]

    def projected(side, name):
        embedding = side[name] / np.linalg.norm(side[name], axis=1, keepdims=True)
        planes = torch.randn(embedding.shape[1], world.bits, generator=torch.Generator().manual_seed(0))
        return embedding @ planes.numpy()

    for key, ours, theirs in (
        (("unimodal", "i2t"), projected(queries, "image"), projected(table, "text")),
        (("asymmetric", "t2case"), projected(queries, "text"), projected(table, "image") + projected(table, "text")),
    ):
        values = world.hamming_ranked(queries, table, ours, theirs)
        row = rows[key[0], "train+val", "all", key[1], "hyperplanes", "mAP@all"]
        assert float(row["value"]) == pytest.approx(np.nanmean(values), rel=1e-12)


def test_difference_is_to_the_best_null(report):
    rows = report.rows
    for key, row in rows.items():
        if key[4] != "model":
            assert row["difference"] == row["best_null"] == ""
            continue
        if key[5] == "instance median rank":  # of which less is better
            assert row["difference"] == row["best_null"] == ""
            continue
        systems = ["shuffled queries", "shuffled within", "hyperplanes", "chance"]
        if not key[5].startswith("instance"):
            systems.append("constant")
        nulls = {system: float(rows[*key[:4], system, key[5]]["value"] or "-inf") for system in systems}
        assert nulls[row["best_null"]] == max(nulls.values())
        assert float(row["difference"]) == pytest.approx(float(row["value"]) - max(nulls.values()))
        assert float(row["difference_low"]) <= float(row["difference"]) <= float(row["difference_high"])


def test_graded_metrics_of_the_constant_null(world, report):
    """The same numbers as of a database whose codes are the popularity levels."""
    queries, table = world.splits["test"], world.databases["train+val"]
    labels, of_queries = (np.unpackbits(side["labels"], axis=1).astype(int) for side in (table, queries))
    training = np.unpackbits(world.splits["train"]["labels"], axis=1)
    share = np.array([(training & item).any(1).mean() for item in labels])
    normal_first = 1 - labels[:, 1]
    means = []
    for levels in (np.floor((1 - share) * (POPULARITY_LEVELS - 1) + 1e-9), normal_first):
        values = []
        for row in range(len(of_queries)):
            kept = np.flatnonzero(table["group"] != queries["group"][row])
            gains = (labels @ of_queries[row])[kept]
            if not gains.any():
                continue
            shape = 2000, len(kept)
            tied = np.random.default_rng(row).random(shape)
            orders = np.lexsort((tied, np.broadcast_to(levels[kept], shape)))[:, :5]
            values.append(gains[orders].mean())
        means.append(np.mean(values))
    row = report.rows["unimodal", "train+val", "all", "i2t", "constant", "ACG@5"]
    assert float(row["value"]) == pytest.approx(max(means), abs=0.005)
