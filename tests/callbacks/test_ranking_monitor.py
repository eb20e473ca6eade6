"""What model selection watches, and that it chooses by it."""

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from mcmfh_lightning.callbacks.hamming_ranking import HammingRanking
from mcmfh_lightning.errors import CheckpointError, DataError
from tests.callbacks.ranking_runs import ALONE, FIVE, PAIRS


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


def test_checkpoints_are_chosen_by_the_monitor(world):
    checkpoint = ModelCheckpoint(dirpath=world.folder, monitor="val/mAP", mode="max")
    trainer = world.trainer(
        HammingRanking(ks=()), checkpoint, max_epochs=2, enable_checkpointing=True, num_sanity_val_steps=2
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
    world.trainer(Weights(), HammingRanking(ks=()), checkpoint, **settings).fit(
        world.Module(), world.Data(world.splits)
    )
    kept = torch.load(checkpoint.best_model_path, weights_only=True)
    assert kept["epoch"] == best
    assert torch.equal(kept["state_dict"]["image"], weights[best])
    assert checkpoint.best_model_score.item() == pytest.approx(expected["val"][best])


def test_a_run_is_resumed_with_the_searches_that_chose_its_epoch(world):
    """Scores that are means over other searches cannot be compared with its own; their order is nothing."""

    def ranking(searches):
        return HammingRanking(protocols=("unimodal",), searches=searches, ks=())

    def fit(epochs, searches, path=None):
        settings = {"limit_train_batches": 1, "num_sanity_val_steps": 0, "enable_checkpointing": True}
        checkpoint = ModelCheckpoint(dirpath=world.folder, monitor="val/mAP", mode="max", save_last=True)
        trainer = world.trainer(ranking(searches), checkpoint, max_epochs=epochs, **settings)
        trainer.fit(world.Module(), world.Data(world.splits), ckpt_path=path, weights_only=True)
        return trainer.current_epoch

    fit(1, ("i2t", "t2i"))
    path = world.folder / "last.ckpt"
    with pytest.raises(CheckpointError, match=r"chose its epoch by i2t, t2i, .* resume it with --searches i2t t2i, or"):
        fit(2, ("i2t",), path)
    assert fit(2, ("t2i", "i2t"), path) == 2
    tester = world.trainer(ranking(("i2t",)))
    tester.test(world.Module(), world.Data(world.splits), ckpt_path=path, weights_only=True, verbose=False)


def test_evaluation_every_n_epochs(world):
    evaluated = []

    class Record(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            evaluated.append((trainer.current_epoch, trainer.callback_metrics["val/mAP"].item()))

    checkpoint = ModelCheckpoint(dirpath=world.folder, monitor="val/mAP", mode="max")
    settings = {"max_epochs": 5, "check_val_every_n_epoch": 2, "num_sanity_val_steps": 0, "enable_checkpointing": True}
    callback = HammingRanking(ks=())
    world.trainer(callback, Record(), checkpoint, **settings).fit(world.Module(), world.Data(world.splits))
    assert [epoch for epoch, _ in evaluated] == [1, 3]
    assert checkpoint.best_model_score.item() == max(value for _, value in evaluated)
    assert callback._stream is None  # nothing of an epoch is kept


def test_monitor_is_nan_where_nothing_is_relevant(world):
    trainer = world.trainer(HammingRanking(), limit_val_batches=1)
    trainer.validate(world.Module(), world.Data(world.splits, batch_size=1), verbose=False)
    assert trainer.callback_metrics["val/mAP"].isnan()


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


def test_uneven_processes_monitor_the_same(world):
    """Any cut of the database between two processes, also one that leaves nothing to the first."""
    alone = world.trainer(HammingRanking(ks=()))
    alone.validate(world.Module(), world.Data(world.splits), verbose=False)
    for cut in (0, 3):
        data = world.Data(world.splits, shares={0: slice(0, cut), 1: slice(cut, None)})
        both = world.trainer(HammingRanking(ks=()), strategy="ddp_fork", devices=2)
        both.validate(world.Module(), data, verbose=False)
        assert both.callback_metrics.keys() == alone.callback_metrics.keys()
        for name, value in alone.callback_metrics.items():
            assert both.callback_metrics[name].item() == value.item(), name
