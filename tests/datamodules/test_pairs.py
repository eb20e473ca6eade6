import pickle

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from mcmfh_lightning.datamodules import PairDataModule
from mcmfh_lightning.errors import DataError

SIZES = {"train": 9, "test": 5}


class GreyEncoder:
    """Knows a picture by its grey and a text by its length."""

    @staticmethod
    def preprocess(image):
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()

    @staticmethod
    def tokenize(texts):
        return {"length": torch.tensor([len(text) for text in texts])}


class Recorder(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = GreyEncoder()
        self.batches = []

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        self.batches.append((dataloader_idx, batch))


@pytest.fixture
def folder(pair_writer, make_pair, tmp_path):
    with pair_writer(tmp_path) as writer:
        for split, size in SIZES.items():
            for number in range(size):
                writer.write(split, make_pair(number, split))
    return tmp_path


@pytest.fixture
def trainer(tmp_path):
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )


@pytest.mark.parametrize("num_workers", [0, 2])
def test_predict_sees_every_pair_once_prepared_by_the_encoder(folder, trainer, make_pair, num_workers):
    module = Recorder()
    data = PairDataModule(str(folder), batch_size=4, num_workers=num_workers)
    trainer.predict(module, data, return_predictions=False)
    seen = [(loader, batch["index"].tolist()) for loader, batch in module.batches]
    assert seen == [(0, [0, 1, 2, 3]), (0, [4, 5, 6, 7]), (0, [8]), (1, [0, 1, 2, 3]), (1, [4])]
    for loader, batch in module.batches:
        split = data.split_of(loader)
        for row, index in enumerate(batch["index"].tolist()):
            assert data.reader(split).ids[index] == f"{split}-{index}"
            assert batch["image"].shape[1:] == (3, 8, 8)
            assert (batch["image"][row] == index).all()
            assert batch["text"]["length"][row] == len(make_pair(index).text)


@pytest.mark.parametrize("world_size", [1, 2, 4, 7])
def test_ranks_have_every_pair_once_in_order(folder, trainer, monkeypatch, world_size):
    rows = {"train": [], "test": []}
    for rank in range(world_size):
        data = PairDataModule(str(folder), batch_size=2)
        data.trainer = trainer
        monkeypatch.setattr(PairDataModule, "rank", rank)
        monkeypatch.setattr(PairDataModule, "world_size", world_size)
        monkeypatch.setattr(PairDataModule, "_encoder", lambda _: GreyEncoder())
        for number, loader in enumerate(data.predict_dataloader()):
            batches = list(loader)
            assert len(batches) == len(loader)
            rows[data.split_of(number)] += [i for batch in batches for i in batch["index"].tolist()]
    assert rows == {split: list(range(size)) for split, size in SIZES.items()}


def test_streams_can_be_pickled(folder, monkeypatch):
    monkeypatch.setattr(PairDataModule, "_encoder", lambda _: GreyEncoder())
    stream = PairDataModule(str(folder)).predict_dataloader()[0].dataset
    copy = pickle.loads(pickle.dumps(stream))
    torch.testing.assert_close(copy.batch(0)["image"], stream.batch(0)["image"])


def test_a_damaged_picture_is_named(pair_writer, make_pair, tmp_path, monkeypatch):
    from dataclasses import replace

    pair = make_pair(0)
    with pair_writer(tmp_path) as writer:
        writer.write("train", replace(pair, image=pair.image[:40]))
    monkeypatch.setattr(PairDataModule, "_encoder", lambda _: GreyEncoder())
    with pytest.raises(DataError, match=r"train-000-00000\.tar, pair pair-0: .*cannot be decoded"):
        next(iter(PairDataModule(str(tmp_path)).predict_dataloader()[0]))


def test_an_encoder_is_needed(folder):
    with pytest.raises(ValueError, match=r"run Trainer\.predict"):
        PairDataModule(str(folder)).predict_dataloader()


def test_features_are_not_pairs(write_features, tmp_path):
    with pytest.raises(DataError, match="mcmfh-features, not pairs"):
        PairDataModule(str(write_features(tmp_path, {"train": 3})))


@pytest.mark.parametrize("change", [{"batch_size": 0}, {"num_workers": -1}])
def test_numbers_out_of_range(folder, change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} is"):
        PairDataModule(str(folder), **change)
