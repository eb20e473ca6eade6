"""Run by test_bytes_read.py: an epoch of training on two real ranks, and what each has read for it."""

import json
import sys
from pathlib import Path

from mcmfh_lightning.cli.quick_start import quick_imports

with quick_imports(sleepy=False):  # without what torchmetrics has for texts and images
    import lightning.pytorch as pl
    import torch
    import torch._dynamo  # which a fit imports in any case, in the middle of what is counted

    from mcmfh_lightning.datamodules import FeatureDataModule


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


class Counted(FeatureDataModule):
    """Notes where the counter stands before anything of the shards is read."""

    def setup(self, stage):
        self.before = bytes_read()
        super().setup(stage)


class Counter(pl.LightningModule):
    def __init__(self, out):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
        self.out = out
        self.pairs = 0

    def training_step(self, batch, batch_idx):
        self.pairs += len(batch["index"])
        return self.line(batch["image"][:, :1]).mean()

    def on_train_epoch_end(self):
        found = {"pairs": self.pairs, "bytes": bytes_read() - self.trainer.datamodule.before}
        Path(self.out, f"{self.global_rank}.json").write_text(json.dumps(found))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


def main(features, out, batch):
    trainer = pl.Trainer(
        accelerator="cpu",
        strategy="ddp_fork",
        devices=2,
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=out,
    )
    trainer.fit(Counter(out), Counted(features, int(batch)))


if __name__ == "__main__":
    main(*sys.argv[1:])
