import contextlib
import csv
import io
import json
import warnings
from types import SimpleNamespace
from unittest.mock import patch

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.multiprocessing import ProcessRaisedException

from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.nulls import POPULARITY_LEVELS, ConstantRankings, derangement, derangement_within
from mcmfh_lightning.evaluation.stream import RankingStream

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


@pytest.fixture(scope="module")
def report(shared_world):
    """One test run with everything on."""
    world, printed = shared_world, io.StringIO()
    with contextlib.redirect_stdout(printed):
        trainer = run_test(world)
    return SimpleNamespace(
        rows=rows_of(world.folder), logged=trainer.callback_metrics, printed=printed.getvalue(), folder=world.folder
    )


def test_every_number_of_the_model_against_brute_force(world, report):
    rows, module, queries = report.rows, world.Module(), world.splits["test"]
    query_codes = world.codes(module, queries)
    logged = report.logged
    checked = 0
    for database, table in world.databases.items():
        codes = world.codes(module, table)
        for protocol, directions in PAIRS.items():
            for direction, (ours, theirs) in directions.items():
                for metric, k in (("mAP@all", None), ("mAP@5", 5)):
                    values = world.hamming_ranked(queries, table, query_codes[ours], codes[theirs], k)
                    for subset, members in subset_rows(world.splits).items():
                        key = (protocol, database, subset, direction)
                        row = rows[*key, "model", metric]
                        expected = np.nanmean(values[members])
                        assert float(row["value"]) == pytest.approx(expected, rel=1e-12)
                        name = f"test/{'/'.join(key)}/{metric}"
                        if database == "unseen" or subset in ("all", "abnormal"):
                            assert logged[name].item() == pytest.approx(expected, rel=1e-6)
                        else:
                            assert name not in logged
                        assert int(row["num_queries"]) == members.sum()
                        assert int(row["num_without_relevant"]) == np.isnan(values[members]).sum()
                        assert int(row["database_size"]) == len(table["index"])
                        assert float(row["pessimistic"]) <= expected <= float(row["optimistic"])
                        assert float(row["low"]) < expected < float(row["high"])
                        checked += 1
    assert checked == 2 * sum(map(len, PAIRS.values())) * 2 * 4


def test_precision_at_depth_and_within_the_ball(world, report):
    rows, queries = report.rows, world.splits["test"]
    codes = world.codes(world.Module(), queries)
    labels = np.unpackbits(queries["labels"], axis=1)
    balls, precisions = [], []
    for row in range(len(queries["index"])):
        kept = queries["group"] != queries["group"][row]
        relevant = (labels & labels[row]).any(1)[kept]
        if not relevant.any():
            continue
        distances = world.hamming(codes["image"], codes["text"], row)[kept]
        balls.append(relevant[distances <= 2].mean() if (distances <= 2).any() else 0.0)
        rng = np.random.default_rng(row)
        orders = [np.lexsort((rng.random(len(distances)), distances))[:5] for _ in range(3000)]
        precisions.append(np.mean([relevant[order].mean() for order in orders]))
    key = ("unimodal", "unseen", "all", "i2t", "model")
    assert float(rows[*key, "P@H<=2"]["value"]) == pytest.approx(np.mean(balls), rel=1e-12)
    assert float(rows[*key, "P@5"]["value"]) == pytest.approx(np.mean(precisions), abs=0.005)


def test_chance_is_every_item_tied(world, report):
    rows, queries = report.rows, world.splits["test"]
    for database, table in world.databases.items():
        values = world.ranked(queries, table, lambda _, table=table: np.zeros(len(table["index"])))
        for direction in ("i2t", "t2i"):
            key = ("unimodal", database, "all", direction)
            assert float(rows[*key, "chance", "mAP@all"]["value"]) == pytest.approx(np.nanmean(values))
            assert float(rows[*key, "model", "mAP@all"]["chance"]) == pytest.approx(np.nanmean(values))


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


def test_files_name_what_the_numbers_are_of(world, report):
    content = json.loads((report.folder / "metrics.json").read_text())
    assert content["encoder"] == {"kind": "fake", "width": 6}
    assert content["num_bits"] == world.bits
    assert content["protocols"] == list(PAIRS)
    assert content["package"].startswith("mcmfh-lightning ")
    assert "not diagnosis" in content["research_use"]
    assert content["databases"]["unseen"]["size"] == {"image": 26, "text": 26, "both": 26}
    assert content["databases"]["train+val"]["size"] == {"image": 70, "text": 70, "both": 70}
    assert content["databases"]["unseen"]["queries"]["all"]["number"] == 26
    row = report.rows["paired", "unseen", "normal", "t2i", "model", "mAP@5"]
    branch = content["results"]["paired"]["unseen"]["normal"]["t2i"]["model"]["mAP@5"]
    assert branch["value"] == float(row["value"])
    assert branch["denominator"] == row["denominator"] == "min(k, R)"
    for name in ("precision_recall.png", "precision_at_n.png", "recall_at_n.png"):
        assert (report.folder / name).read_bytes().startswith(b"\x89PNG")


def test_near_duplicate_films_of_other_groups_are_counted_and_reported(world, report):
    split = world.splits["test"]
    alike = np.corrcoef(split["image"]) >= 0.98
    found = int((alike & (split["group"][:, None] != split["group"])).any(axis=1).sum())
    counted = {"queries": 26, "found": found, "cosine": 0.98}
    assert json.loads((report.folder / "metrics.json").read_text())["near_duplicates"] == counted
    assert ("near-duplicate in another group" in report.printed) == (found > 0)
    split = {name: values.copy() for name, values in split.items()}
    split["image"][:] = split["image"][0]  # one film under every number
    (world.folder / "copies").mkdir()
    trainer = world.trainer(HammingRanking(), default_root_dir=world.folder / "copies")
    trainer.test(world.Module(), world.Data(world.splits | {"test": split}), verbose=False)
    content = json.loads((world.folder / "copies" / "metrics.json").read_text())
    assert content["near_duplicates"]["found"] == 26
    assert any(note.startswith("26 of 26 test films have a near-duplicate") for note in content["notes"])


def test_table_shows_interval_chance_and_best_null(report):
    row = report.rows["unimodal", "unseen", "abnormal", "i2t", "model", "mAP@all"]
    lines = report.printed.splitlines()
    assert "abnormal queries" in lines[0]
    (shown,) = (" ".join(line.split()) for line in lines if line.startswith("unimodal") and "I->T" in line)
    value, low, high = (f"{float(row[name]):.3f}"[1:] for name in ("value", "low", "high"))
    assert f"{value} [{low}, {high}]" in shown
    assert f"{float(row['chance']):.3f}"[1:] in shown
    null = float(report.rows["unimodal", "unseen", "abnormal", "i2t", row["best_null"], "mAP@all"]["value"])
    assert f"{row['best_null']} {f'{null:.3f}'[1:]}" in shown
    assert len(lines) <= 16  # with the two searches within a modality
    assert str(report.folder) in report.printed  # where every other number is


def tied_orders(world, query_codes, codes, row, kept, count=4000):
    """Many orders of the items that are kept, each a random one of those that the distances allow."""
    distances = world.hamming(query_codes, codes, row)[kept]
    rng = np.random.default_rng(row)
    return [np.flatnonzero(kept)[np.lexsort((rng.random(len(distances)), distances))] for _ in range(count)]


def test_graded_metrics_against_random_orders_of_ties(world, report):
    queries = world.splits["test"]
    codes = world.codes(world.Module(), queries)
    labels = np.unpackbits(queries["labels"], axis=1).astype(int)
    discount = 1 / np.log2(np.arange(2, 7))
    ndcg, acg = [], []
    for row in range(len(labels)):
        kept = queries["group"] != queries["group"][row]
        gains = labels @ labels[row]
        if not gains[kept].any():
            continue
        ideal = np.sort(gains[kept])[::-1][:5] @ discount
        found = np.stack([gains[order[:5]] for order in tied_orders(world, codes["image"], codes["text"], row, kept)])
        ndcg.append((found @ discount).mean() / ideal)
        acg.append(found.mean())
    key = ("unimodal", "unseen", "all", "i2t", "model")
    assert float(report.rows[*key, "NDCG@5"]["value"]) == pytest.approx(np.mean(ndcg), abs=0.003)
    assert float(report.rows[*key, "ACG@5"]["value"]) == pytest.approx(np.mean(acg), abs=0.003)


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
            rng = np.random.default_rng(row)
            orders = [np.lexsort((rng.random(len(kept)), levels[kept]))[:5] for _ in range(2000)]
            values.append(np.mean([gains[order].mean() for order in orders]))
        means.append(np.mean(values))
    row = report.rows["unimodal", "train+val", "all", "i2t", "constant", "ACG@5"]
    assert float(row["value"]) == pytest.approx(max(means), abs=0.005)


@pytest.mark.parametrize(("direction", "ours", "theirs"), [("i2t", "image", "text"), ("t2i", "text", "image")])
def test_instance_recall_against_random_orders_of_ties(world, report, direction, ours, theirs):
    queries = world.splits["test"]
    codes = world.codes(world.Module(), queries)
    firsts, others = [], 0
    for row in range(len(queries["index"])):
        positive = queries["text_hash"] == queries["text_hash"][row]
        positive &= queries["text_hash"] != 0
        positive[row] = True
        others += positive.sum() - 1
        kept = positive | (queries["group"] != queries["group"][row])
        orders = tied_orders(world, codes[ours], codes[theirs], row, kept)
        firsts.append([1 + int(positive[order].argmax()) for order in orders])
    assert others  # else duplicates were not tested
    firsts = np.array(firsts)
    key = ("unimodal", "unseen", "all", direction, "model")
    for k in (1, 5, 10):
        row = report.rows[*key, f"instance R@{k}"]
        assert float(row["value"]) == pytest.approx((firsts <= k).mean(), abs=0.004)
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
        assert row["num_without_relevant"] == "0"
    median = float(report.rows[*key, "instance median rank"]["value"])
    assert median == pytest.approx(np.median(firsts.mean(1)), abs=0.3)
    assert not any(row["metric"].startswith("instance") for key, row in report.rows.items() if key[1] != "unseen")


def test_labels_next_to_the_ranking(world, report):
    with (report.folder / "labels.csv").open() as file:
        rows = {
            tuple(row[n] for n in ("protocol", "database", "direction", "label")): row for row in csv.DictReader(file)
        }
    data, queries, table = world.Data(world.splits), world.splits["test"], world.databases["train+val"]
    codes = world.codes(world.Module(), queries)["fused_image"], world.codes(world.Module(), table)["fused_text"]
    values = world.hamming_ranked(queries, table, *codes)
    labels = np.unpackbits(queries["labels"], axis=1).astype(bool)
    for position, label in enumerate(data.label_vocabulary):
        row, carrying = rows["paired", "train+val", "i2t", label], values[labels[:, position]]
        assert int(row["num_queries"]) == (~np.isnan(carrying)).sum() > 0
        assert float(row["value"]) == pytest.approx(np.nanmean(carrying), rel=1e-12)
        assert row["metric"] == "mAP@all"
        assert 0 < float(row["chance"]) < 1
    assert len(rows) == sum(map(len, PAIRS.values())) * 2 * len(data.label_vocabulary)


def test_validation_logs_the_monitor_without_nulls(world):
    trainer = world.trainer(HammingRanking(ks=(3,)))
    trainer.validate(world.Module(), world.Data(world.splits), verbose=False)
    logged, val, module = trainer.callback_metrics, world.splits["val"], world.Module()
    codes = world.codes(module, val)
    abnormal = ~np.unpackbits(val["labels"], axis=1)[:, 1].astype(bool)
    means = {}
    for protocol in ("unimodal", "asymmetric"):
        for direction, (ours, theirs) in PAIRS[protocol].items():
            values = world.hamming_ranked(val, val, codes[ours], codes[theirs])
            means[direction] = np.nanmean(values[abnormal])
            name = f"val/{protocol}/unseen/abnormal/{direction}/mAP@all"
            assert logged[name].item() == pytest.approx(means[direction])
    assert logged["val/mAP"].item() == pytest.approx(np.mean([means[search] for search in FIVE]))
    assert not any("train+val" in key or "new_text" in key for key in logged)
    assert list(world.folder.iterdir()) == []


def test_without_a_normal_label_all_queries_are_monitored(world):
    trainer = world.trainer(HammingRanking())
    trainer.validate(world.Module(), world.Data(world.splits, normal_label=None), verbose=False)
    logged = trainer.callback_metrics
    searches = [logged[f"val/{protocol}/unseen/all/{name}/mAP@all"].item() for name, protocol in FIVE.items()]
    assert logged["val/mAP"].item() == pytest.approx(np.mean(searches))
    assert not any("normal" in key for key in logged)


@pytest.mark.parametrize("settings", [{"searches": ("t2case", "t2t")}, {"protocols": ("unimodal",)}])
def test_the_monitor_is_the_mean_over_the_searches_of_the_run(world, settings):
    trainer = world.trainer(HammingRanking(**settings))
    trainer.validate(world.Module(), world.Data(world.splits), verbose=False)
    logged = trainer.callback_metrics
    asked = {"t2case": "asymmetric", "t2t": "unimodal"} if "searches" in settings else dict.fromkeys(ALONE, "unimodal")
    values = [logged[f"val/{protocol}/unseen/abnormal/{name}/mAP@all"].item() for name, protocol in asked.items()]
    assert logged["val/mAP"].item() == pytest.approx(np.mean(values))


def test_a_fit_is_not_chosen_by_searches_that_the_method_has_no_code_for(world):
    class NoCase(world.Module):
        def codes(self, batch):
            return {name: code for name, code in super().codes(batch).items() if name != "case"}

    def fit(**settings):
        checkpoint = ModelCheckpoint(dirpath=world.folder, monitor="val/mAP", mode="max")
        trainer = world.trainer(HammingRanking(**settings), checkpoint, max_epochs=1, enable_checkpointing=True)
        trainer.fit(NoCase(), world.Data(world.splits))
        return trainer.callback_metrics["val/mAP"].item()

    with pytest.raises(DataError, match="NoCase gives none: leave i2case, t2case out of searches"):
        fit()
    assert 0 < fit(searches=ALONE) < 1


def test_queries_have_the_code_of_their_search(world):
    """A method whose query codes depend on what is searched: only the search with other codes has other numbers."""

    class Searching(world.Module):
        def codes(self, batch):
            codes = super().codes(batch)
            return codes | {"queries": {"t2case": -codes["text"]}}

    run_test(world)
    before = rows_of(world.folder)
    (world.folder / "metrics.json").unlink()  # which names other weights
    run_test(world, module=Searching())
    after = rows_of(world.folder)
    differ = {(key[0], key[3]) for key in after if after[key]["value"] != before[key]["value"]}
    assert differ == {("asymmetric", "t2case")}
    codes = world.codes(world.Module(), world.splits["test"])
    values = world.hamming_ranked(world.splits["test"], world.databases["unseen"], -codes["text"], codes["case"])
    row = after["asymmetric", "unseen", "all", "t2case", "model", "mAP@all"]
    assert float(row["value"]) == pytest.approx(np.nanmean(values), rel=1e-12)


def test_checkpoints_are_chosen_by_the_monitor(world):
    checkpoint = ModelCheckpoint(dirpath=world.folder, monitor="val/mAP", mode="max")
    trainer = world.trainer(
        HammingRanking(), checkpoint, max_epochs=2, enable_checkpointing=True, num_sanity_val_steps=2
    )
    trainer.fit(world.Module(), world.Data(world.splits))
    kept = trainer.validate(
        world.Module(), world.Data(world.splits), ckpt_path=checkpoint.best_model_path, verbose=False
    )
    assert kept[0]["val/mAP"] == checkpoint.best_model_score.item() > 0


def test_the_best_checkpoint_is_chosen_on_the_validation_queries(world):
    """Other weights in every epoch, of which the test split would have chosen others."""
    weights = [torch.randn(world.Module().image.shape, generator=torch.Generator().manual_seed(s)) for s in range(5, 9)]

    class Weights(pl.Callback):
        def on_validation_start(self, trainer, pl_module):
            pl_module.image.data.copy_(weights[trainer.current_epoch])

    def monitored(split, image):
        module = world.Module()
        module.image.data.copy_(image)
        codes = world.codes(module, split)
        abnormal = ~np.unpackbits(split["labels"], axis=1)[:, 1].astype(bool)
        sides = (PAIRS[protocol][search] for search, protocol in FIVE.items())
        ranked = [world.hamming_ranked(split, split, codes[ours], codes[theirs]) for ours, theirs in sides]
        return np.mean([np.nanmean(values[abnormal]) for values in ranked])

    expected = {name: [monitored(world.splits[name], image) for image in weights] for name in ("val", "test")}
    best = int(np.argmax(expected["val"]))
    assert best not in (0, 3, int(np.argmax(expected["test"])))  # neither the first nor the last, nor that of the test
    checkpoint = ModelCheckpoint(dirpath=world.folder, monitor="val/mAP", mode="max")
    settings = {"max_epochs": 4, "limit_train_batches": 1, "num_sanity_val_steps": 0, "enable_checkpointing": True}
    world.trainer(Weights(), HammingRanking(), checkpoint, **settings).fit(world.Module(), world.Data(world.splits))
    kept = torch.load(checkpoint.best_model_path, weights_only=True)
    assert kept["epoch"] == best
    assert torch.equal(kept["state_dict"]["image"], weights[best])
    assert checkpoint.best_model_score.item() == pytest.approx(expected["val"][best])


def test_evaluation_every_n_epochs(world):
    evaluated = []

    class Record(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            evaluated.append((trainer.current_epoch, trainer.callback_metrics["val/mAP"].item()))

    checkpoint = ModelCheckpoint(dirpath=world.folder, monitor="val/mAP", mode="max")
    settings = {"max_epochs": 5, "check_val_every_n_epoch": 2, "num_sanity_val_steps": 0, "enable_checkpointing": True}
    callback = HammingRanking()
    world.trainer(callback, Record(), checkpoint, **settings).fit(world.Module(), world.Data(world.splits))
    assert [epoch for epoch, _ in evaluated] == [1, 3]
    assert checkpoint.best_model_score.item() == max(value for _, value in evaluated)
    assert callback._stream is None  # nothing of an epoch is kept


@pytest.mark.parametrize("limit", [1, 2])
def test_limited_batches_are_what_is_counted(world, limit):
    """Of queries and of the database alike; own groups, partners and databases are those of what was seen."""
    data, size = world.Data(world.splits), 7 * limit
    run_test(world, data=data, limit_test_batches=limit)
    seen = {name: column[:size] for name, column in world.splits["test"].items()}
    codes = world.codes(world.Module(), seen)
    row = rows_of(world.folder)["unimodal", "unseen", "all", "i2t", "model", "mAP@all"]
    values = world.hamming_ranked(seen, seen, codes["image"], codes["text"])
    assert (row["num_queries"], row["database_size"]) == (str(size), str(size))
    assert float(row["value"] or "nan") == pytest.approx(np.nanmean(values), rel=1e-12, nan_ok=True)


def test_the_database_is_counted_where_it_is(world):
    """On the meta device, which has no values to copy: only whether all items are whole may be looked at."""
    batch = {name: torch.from_numpy(column) for name, column in world.splits["val"].items()}
    outputs = {name: torch.randn(20, 16) for name in ("image", "text", "case", "fused_image", "fused_text")}
    stream = RankingStream(["query", "unseen"], ("unimodal", "paired"), None, torch.device("cpu"))
    stream.add(0, outputs, batch)
    stream.add(1, outputs, batch)
    for histogram in stream._rankings["unseen"].values():
        histogram.to("meta")
    elsewhere = {name: column if name == "present" else column.to("meta") for name, column in batch.items()}
    stream.add(1, {name: code.to("meta") for name, code in outputs.items()}, elsewhere)
    assert all(histogram.total.device.type == "meta" for histogram in stream._rankings["unseen"].values())


def test_sanity_checking_counts_nothing(world):
    callback, data = HammingRanking(), world.Data(world.splits)
    settings = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1, "num_sanity_val_steps": 1}
    with patch.object(callback, "_new_stream", wraps=callback._new_stream) as begun:
        world.trainer(callback, **settings).fit(world.Module(), data)
    assert begun.call_count == 1  # that of the epoch
    assert callback._stream is None


def test_fast_dev_run_writes_nothing(world):
    trainer = world.trainer(HammingRanking(), fast_dev_run=1)
    module, data = world.Module(), world.Data(world.splits)
    trainer.fit(module, data)
    assert "val/mAP" in trainer.callback_metrics
    trainer.test(module, data, verbose=False)
    assert list(world.folder.iterdir()) == []


def test_one_query_without_anything_relevant(world, capsys):
    """A single query has no other to be shuffled with, and only its own item to be ranked against."""
    trainer = run_test(world, data=world.Data(world.splits, batch_size=1), limit_test_batches=1)
    assert not any("unseen" in key for key in trainer.callback_metrics)
    row = rows_of(world.folder)["unimodal", "unseen", "all", "i2t", "model", "mAP@all"]
    assert row["value"] == ""
    assert row["num_without_relevant"] == row["num_queries"] == "1"
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("unimodal"))
    assert "nan" not in line
    assert " - " in line
    content = json.loads((world.folder / "metrics.json").read_text())
    assert content["databases"]["unseen"]["queries"]["all"]["without_relevant"] == {"text": 1, "image": 1, "both": 1}
    found = rows_of(world.folder)["unimodal", "unseen", "all", "i2t", "model", "instance R@1"]
    assert (found["value"], found["num_without_relevant"]) == ("1.0", "0")  # its own item is relevant here


def test_a_validation_prints_the_same_table_and_no_list_of_keys(world, capsys):
    trainer = world.trainer(HammingRanking())
    trainer.validate(world.Module(), world.Data(world.splits))
    printed = capsys.readouterr().out
    assert f"val/mAP {float(trainer.callback_metrics['val/mAP']):.3f}".replace("0.", ".") in printed
    assert [line.split()[:2] for line in printed.splitlines() if line.startswith("unimodal")] == [
        ["unimodal", "I->T"],
        ["unimodal", "T->I"],
        ["unimodal", "I->I"],
        ["unimodal", "T->T"],
    ]
    assert "val/unimodal/" not in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_monitor_is_nan_where_nothing_is_relevant(world):
    trainer = world.trainer(HammingRanking(), limit_val_batches=1)
    trainer.validate(world.Module(), world.Data(world.splits, batch_size=1), verbose=False)
    assert trainer.callback_metrics["val/mAP"].isnan()


def test_batch_size_changes_no_digit(world, report):
    run_test(world, data=world.Data(world.splits, batch_size=100))
    assert rows_of(world.folder) == report.rows


def test_unimodal_numbers_know_nothing_of_the_fused_codes(world, report):
    run_test(world, module=world.Module(partner_shift=1.5))
    changed = {key[0] for key, row in rows_of(world.folder).items() if row != report.rows[key]}
    assert changed == {"paired"}


def test_method_without_fusion_leaves_out_paired_and_says_so(world, capsys):
    run_test(world, module=world.Module(fuses=False))
    content = json.loads((world.folder / "metrics.json").read_text())
    assert content["protocols"] == ["unimodal", "asymmetric"]
    assert content["notes"] == ["paired: left out, Module gives no fused_image and fused_text"]
    assert "left out, Module gives no" in capsys.readouterr().out


def test_two_processes_one_with_nothing_give_the_same_files(world, report):
    data = world.Data(world.splits, shares={0: slice(0, 0), 1: slice(None)})
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="It is recommended to use `self.log")
        run_test(world, data=data, strategy="ddp_fork", devices=2)
    for name in ("ranking.csv", "labels.csv", "queries.csv", "metrics.json"):
        assert (world.folder / name).read_bytes() == (report.folder / name).read_bytes()


@pytest.mark.parametrize("cut", [0, 3, 19])
def test_uneven_processes_monitor_the_same(world, cut):
    """Any cut of the database between two processes, also one that leaves nothing to the first, while fitting."""
    alone = world.trainer(HammingRanking())
    alone.validate(world.Module(), world.Data(world.splits), verbose=False)
    data = world.Data(world.splits, shares={0: slice(0, cut), 1: slice(cut, None)})
    both = world.trainer(HammingRanking(), strategy="ddp_fork", devices=2)
    both.validate(world.Module(), data, verbose=False)
    assert both.callback_metrics.keys() == alone.callback_metrics.keys()
    for name, value in alone.callback_metrics.items():
        assert both.callback_metrics[name].item() == value.item(), name


def test_queries_that_differ_between_processes_are_refused(world):
    with pytest.raises(ProcessRaisedException, match="give every rank all queries"):
        run_test(world, strategy="ddp_fork", devices=2, use_distributed_sampler=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocols": ("unimodal", "pared")}, "'pared' is not one of 'unimodal', 'asymmetric', 'paired'"),
        ({"protocols": ("paired",)}, "must include 'unimodal'"),
        ({"ks": (50, 0)}, "every k must be at least 1"),
        ({"searches": ("i2c",)}, "searches.*'i2c' is not one of 'i2t'"),
        ({"searches": ()}, "searches is empty"),
        ({"protocols": ("unimodal",), "searches": ("i2t", "i2case")}, "has i2case, which the protocol 'asymmetric'"),
    ],
)
def test_wrong_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        HammingRanking(**settings)


def test_datamodule_without_queries_is_refused(world):
    module, loader = world.Module(), torch.utils.data.DataLoader([0])
    with pytest.raises(DataError, match="HammingRanking needs a datamodule"):
        world.trainer(HammingRanking()).validate(module, loader)


def test_derangement_moves_everything():
    for count in (2, 3, 50):
        taken = derangement(count, seed=count)
        assert sorted(taken.tolist()) == list(range(count))
        assert (taken != torch.arange(count)).all()
