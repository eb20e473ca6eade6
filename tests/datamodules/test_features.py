import json
import pickle
from collections import Counter

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.datamodules.order import epoch_order
from mcmfh_lightning.errors import CheckpointError, DataError

from .two_processes import run_stages

SIZES = {"train": 70, "val": 20, "test": 30}
BATCH = 16
BATCHES = 4  # of an epoch: 70 // 16


class Recorder(pl.LightningModule):
    """Trains a line and remembers which rows it saw."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(3, 1)
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch["index"].tolist())
        return self.line(batch["image"] / 100).mean()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


class SaveAndStop(pl.Callback):
    """Saves a checkpoint in a hook after a number of steps, then the process 'dies'."""

    def __init__(self, hook, step, path):
        self.step, self.path = step, path
        setattr(self, hook, self._maybe)

    def _maybe(self, trainer, *_args):
        if trainer.global_step == self.step and not trainer.sanity_checking:
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def folder(write_features, tmp_path_factory):
    return str(write_features(tmp_path_factory.mktemp("features"), SIZES, block_pairs=16))


@pytest.fixture
def fit(folder, tmp_path):
    """Trains and returns the rows of all steps; ``save=(hook, step)`` stops there with a checkpoint."""

    def run(*, save=None, resume=False, root=folder, seed=0, batch=BATCH, num_workers=0, **settings):
        path = tmp_path / "run.ckpt"
        trainer = pl.Trainer(
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            callbacks=[SaveAndStop(*save, path)] if save else [],
            **({"max_epochs": 3} | settings),
        )
        module = Recorder()
        data = FeatureDataModule(root, batch, num_workers, seed)
        try:
            trainer.fit(module, data, ckpt_path=path if resume else None, weights_only=True)
        except (KeyboardInterrupt, SystemExit):
            assert path.exists()
        return module.seen

    return run


def expected(epochs, first=0):
    """The global batches of whole epochs, written out."""
    return [
        epoch_order(70, seed=0, epoch=epoch)[start : start + BATCH].tolist()
        for epoch in range(first, epochs)
        for start in range(0, 64, BATCH)
    ]


def test_what_links_need_is_there_after_init(folder):
    data = FeatureDataModule(folder)
    assert (data.image_dim, data.text_dim, data.num_labels) == (3, 2, 11)
    assert data.label_vocabulary[10] == "label10"
    assert data.normal_label is None
    assert data.encoder == {"kind": "counting"}


@pytest.mark.parametrize("num_workers", [0, 3])
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes:UserWarning")  # on two cores
def test_training_runs_through_the_order(fit, num_workers):
    seen = fit(num_workers=num_workers, limit_val_batches=0)
    assert seen == expected(3)
    for epoch in range(3):
        rows = Counter(row for batch in seen[epoch * BATCHES : (epoch + 1) * BATCHES] for row in batch)
        assert len(rows) == 64
        assert max(rows.values()) == 1
    assert seen[:BATCHES] != seen[BATCHES : 2 * BATCHES]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resuming_in_the_middle_of_an_epoch_repeats_and_skips_nothing(fit, num_workers):
    settings = {"num_workers": num_workers, "limit_val_batches": 0}
    before = fit(save=("on_train_batch_end", 6), **settings)
    after = fit(resume=True, **settings)
    assert len(before) == 6
    assert before + after == expected(3)


@pytest.mark.parametrize(
    ("hook", "step", "settings"),
    [
        ("on_train_batch_end", 2, {}),
        ("on_train_batch_end", 4, {}),
        ("on_train_batch_end", 8, {}),
        ("on_validation_end", 4, {}),
        ("on_validation_end", 8, {}),
        ("on_validation_end", 6, {"val_check_interval": 2}),
        ("on_train_epoch_end", 4, {}),
        ("on_train_epoch_end", 8, {}),
        ("on_train_batch_end", 6, {"max_steps": 12, "max_epochs": -1}),
        ("on_train_epoch_end", 4, {"max_steps": 12, "max_epochs": -1}),
        ("on_train_epoch_end", 8, {"max_steps": 12, "max_epochs": -1}),
        ("on_validation_end", 8, {"max_steps": 12, "max_epochs": -1}),
    ],
)
def test_resuming_from_every_place_where_checkpoints_are_saved(fit, hook, step, settings):
    before = fit(save=(hook, step), **settings)
    assert len(before) == step
    assert before + fit(resume=True, **settings) == expected(3)


def test_resuming_after_a_failed_step_repeats_it(fit, monkeypatch):
    """A checkpoint saved from within a step: the step had not ended, so its batch comes again."""
    before = fit(save=("on_before_zero_grad", 5))
    assert before + fit(resume=True) == [*expected(3)[:6], *expected(3)[5:]]


@pytest.mark.parametrize("num_workers", [0, 3])
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes:UserWarning")  # on two cores
def test_short_epochs_go_on_where_the_last_one_stopped(fit, num_workers):
    assert fit(limit_train_batches=3, limit_val_batches=0, num_workers=num_workers) == expected(3)[:9]


def test_workers_live_as_long_as_the_loader(folder):
    loader = FeatureDataModule(folder, BATCH, num_workers=2).train_dataloader()
    first = [batch["index"].tolist() for batch in loader]
    workers = {worker.pid for worker in loader._iterator._workers}
    assert [batch["index"].tolist() for batch in loader] == first == expected(1), "no trainer, no progress"
    assert {worker.pid for worker in loader._iterator._workers} == workers


def test_another_seed_is_another_order(fit):
    assert sorted(fit(seed=1, max_epochs=1)) != sorted(expected(1))


def test_lightning_knows_that_we_resume(fit, recwarn):
    fit(save=("on_train_batch_end", 6))
    fit(resume=True)
    assert not [w for w in recwarn if "not resumable" in str(w.message)]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": 1}, "seed 0 there, 1 here"), ({"batch": 8}, "global_batch_size 16 there, 8 here")],
)
def test_another_order_is_refused_on_resume(fit, change, message):
    fit(save=("on_train_batch_end", 6))
    with pytest.raises(CheckpointError, match=message):
        fit(resume=True, **change)


def test_other_data_are_refused_on_resume_only(fit, write_features, tmp_path):
    fit(save=("on_train_batch_end", 6))
    other = str(write_features(tmp_path / "other", SIZES | {"train": 71}))
    with pytest.raises(CheckpointError, match=r"data \w+ there, \w+ here.*other"):
        fit(resume=True, root=other)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.validate(Recorder(), FeatureDataModule(other), ckpt_path=tmp_path / "run.ckpt", weights_only=True)


def test_pairs_that_sit_out_are_logged_once_an_epoch(fit, lightning_log):
    fit(max_epochs=2)
    lines = [record.getMessage() for record in lightning_log.records if "sit out" in record.getMessage()]
    said = "6 of 70 training pairs sit out each epoch, other ones every time"
    assert lines == [f"{said}: an epoch is a number of whole global batches of 16"]


def test_a_batch_that_is_not_given_is_fitted_and_said_once(fit, lightning_log):
    seen = fit(batch=None, max_epochs=2)
    assert [len(batch) for batch in seen] == [70] * 32
    lines = [record.getMessage() for record in lightning_log.records if "training pairs" in record.getMessage()]
    assert lines == ["70 training pairs in batches of 70: an epoch goes through them 16 times, to have 16 steps"]


def test_a_fitted_batch_is_restored_on_resume(fit):
    whole = fit(batch=None, max_epochs=2)
    begun = fit(batch=None, max_epochs=2, save=("on_train_batch_end", 20))
    assert begun + fit(batch=None, max_epochs=2, resume=True) == whole
    assert begun + fit(batch=70, max_epochs=2, resume=True) == whole  # as the checkpoint has it


def test_the_batch_of_the_run_is_kept_on_resume(fit):
    """As a run of an earlier version, which had another default and no passes."""
    fit(save=("on_train_batch_end", 6))
    assert fit(batch=None, resume=True) == expected(3)[6:]


def test_a_batch_of_the_run_that_the_ranks_cannot_share(folder, monkeypatch):
    on_rank(monkeypatch, 0, 3)
    data = FeatureDataModule(folder)
    data.setup("fit")
    with pytest.raises(
        CheckpointError, match="batches of 16 pairs, which cannot be divided over 3 ranks: resume it wi"
    ):
        data._resume_schedule({"global_batch_size": 16})


def test_training_batches_are_feature_batches(folder, feature_rows):
    batch = next(iter(FeatureDataModule(folder, BATCH).train_dataloader()))
    rows = feature_rows("train", 0, 70)
    index = batch["index"].numpy()
    assert {name: tensor.dtype for name, tensor in batch.items()} == {
        "image": torch.float32,
        "text": torch.float32,
        "present": torch.bool,
        "labels": torch.uint8,
        "group": torch.int64,
        "text_hash": torch.int64,
        "index": torch.int64,
    }
    np.testing.assert_array_equal(batch["image"], rows["image"][index])
    np.testing.assert_array_equal(batch["text"], rows["text"][index])
    np.testing.assert_array_equal(batch["labels"], rows["labels"][index])
    np.testing.assert_array_equal(batch["group"], rows["groups"][index])
    np.testing.assert_array_equal(batch["text_hash"], rows["text_hashes"][index])


def on_rank(monkeypatch, rank, world_size):
    monkeypatch.setattr(FeatureDataModule, "rank", rank)
    monkeypatch.setattr(FeatureDataModule, "world_size", world_size)


@pytest.mark.parametrize("world_size", [1, 2, 8])
def test_ranks_share_the_same_global_batches(folder, monkeypatch, world_size):
    parts = []
    for rank in range(world_size):
        on_rank(monkeypatch, rank, world_size)
        data = FeatureDataModule(folder, BATCH)
        data.setup("fit")
        loader = data.train_dataloader()
        parts.append([batch["index"].tolist() for batch in loader])
        assert len(loader) == BATCHES
    together = [[row for part in batches for row in part] for batches in zip(*parts, strict=True)]
    assert together == expected(1)


def test_the_order_does_not_depend_on_how_the_features_were_written(folder, write_features, tmp_path):
    other = write_features(tmp_path, SIZES, ranks=3, block_pairs=7)
    assert [batch["index"].tolist() for batch in FeatureDataModule(str(other), BATCH).train_dataloader()] == expected(1)


@pytest.mark.parametrize("world_size", [1, 2, 3, 40])
@pytest.mark.parametrize("stage", ["validate", "test"])
def test_evaluation_sees_all_queries_on_every_rank_and_databases_once(folder, monkeypatch, world_size, stage):
    monkeypatch.setattr(FeatureDataModule, "evaluation_batch_size", 8)
    names = FeatureDataModule(folder).evaluation_loaders(stage)
    sizes = {"validate": [20, 20], "test": [30, 30, 90]}[stage]
    queries, databases = [], {name: [] for name in names[1:]}
    for rank in range(world_size):
        on_rank(monkeypatch, rank, world_size)
        data = FeatureDataModule(folder)
        loaders = data.val_dataloader() if stage == "validate" else data.test_dataloader()
        assert len(loaders) == len(names)
        rows = []
        for loader in loaders:
            batches = list(loader)
            assert len(batches) == len(loader)
            rows.append([row for batch in batches for row in batch["index"].tolist()])
        queries.append(rows[0])
        for name, part in zip(names[1:], rows[1:], strict=True):
            databases[name] += part
    assert queries == [list(range(sizes[0]))] * world_size
    assert list(databases.values()) == [list(range(size)) for size in sizes[1:]]


def test_the_database_of_the_field_is_train_then_val(folder, feature_rows):
    data = FeatureDataModule(folder)
    assert data.evaluation_loaders("test") == ["query", "unseen", "train+val"]
    assert data.evaluation_loaders("validate") == ["query", "unseen"]
    batches = list(data.test_dataloader()[2])
    for split, part in (("train", slice(0, 70)), ("val", slice(70, 90))):
        rows = feature_rows(split, 0, SIZES[split])
        np.testing.assert_array_equal(torch.cat([batch["image"] for batch in batches])[part], rows["image"])
        np.testing.assert_array_equal(torch.cat([batch["group"] for batch in batches])[part], rows["groups"])


def test_partial_batches_are_kept(folder, monkeypatch):
    monkeypatch.setattr(FeatureDataModule, "evaluation_batch_size", 8)
    sizes = [len(batch["index"]) for batch in FeatureDataModule(folder, num_workers=2).val_dataloader()[0]]
    assert sizes == [8, 8, 4]


def test_streams_can_be_pickled(folder):
    """Where workers are spawned, this is how a stream reaches them."""
    data = FeatureDataModule(folder, BATCH)
    for loader in (data.train_dataloader(), *data.test_dataloader()):
        copy = pickle.loads(pickle.dumps(loader.dataset))
        torch.testing.assert_close(list(copy), list(loader.dataset))


def test_a_global_batch_must_divide_over_the_ranks(folder, monkeypatch):
    on_rank(monkeypatch, 0, 3)
    with pytest.raises(DataError, match="16, which cannot be divided over 3 ranks: choose a multiple, such as 15"):
        FeatureDataModule(folder, BATCH).setup("fit")
    FeatureDataModule(folder, BATCH).setup("test")


def test_fewer_pairs_than_a_global_batch(folder):
    with pytest.raises(DataError, match="70 training pairs, fewer than one global batch of 71"):
        FeatureDataModule(folder, 71).setup("fit")
    FeatureDataModule(folder, 70).setup("fit")


def test_a_split_to_evaluate_on_must_have_pairs(write_features, tmp_path):
    data = FeatureDataModule(str(write_features(tmp_path, {"train": 70})))
    with pytest.raises(DataError, match="no pairs in val to validate with"):
        data.val_dataloader()


@pytest.mark.parametrize("change", [{"global_batch_size": 0}, {"num_workers": -1}, {"seed": -1}])
def test_numbers_out_of_range(folder, change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} is"):
        FeatureDataModule(folder, **change)


def test_stages_are_named(folder):
    with pytest.raises(ValueError, match="'validate', 'test'"):
        FeatureDataModule(folder).evaluation_loaders("fit")


def test_pairs_are_not_features(pair_writer, make_pair, tmp_path):
    with pair_writer(tmp_path) as writer:
        writer.write("train", make_pair(0))
    with pytest.raises(DataError, match="mcmfh-pairs, not features: encode it"):
        FeatureDataModule(str(tmp_path))


@pytest.mark.slow
def test_two_processes(write_features, pair_writer, make_pair, tmp_path):
    """Real ranks under Lightning's own launcher, with databases that leave one rank a partial batch or none."""
    root = write_features(tmp_path / "features", {"train": 70, "val": 1, "test": 5})
    with pair_writer(tmp_path / "pairs") as writer:
        for number in range(3):
            writer.write("train", make_pair(number))
        writer.write("val", make_pair(3))
    run_stages(str(root), str(tmp_path / "pairs"), tmp_path)

    def seen(stage, name, loader):
        """The batches of a loader on each of the two ranks."""
        notes = [json.loads((tmp_path / f"{stage}-{rank}.json").read_text()) for rank in range(2)]
        return [note.get(name, {}).get(str(loader), []) for note in notes]

    first, second = seen("fit", "train", 0)
    assert [a + b for a, b in zip(first, second, strict=True)] == expected(2)
    assert seen("fit", "validate", 0) == [[[0]] * 2] * 2, "all queries on every rank, in both epochs"
    assert seen("fit", "validate", 1) == [[], [[0]] * 2], "the only item of the database, on one rank"
    assert seen("test", "test", 0) == [[[0, 1, 2, 3, 4]]] * 2
    assert seen("test", "test", 1) == [[[0, 1]], [[2, 3, 4]]]
    assert seen("test", "test", 2) == [[list(range(35))], [list(range(35, 71))]]
    assert seen("predict", "predict", 0) == [[[0]], [[1, 2]]]
    assert seen("predict", "predict", 1) == [[], [[0]]]
