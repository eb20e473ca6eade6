"""Databases that hold images without a text and texts without an image."""

import json
import warnings

import numpy as np
import pytest
import torch

from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.nulls import POPULARITY_LEVELS, derangement
from tests.callbacks.ranking_runs import run_test

# Protocol, direction, code of the query, code of the database, and what a database item must have for it.
RANKINGS = [
    ("unimodal", "i2t", "image", "text", "text"),
    ("unimodal", "t2i", "text", "image", "image"),
    ("asymmetric", "i2case", "image", "case", "both"),
    ("asymmetric", "t2case", "text", "case", "both"),
    ("paired", "i2t", "fused_image", "fused_text", "both"),
    ("paired", "t2i", "fused_text", "fused_image", "both"),
]


@pytest.mark.parametrize("database", ["unseen", "train+val"])
@pytest.mark.parametrize(("protocol", "direction", "ours", "theirs", "side"), RANKINGS)
def test_every_system_ranks_the_items_that_have_what_the_code_needs(
    mixed_world, mixed_report, database, protocol, direction, ours, theirs, side
):
    world, module = mixed_world, mixed_world.Module()
    queries, table = world.having(world.splits["test"], "both"), world.having(world.databases[database], side)
    query_codes, codes = world.codes(module, queries), world.codes(module, table)
    labels = np.unpackbits(table["labels"], axis=1)
    training = np.unpackbits(world.having(world.splits["train"], "both")["labels"], axis=1)
    popularity = np.array([(training & item).any(1).sum() for item in labels])
    constants = (
        (len(training) - popularity) * (POPULARITY_LEVELS - 1) // len(training),
        1 - labels[:, 1].astype(int),
    )
    taken = derangement(len(queries["index"]), seed=0).numpy()
    abnormal = ~np.unpackbits(queries["labels"], axis=1)[:, 1].astype(bool)
    for metric, k in (("mAP@all", None), ("mAP@5", 5)):
        expected = {
            "model": world.hamming_ranked(queries, table, query_codes[ours], codes[theirs], k),
            "shuffled queries": world.hamming_ranked(queries, table, query_codes[ours][taken], codes[theirs], k),
            "chance": world.ranked(queries, table, lambda _: np.zeros(len(labels)), k),
        }
        levels = [world.ranked(queries, table, lambda _, level=level: level, k) for level in constants]
        for subset, members in (("all", np.ones(len(taken), dtype=bool)), ("abnormal", abnormal)):
            key = (protocol, database, subset, direction)
            for system, values in expected.items():
                row = mixed_report.rows[*key, system, metric]
                assert float(row["value"]) == pytest.approx(np.nanmean(values[members]), rel=1e-12)
                assert int(row["num_queries"]) == members.sum()
                assert int(row["num_without_relevant"]) == np.isnan(values[members]).sum()
                assert int(row["database_size"]) == len(labels)
            best = max(np.nanmean(values[members]) for values in levels)
            assert float(mixed_report.rows[*key, "constant", metric]["value"]) == pytest.approx(best, rel=1e-12)


def test_hyperplanes_rank_the_same_items(mixed_world, mixed_report):
    world = mixed_world
    queries, table = world.having(world.splits["test"], "both"), world.having(world.databases["unseen"], "image")

    def projected(side, name):
        embedding = side[name] / np.linalg.norm(side[name], axis=1, keepdims=True)
        planes = torch.randn(embedding.shape[1], world.bits, generator=torch.Generator().manual_seed(0))
        return embedding @ planes.numpy()

    values = world.hamming_ranked(queries, table, projected(queries, "text"), projected(table, "image"))
    row = mixed_report.rows["unimodal", "unseen", "all", "t2i", "hyperplanes", "mAP@all"]
    assert float(row["value"]) == pytest.approx(np.nanmean(values), rel=1e-12)


def test_the_report_says_how_many_items_each_side_has(mixed_world, mixed_report):
    content = json.loads((mixed_report.folder / "metrics.json").read_text())
    for database, table in mixed_world.databases.items():
        sizes = {side: len(mixed_world.having(table, side)["index"]) for side in ("image", "text", "both")}
        assert len(set(sizes.values())) == 3  # else the test could not tell them apart
        assert content["databases"][database]["size"] == sizes
    row = mixed_report.rows["unimodal", "unseen", "all", "t2i", "model", "mAP@all"]
    without = content["databases"]["unseen"]["queries"]["all"]["without_relevant"]
    assert without["image"] == int(row["num_without_relevant"])


def test_the_table_shows_both_chance_levels(mixed_report):
    for direction, name in (("i2t", "I->T"), ("t2i", "T->I")):
        shown = next(line for line in mixed_report.printed.splitlines() if line.startswith("unimodal") and name in line)
        chance = mixed_report.rows["unimodal", "unseen", "abnormal", direction, "model", "mAP@all"]["chance"]
        assert f"{float(chance):.3f}".removeprefix("0") in shown.split()


def test_items_a_process_has_none_of_change_no_digit(mixed_world, mixed_report, tmp_path):
    """One process has nothing of one database and the whole pairs of the other, its partner has the rest."""
    world = mixed_world

    class Data(world.Data):
        def database(self, *names):
            table = {key: np.concatenate([self.splits[n][key] for n in names]) for key in self.splits["test"]}
            of_first = table["present"].all(1) & (names == ("test",))
            mine = of_first == (self.trainer.global_rank == 0)
            return self.batches({key: column[mine] for key, column in table.items()})

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="It is recommended to use `self.log")
        run_test(world, data=Data(world.splits), strategy="ddp_fork", devices=2, default_root_dir=tmp_path)
    for name in ("ranking.csv", "labels.csv", "queries.csv", "metrics.json"):
        assert (tmp_path / name).read_bytes() == (world.folder / name).read_bytes()


def test_a_database_without_any_text_leaves_its_direction_undefined(world):
    images_only = world.splits["test"] | {"present": np.array([[True, False]] * 26), "text": np.zeros((26, 5), "f4")}

    class Data(world.Data):
        def test_dataloader(self):
            return [self.queries("test"), self.batches(images_only), self.database("train", "val")]

    run_test(world, data=Data(world.splits), callback=HammingRanking(protocols=("unimodal", "asymmetric"), ks=()))
    content = json.loads((world.folder / "metrics.json").read_text())
    assert content["databases"]["unseen"]["size"] == {"image": 26, "text": 0, "both": 0}
    results = content["results"]["unimodal"]["unseen"]["all"]
    assert "value" not in results["i2t"]["model"]["mAP@all"]
    assert 0 < results["t2i"]["model"]["mAP@all"]["value"] < 1


def test_a_query_that_lacks_its_text_is_refused(mixed_world, tmp_path):
    class Data(mixed_world.Data):
        def queries(self, name):
            return self.loader(name)

    with pytest.raises(DataError, match=r"query with index \d+ lacks its image or its text: query with whole pairs"):
        run_test(mixed_world, data=Data(mixed_world.splits), default_root_dir=tmp_path)
