"""A test on groups that were trained on is refused, whatever happened to the collection in between."""

import dataclasses

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.shards import DatasetInfo, FeatureShardReader, FeatureShardWriter
from mcmfh_lightning.shards.feature_writer import merge_feature_parts


class Line(pl.LightningModule):
    """Trains a line, and is tested on nothing that matters here."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.line(batch["image"][:, :1]).mean()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        pass

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        pass

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        return batch_idx  # Lightning warns of None

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


def trainer(folder):
    return pl.Trainer(
        accelerator="cpu",
        max_steps=1,
        limit_val_batches=1,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


@pytest.fixture(scope="module")
def checkpoint(features, tmp_path_factory):
    """A checkpoint of one step on the planted features."""
    folder = tmp_path_factory.mktemp("run")
    trained = trainer(folder)
    trained.fit(Line(), FeatureDataModule(str(features), 128))
    trained.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


@pytest.fixture
def split_again(features, tmp_path):
    """Writes the planted features again: some rows of training change places with as many of another split."""

    def write(split, moved, name="planted"):
        rows = {}
        for part in ("train", "val", "test"):
            reader = FeatureShardReader(features, (part,))
            found = reader.gather(np.arange(len(reader)))
            rows[part] = {name: found[name] for name in ("image", "text", "labels")}
            rows[part] |= {"groups": found["group"], "text_hashes": found["text_hash"]}
            rows[part] |= {"ids": np.array(reader.ids, dtype=object)}
        for column in rows["train"]:
            here, there = rows["train"][column].copy(), rows[split][column].copy()
            here[:moved], there[:moved] = rows[split][column][:moved], rows["train"][column][:moved]
            rows["train"][column], rows[split][column] = here, there
        folder = tmp_path / "again"
        writer = FeatureShardWriter(folder, rank=0)
        for part, columns in rows.items():
            writer.write(part, **columns)
        writer.close()
        info = dataclasses.replace(DatasetInfo.load(features), name=name, splits={})
        merge_feature_parts(folder, info, 1, expected_ids={part: list(one["ids"]) for part, one in rows.items()})
        return folder

    return write


def evaluate(stage, folder, checkpoint):
    run = getattr(trainer(checkpoint.parent), stage)
    run(Line(), datamodule=FeatureDataModule(str(folder), 128), ckpt_path=checkpoint, weights_only=True)


@pytest.mark.parametrize(("stage", "split"), [("test", "test"), ("validate", "val")])
def test_groups_that_were_trained_on_are_refused(stage, split, split_again, checkpoint):
    folder = split_again(split, moved=6)  # two pairs a group
    with pytest.raises(CheckpointError, match=f"3 of 80 groups in the split '{split}' of {folder} were trained on"):
        evaluate(stage, folder, checkpoint)


def test_other_splits_do_not_matter(split_again, checkpoint):
    evaluate("test", split_again("val", moved=6), checkpoint)


def test_groups_of_another_collection_with_the_same_names_are_counted(split_again, checkpoint):
    folder = split_again("test", moved=2, name="elsewhere")
    with pytest.warns(UserWarning, match="1 of 80 groups in the split 'test' of .* was trained on, if groups of 'else"):
        evaluate("test", folder, checkpoint)


def test_codes_of_them_are_written_with_a_warning(split_again, checkpoint):
    folder = split_again("test", moved=6)
    with pytest.warns(
        UserWarning, match="3 of 80 groups in the split 'test' of .* were trained on: a ranking of these"
    ):
        evaluate("predict", folder, checkpoint)


def test_a_checkpoint_holds_no_number_of_a_group(features, checkpoint):
    """The number of a group may be the number of a patient."""
    noted = torch.load(checkpoint, weights_only=True)["FeatureDataModule"]["trained_on"]
    groups = np.unique(FeatureShardReader(features, ("train",)).groups)
    assert noted["name"] == "planted"
    assert len(noted["groups"]) == len(groups) == 256
    assert not np.isin(groups, noted["groups"].numpy()).any()
