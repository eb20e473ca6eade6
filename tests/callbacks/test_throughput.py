"""Samples a second of training, against the clock."""

import time

import lightning.pytorch as pl
import pytest

from mcmfh_lightning.callbacks.throughput import Throughput

STEP, VALIDATION = 0.03, 0.2


class Slow(pl.Callback):
    """Steps and validations of a known length; notes what is logged."""

    def __init__(self):
        self.rates = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        time.sleep(STEP)

    def on_validation_epoch_start(self, trainer, pl_module):
        time.sleep(VALIDATION)

    def on_train_epoch_end(self, trainer, pl_module):
        self.rates.append(trainer.callback_metrics["train/samples_per_second"].item())


@pytest.mark.parametrize("check", [{"check_val_every_n_epoch": 1}, {"val_check_interval": 0.25}])
def test_validation_does_not_count_wherever_it_comes(world, check):
    slow = Slow()
    trainer = world.trainer(Throughput(), slow, max_epochs=2, num_sanity_val_steps=0, **check)
    started = time.perf_counter()
    trainer.fit(world.Module(), world.Data(world.splits, batch_size=7))
    took = time.perf_counter() - started
    per_epoch = 50  # pairs, in 8 batches
    fastest = per_epoch / (8 * STEP)
    validations = 2 if "check_val_every_n_epoch" in check else 8
    seconds = [per_epoch / rate for rate in slow.rates]
    assert all(rate < fastest for rate in slow.rates)
    # All that the fit took besides its validations; with one of them among it the sum would be too large.
    assert sum(seconds) <= took - validations * VALIDATION
