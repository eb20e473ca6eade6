"""Run by test_loader.py: two ranks evaluate, and a worker of the second loses a batch on request."""

import sys

import lightning.pytorch as pl

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.datamodules.streams import EvaluationStream
from mcmfh_lightning.errors import one_line_errors


class Counts(pl.LightningModule):
    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.log("rows", float(len(batch["index"])), reduce_fx="sum", sync_dist=True)


class Lossy(FeatureDataModule):
    def val_dataloader(self):
        loaders = super().val_dataloader()
        if self.rank == 1:
            stream: EvaluationStream = loaders[1].stream
            plain = stream.batch
            stream.batch = lambda number: plain(number) if number != 0 else {"index": lambda: "cannot be sent"}
        return loaders


if __name__ == "__main__":
    FeatureDataModule.evaluation_batch_size = 8
    data = (Lossy if sys.argv[2] == "lossy" else FeatureDataModule)(sys.argv[1], num_workers=2)
    trainer = pl.Trainer(accelerator="cpu", devices=2, strategy="ddp_fork", logger=False, enable_progress_bar=False)
    with one_line_errors("ranks"):
        trainer.validate(Counts(), data, verbose=False)
    print("finished")
