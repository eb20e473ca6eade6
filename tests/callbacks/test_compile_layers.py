"""Compiled layers train as before."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything

from mcmfh_lightning.callbacks import CompileLayers
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.hashers import MCMFH, UCMFH


def fit(hasher, features, **callbacks):
    seed_everything(0, verbose=False)
    data = FeatureDataModule(str(features), global_batch_size=64)
    model = hasher(16, data.image_dim, data.text_dim, d_model=32)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=12,
        limit_val_batches=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **callbacks,
    )
    trainer.fit(model, data)
    return model


@pytest.mark.parametrize(
    "hasher", [partial(MCMFH, num_experts=2), pytest.param(UCMFH, marks=pytest.mark.slow)], ids=["MCMFH", "UCMFH"]
)
def test_compiled_layers_train_to_the_same_weights_without_compiling_every_step(features, hasher):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    plain = fit(hasher, features)
    assert not torch._dynamo.utils.counters["frames"]
    compiled = fit(hasher, features, callbacks=[CompileLayers(backend="eager")])
    frames = torch._dynamo.utils.counters["frames"]
    assert frames["ok"] > 0
    assert not torch._dynamo.utils.counters["recompile_limit"]
    assert frames["total"] < 60, "a step is compiled again and again"
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], value, msg=name)
