"""A run resumed in mid-epoch ends in the weights of the uninterrupted run, bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.hashers import MCMFH, Hasher, TriPAH

Make = Callable[[FeatureDataModule], Hasher]


class WithinStep(ModelCheckpoint):
    """Writer of a checkpoint in the fourth step, as at a signal: when the loss is known, before the weights move."""

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Any) -> None:
        if trainer.global_step == 3 and trainer.ckpt_path is None:
            trainer.save_checkpoint(f"{self.dirpath}/within.ckpt")


def _fit(make: Make, features: Path, folder: Path, resume: Path | None = None) -> dict[str, torch.Tensor]:
    seed_everything(0, verbose=False)
    if resume is not None:
        torch.randn(99)  # a free-running generator would be elsewhere by now
    data = FeatureDataModule(str(features), global_batch_size=128)  # 4 steps an epoch
    model = make(data)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=7,
        default_root_dir=folder,
        logger=False,
        limit_val_batches=0,
        callbacks=[WithinStep(folder, filename="{step}", every_n_train_steps=3, save_top_k=-1)],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    assert trainer.global_step == 7
    return model.state_dict()


MAKERS: dict[str, Make] = {
    "MCMFH": lambda data: MCMFH(16, data.image_dim, data.text_dim, d_model=32),
    "TriPAH": lambda data: TriPAH(16, data.image_dim, data.text_dim, data.num_labels, d_model=32),
}


@pytest.mark.parametrize("name", MAKERS)
def test_resumed_run_ends_in_the_same_weights(features: Path, tmp_path: Path, name: str) -> None:
    whole = _fit(MAKERS[name], features, tmp_path / "whole")
    for checkpoint in ("step=3.ckpt", "within.ckpt"):
        resumed = _fit(MAKERS[name], features, tmp_path / "resumed", tmp_path / "whole" / checkpoint)
        assert whole.keys() == resumed.keys()
        for key, weights in whole.items():
            assert torch.equal(weights, resumed[key]), (checkpoint, key)
