"""Numbers of the model in a report on rankings, each against brute force, and the files and lines that have them."""

import csv
import json

import numpy as np
import pytest

from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking
from tests.callbacks.ranking_runs import PAIRS, rows_of, run_test, subset_rows


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
        orders = tied_orders(distances, seed=row)[:, :5]
        precisions.append(relevant[orders].mean())
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
    trainer = world.trainer(HammingRanking(protocols=("unimodal",), ks=()), default_root_dir=world.folder / "copies")
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


def tied_orders(distances, seed, count=4000):
    """(count, items): many orders, each a random one of those that the distances allow."""
    shape = count, len(distances)
    return np.lexsort((np.random.default_rng(seed).random(shape), np.broadcast_to(distances, shape)))


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
        distances = world.hamming(codes["image"], codes["text"], row)[kept]
        found = gains[kept][tied_orders(distances, seed=row)[:, :5]]
        ndcg.append((found @ discount).mean() / ideal)
        acg.append(found.mean())
    key = ("unimodal", "unseen", "all", "i2t", "model")
    assert float(report.rows[*key, "NDCG@5"]["value"]) == pytest.approx(np.mean(ndcg), abs=0.003)
    assert float(report.rows[*key, "ACG@5"]["value"]) == pytest.approx(np.mean(acg), abs=0.003)


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
        distances = world.hamming(codes[ours], codes[theirs], row)[kept]
        firsts.append(1 + positive[kept][tied_orders(distances, seed=row)].argmax(1))
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


def test_other_codes_change_the_numbers_of_their_searches_alone(world, report):
    """A method whose query codes depend on what is searched, and whose fused codes are others."""

    class Searching(world.Module):
        def codes(self, batch):
            codes = super().codes(batch)
            return codes | {"queries": {"t2case": -codes["text"]}}

    run_test(world, module=Searching(partner_shift=1.5))
    after = rows_of(world.folder)
    differ = {(key[0], key[3]) for key, row in after.items() if row != report.rows[key]}
    assert differ == {("asymmetric", "t2case"), ("paired", "i2t"), ("paired", "t2i")}
    codes = world.codes(world.Module(), world.splits["test"])
    values = world.hamming_ranked(world.splits["test"], world.databases["unseen"], -codes["text"], codes["case"])
    row = after["asymmetric", "unseen", "all", "t2case", "model", "mAP@all"]
    assert float(row["value"]) == pytest.approx(np.nanmean(values), rel=1e-12)


def test_method_without_fusion_leaves_out_paired_and_says_so(world, capsys):
    run_test(world, module=world.Module(fuses=False), callback=HammingRanking(ks=()))
    content = json.loads((world.folder / "metrics.json").read_text())
    assert content["protocols"] == ["unimodal", "asymmetric"]
    assert content["notes"] == ["paired: left out, Module gives no fused_image and fused_text"]
    assert "left out, Module gives no" in capsys.readouterr().out
