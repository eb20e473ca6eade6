"""Run by test_killed.py: train, write down the rows of every step and save a checkpoint every few steps."""

import json
import os
import sys
import time

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from mcmfh_lightning.datamodules import FeatureDataModule

EVERY = 3


class Recorder(pl.LightningModule):
    def __init__(self, log):
        super().__init__()
        self.line = torch.nn.Linear(3, 1)
        self.log_path = log

    def training_step(self, batch, batch_idx):
        line = json.dumps([self.global_step, batch["index"].tolist()]) + "\n"
        # One write to a file opened for appending: a line is complete or absent, whenever the kill comes.
        descriptor = os.open(f"{self.log_path}-{self.global_rank}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)
        time.sleep(0.01)  # so that the kill finds the run in mid-epoch
        return self.line(batch["image"] / 100).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


def main(features, out, log, num_workers, unique_groups, ranks, max_steps, checkpoint=None):
    trainer = pl.Trainer(
        accelerator="cpu",
        strategy="auto" if ranks == "1" else "ddp_fork",
        devices=int(ranks),
        max_steps=int(max_steps),
        max_epochs=-1,
        limit_val_batches=0,
        callbacks=[ModelCheckpoint(out, filename="{step:03d}", every_n_train_steps=EVERY, save_top_k=-1)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=out,
    )
    data = FeatureDataModule(features, 16, int(num_workers), unique_groups=unique_groups == "True")
    trainer.fit(Recorder(log), data, ckpt_path=checkpoint, weights_only=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
