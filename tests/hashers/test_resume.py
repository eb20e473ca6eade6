"""A run resumed in mid-epoch ends in the weights of the uninterrupted run, bit for bit."""

from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.hashers import MCMFH


def _fit(features: Path, folder: Path, resume: Path | None = None) -> dict[str, torch.Tensor]:
    seed_everything(0, verbose=False)
    if resume is not None:
        torch.randn(99)  # a free-running generator would be elsewhere by now
    data = FeatureDataModule(str(features), global_batch_size=128)  # 4 steps an epoch
    model = MCMFH(16, data.image_dim, data.text_dim, d_model=32)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=7,
        default_root_dir=folder,
        logger=False,
        limit_val_batches=0,
        callbacks=[ModelCheckpoint(folder, filename="{step}", every_n_train_steps=3, save_top_k=-1)],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    assert trainer.global_step == 7
    return model.state_dict()


def test_resumed_run_ends_in_the_same_weights(features: Path, tmp_path: Path) -> None:
    whole = _fit(features, tmp_path / "whole")
    resumed = _fit(features, tmp_path / "resumed", tmp_path / "whole" / "step=3.ckpt")
    assert whole.keys() == resumed.keys()
    for name, weights in whole.items():
        assert torch.equal(weights, resumed[name]), name
