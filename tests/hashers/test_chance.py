"""What must be at chance is: an untrained model, and one trained on pairs that were shuffled.

Codes that gather items of a label in few buckets score above the all-tied chance level even where images say nothing
about texts (AP is convex in the luck of which bucket comes first). So "at chance" is: over seeds, the mean lead of a
model over its own codes with shuffled queries has 0 in its 95 % interval.
"""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lightning.pytorch import Trainer, seed_everything

from mcmfh_lightning.callbacks import HammingRanking
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.hashers import MCMFH

SEEDS = range(5)
STUDENT_T = 3.495  # 98.75 % quantile with 4 degrees of freedom: 95 % over two directions (Bonferroni)


def _lead(features: Path, folder: Path, epochs: int, seed: int) -> list[float]:
    """mAP@all minus that of shuffled queries, of I->T and T->I: unimodal, unseen database, all queries."""
    seed_everything(seed, verbose=False)
    data = FeatureDataModule(str(features), global_batch_size=128, seed=seed)
    model = MCMFH(16, data.image_dim, data.text_dim, d_model=64, supervision="pairs", seed=seed)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        limit_val_batches=0,
        default_root_dir=folder,
        logger=False,
        callbacks=[HammingRanking(protocols=("unimodal",), seed=seed)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if epochs:
        trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)
    with (folder / "ranking.csv").open() as file:
        values = {
            (row["direction"], row["system"]): float(row["value"])
            for row in csv.DictReader(file)
            if (row["database"], row["queries"], row["metric"]) == ("unseen", "all", "mAP@all")
        }
    return [values[direction, "model"] - values[direction, "shuffled queries"] for direction in ("i2t", "t2i")]


def _at_chance(leads: list[list[float]]) -> bool:
    """Whether 0 is in the interval of the mean lead over seeds, in both directions."""
    sample = np.array(leads)  # (seeds, directions)
    error = sample.std(0, ddof=1) / np.sqrt(len(sample))
    return bool((np.abs(sample.mean(0)) <= STUDENT_T * error).all())


def test_untrained_model_is_at_chance(features: Path, tmp_path: Path) -> None:
    leads = [_lead(features, tmp_path, 0, seed) for seed in SEEDS]
    assert _at_chance(leads), leads


def test_shuffled_pairs_are_at_chance(make_features: Callable[..., Path], tmp_path: Path) -> None:
    """Each seed has its own shuffle: a single one holds chance correlations that every seed would learn."""
    leads = [_lead(make_features(tmp_path / str(seed), shuffled=seed), tmp_path, 6, seed) for seed in SEEDS]
    assert _at_chance(leads), leads


def test_true_pairs_are_far_from_chance(features: Path, tmp_path: Path) -> None:
    leads = [_lead(features, tmp_path, 6, seed) for seed in SEEDS]
    assert not _at_chance(leads)
    assert np.min(leads) > 0.3, leads
