"""Rankings of parts: batches, processes, dry runs, single queries; and arguments that make no sense."""

import json
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch.multiprocessing import ProcessRaisedException

from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.stream import RankingStream
from tests.callbacks.ranking_runs import rows_of, run_test


def test_limited_batches_are_what_is_counted(world):
    """Of queries and of the database alike; own groups, partners and databases are those of what was seen."""
    data, size = world.Data(world.splits, batch_size=7), 14
    run_test(world, data=data, callback=HammingRanking(protocols=("unimodal",), ks=()), limit_test_batches=2)
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
    callback, data = HammingRanking(ks=()), world.Data(world.splits)
    settings = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1, "num_sanity_val_steps": 1}
    with patch.object(callback, "_new_stream", wraps=callback._new_stream) as begun:
        world.trainer(callback, **settings).fit(world.Module(), data)
    assert begun.call_count == 1  # that of the epoch
    assert callback._stream is None


def test_fast_dev_run_writes_nothing(world):
    trainer = world.trainer(HammingRanking(ks=()), fast_dev_run=1)
    module, data = world.Module(), world.Data(world.splits)
    trainer.fit(module, data)
    assert "val/mAP" in trainer.callback_metrics
    trainer.test(module, data, verbose=False)
    assert list(world.folder.iterdir()) == []


def test_one_query_without_anything_relevant(world, capsys):
    """A single query has no other to be shuffled with, and only its own item to be ranked against."""
    data, callback = world.Data(world.splits, batch_size=1), HammingRanking(protocols=("unimodal", "asymmetric"), ks=())
    trainer = run_test(world, data=data, callback=callback, limit_test_batches=1)
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


def test_batch_size_changes_no_digit(world, report):
    run_test(world, data=world.Data(world.splits, batch_size=100))
    assert rows_of(world.folder) == report.rows


def test_queries_that_differ_between_processes_are_refused(world):
    with pytest.raises(ProcessRaisedException, match="give every rank all queries"):
        run_test(world, callback=HammingRanking(ks=()), strategy="ddp_fork", devices=2, use_distributed_sampler=True)


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
