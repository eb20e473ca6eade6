"""Train, validate, test and predict on two CPU processes, and note which rows each saw."""

import json
from collections import defaultdict
from pathlib import Path

import lightning.pytorch as pl
import torch

from mcmfh_lightning.datamodules import FeatureDataModule, PairDataModule


class Transforms:
    @staticmethod
    def preprocess(image):
        return torch.zeros(3, 2, 2)

    @staticmethod
    def tokenize(texts):
        return torch.zeros(len(texts), 1)


class Recorder(pl.LightningModule):
    def __init__(self, out):
        super().__init__()
        self.out = out
        self.line = torch.nn.Linear(3, 1)
        self.encoder = Transforms()
        self.seen = defaultdict(dict)

    def note(self, stage, loader, batch):
        self.seen[stage].setdefault(loader, []).append(batch["index"].tolist())

    def training_step(self, batch, batch_idx):
        self.note("train", 0, batch)
        return self.line(batch["image"] / 100).mean()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.note("validate", dataloader_idx, batch)

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        self.note("test", dataloader_idx, batch)

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        self.note("predict", dataloader_idx, batch)

    def teardown(self, stage):
        # A forked process keeps what it saw to itself, so each writes it down.
        Path(self.out, f"{self.trainer.state.fn.value}-{self.global_rank}.json").write_text(json.dumps(self.seen))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


def run_stages(features, pairs, out):
    trainer = pl.Trainer(
        accelerator="cpu",
        strategy="ddp_fork",
        devices=2,
        max_epochs=2,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=out,
    )
    module = Recorder(out)
    data = FeatureDataModule(features, global_batch_size=16)
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    trainer.predict(module, PairDataModule(pairs, batch_size=2), return_predictions=False)
