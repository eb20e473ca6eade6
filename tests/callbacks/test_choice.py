"""Choosing an epoch by a number: the constant ranking next to it, and what happens where it is undefined."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from lightning.pytorch import Callback
from torch.multiprocessing import ProcessRaisedException

from mcmfh_lightning.callbacks import BestCheckpoint, CodeMonitor, FitReport, HammingRanking
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.nulls import POPULARITY_LEVELS
from mcmfh_lightning.evaluation.remarks import preview

NORMAL = 1


def keeper(world):
    return BestCheckpoint(dirpath=world.folder, monitor="val/mAP", mode="max", filename="best")


def fit(world, data, *callbacks, **settings):
    settings = {"max_epochs": 1, "num_sanity_val_steps": 0, "enable_checkpointing": True, "limit_train_batches": 1} | (
        settings
    )
    trainer = world.trainer(HammingRanking(protocols=("unimodal", "asymmetric"), ks=()), *callbacks, **settings)
    trainer.fit(world.Module(), data)
    return trainer


def with_labels(world, hot, groups=None):
    """The world's splits, other labels (and groups) in its validation split."""
    val = world.splits["val"] | {"labels": np.packbits(hot, axis=1)}
    val |= {} if groups is None else {"group": groups}
    return world.Data(world.splits | {"val": val})


def labels(count, position):
    hot = np.zeros((count, 9), dtype=np.uint8)
    hot[np.arange(count), position] = 1
    return hot


# --- the constant ranking --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normal_label", ["normal", None])
def test_the_constant_next_to_the_monitor_against_brute_force(world, normal_label):
    trainer = fit(world, world.Data(world.splits, normal_label=normal_label), max_epochs=2)
    val, training = world.splits["val"], np.unpackbits(world.splits["train"]["labels"], axis=1)
    hot = np.unpackbits(val["labels"], axis=1)
    share = np.array([(training & item).any(1).mean() for item in hot])
    levels = [np.floor((1 - share) * (POPULARITY_LEVELS - 1) + 1e-9)]
    chosen = np.ones(len(hot), dtype=bool)
    if normal_label:
        levels.append(1 - hot[:, NORMAL].astype(int))
        chosen = hot[:, NORMAL] == 0
    precisions = [world.ranked(val, val, lambda _, level=level: level)[chosen] for level in levels]
    best = max(map(np.nanmean, precisions))
    assert trainer.callback_metrics["val/queries"] == np.isfinite(precisions[0]).sum()
    assert trainer.progress_bar_metrics["val/constant"] == pytest.approx(best, rel=1e-6)
    assert {"val/mAP", "val/constant"} <= trainer.progress_bar_metrics.keys()


def test_sides_of_the_constant_hold_the_items_that_the_model_ranks(mixed_world):
    """Two searches find images, one texts, two cases: the constant is the mean over the five, as val/mAP is."""
    world = mixed_world
    trainer = fit(world, world.Data(world.splits, normal_label=None))
    val = world.splits["val"]
    training = np.unpackbits(world.having(world.splits["train"], "both")["labels"], axis=1)
    queries, means = world.having(val, "both"), []
    for side in ("text", "image", "image", "both", "both"):
        table = world.having(val, side)
        share = np.array([(training & item).any(1).sum() for item in np.unpackbits(table["labels"], axis=1)])
        level = (len(training) - share) * (POPULARITY_LEVELS - 1) // len(training)
        means.append(np.nanmean(world.ranked(queries, table, lambda _, level=level: level)))
    assert trainer.callback_metrics["val/constant"].item() == pytest.approx(np.mean(means), rel=1e-6)


# --- an undefined monitor ---------------------------------------------------------------------------------------------


CASES = {
    "nothing shared": (lambda: np.eye(9, dtype=np.uint8)[np.arange(8)], np.arange(8), None, "no query shares a label"),
    "one group": (lambda: labels(8, 0), np.zeros(8, dtype=np.int64), None, "no query shares a label"),
    "no label": (lambda: np.zeros((8, 9), dtype=np.uint8), np.arange(8), None, "no item has a label"),
    "all normal": (lambda: labels(8, NORMAL), np.arange(8), "normal", "every query is normal"),
}


def split_of(world, hot, groups):
    val = {name: column[: len(hot)] for name, column in world.splits["val"].items()}
    return world.splits | {"val": val | {"labels": np.packbits(hot, axis=1), "group": groups}}


@pytest.mark.parametrize("name", CASES)
def test_a_fit_that_cannot_choose_is_refused_before_it_trains(world, name):
    hot, groups, normal, why = CASES[name]
    splits, stepped = split_of(world, hot(), groups), []

    class Steps(Callback):
        def on_train_batch_end(self, *_):
            stepped.append(1)

    with pytest.raises(DataError, match=rf"val/mAP.*is undefined.*{why}.*limit-val-batches 0"):
        fit(world, world.Data(splits, normal_label=normal), keeper(world), Steps())
    assert not stepped
    assert not list(world.folder.glob("*.ckpt"))
    # Who does not choose by it may train; a dry run leaves nothing behind; without validation the last epoch is kept.
    for more in ({}, {"fast_dev_run": 1}, {"limit_val_batches": 0}):
        callbacks = [keeper(world)] if more else []
        fit(world, world.Data(splits, normal_label=normal), *callbacks, Steps(), **more)
    assert len(stepped) == 3


def test_what_only_the_loaders_know_is_refused_at_the_first_validation(world):
    data = world.Data(split_of(world, np.eye(9, dtype=np.uint8)[np.arange(8)], np.arange(8)))
    data.reader = world.Data(world.splits).reader
    with pytest.raises(DataError, match="no query that was seen has a relevant item"):
        fit(world, data, keeper(world), max_epochs=3)
    assert not list(world.folder.glob("*.ckpt"))


def test_undefined_by_a_limit_is_warned_of_and_nothing_is_chosen(world):
    best = keeper(world)
    with pytest.warns(UserWarning, match=r"val/mAP is undefined with limit_val_batches=1.*no epoch is chosen"):
        fit(world, world.Data(world.splits, batch_size=1), best, limit_val_batches=1, max_epochs=2)
    assert best.best_model_path == ""
    assert not list(world.folder.glob("*.ckpt"))


def test_the_preview_agrees_with_brute_force(world):
    rng, seen = np.random.default_rng(0), set()
    for _ in range(200):
        count = int(rng.integers(1, 7))
        hot = (rng.random((count, 9)) < 0.15).astype(np.uint8)
        groups, present = rng.integers(0, 4, count), rng.random((count, 2)) < 0.8
        normal = NORMAL if rng.random() < 0.5 else None
        table = SimpleNamespace(labels=np.packbits(hot, axis=1), groups=groups, present=present)
        whole = present.all(1)
        share = (hot @ hot.T > 0) & (groups[:, None] != groups)
        queries = whole if normal is None else whole & (hot[:, normal] == 0)
        defined = all(share[queries][:, present[:, side]].any() for side in (0, 1))
        found = preview(table, normal)
        assert (found.undefined == "") == defined
        seen.add(found.undefined)
        foreign = (groups[:, None] != groups)[whole].sum()
        expected = share[whole].sum() / foreign if foreign else np.nan
        assert found.sharing == pytest.approx(expected, nan_ok=True)
    assert len(seen) == 5  # defined, and every reason


def test_two_processes_say_it_once_and_are_refused_together(world, capfd):
    settings = {"strategy": "ddp_fork_find_unused_parameters_true", "devices": 2, "max_epochs": 2}
    shares = {0: slice(0, 3), 1: slice(3, None)}
    fit(world, world.Data(world.splits, shares=shares), CodeMonitor(), keeper(world), FitReport(), **settings)
    printed = capfd.readouterr().out
    assert printed.count("chosen: epoch") == printed.count("one order of the items") == 1
    splits = split_of(world, np.zeros((8, 9), dtype=np.uint8), np.arange(8))
    with pytest.raises(ProcessRaisedException, match=r"val/mAP.*is undefined"):
        fit(world, world.Data(splits, shares=shares), keeper(world), **settings)


# --- what a report is of ----------------------------------------------------------------------------------------------


def test_weights_in_memory_are_called_so_and_other_results_are_not_replaced_silently(world, recwarn):
    def test(module):
        trainer = world.trainer(HammingRanking(protocols=("unimodal",), ks=()))
        trainer.test(module, world.Data(world.splits), verbose=False)
        return json.loads((world.folder / "metrics.json").read_text())

    first = test(world.Module())
    assert first["checkpoint"] is None
    assert "without ckpt_path" in first["checkpoint_note"]
    assert first["data"] == {"name": "Data"}  # of a datamodule that is not ours
    assert test(world.Module()) == first
    assert not any("are replaced" in str(warning.message) for warning in recwarn)
    (world.folder / "metrics.json").write_text("not JSON")
    with pytest.warns(UserWarning, match="are replaced"):
        assert test(world.Module()) == first
    other = world.Module()
    other.image.data += 1
    with pytest.warns(UserWarning, match=r"metrics\.json: the results of other weights or other data .* are replaced"):
        assert test(other)["weights_sha256"] != first["weights_sha256"]


def test_labels_that_most_items_share_are_called_what_they_are(world, capsys):
    hot = np.concatenate([labels(20, 0)[:, :1], np.unpackbits(world.splits["val"]["labels"], axis=1)[:, 1:9]], axis=1)
    test = {name: column[:20] for name, column in world.splits["test"].items()} | {"labels": np.packbits(hot, axis=1)}
    data = world.Data(world.splits | {"val": with_labels(world, hot).splits["val"], "test": test})
    trainer = fit(world, data)
    said = " ".join(capsys.readouterr().out.split())
    assert "labels: two items share one with probability 1.00" in said
    assert "'oedema' (100%)" in said
    assert "--drop-labels" in said
    trainer.test(world.Module(), data, verbose=False)
    assert said.partition(" On many")[0] in " ".join(capsys.readouterr().out.split())
    assert any("'oedema' (100%)" in note for note in json.loads((world.folder / "metrics.json").read_text())["notes"])


def test_without_anything_relevant_a_test_says_that_its_map_is_undefined(world, capsys):
    test = split_of(world, np.zeros((8, 9), dtype=np.uint8), np.arange(8))["val"]
    trainer = world.trainer(HammingRanking(protocols=("unimodal",), ks=()))
    trainer.test(world.Module(), world.Data(world.splits | {"test": test}), verbose=False)
    assert "mAP is undefined" in capsys.readouterr().out


def test_a_part_of_the_data_is_called_a_part(world, capsys):
    trainer = world.trainer(HammingRanking(protocols=("unimodal",), ks=()), limit_test_batches=1)
    trainer.test(world.Module(), world.Data(world.splits), verbose=False)
    assert "limit_test_batches=1: the numbers are of a part of the data" in capsys.readouterr().out
    assert any(
        "limit_test_batches=1" in note for note in json.loads((world.folder / "metrics.json").read_text())["notes"]
    )
