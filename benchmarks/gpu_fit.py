"""Trainer and data on a GPU: how long training waits for batches, and an epoch on pictures with a trained tower."""

import io
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import random_towers as towers
from gpu_device import Device, casting, times
from gpu_sections import Measured, Step
from lightning.fabric.utilities import move_data_to_device
from PIL import Image
from streaming import EPOCH, NEXT_BATCH, STEP, train
from torch import Tensor
from training_systems import make_step, random_batch, training_loss, write_features

from mcmfh_lightning.datamodules import FeatureDataModule, PairDataModule
from mcmfh_lightning.hashers import MCMFH, EndToEnd, TwoTower
from mcmfh_lightning.shards import Pair, PairShardWriter

DataModule = FeatureDataModule | PairDataModule
LABELS = tuple(f"label {number}" for number in range(8))
EPOCHS = 3


@dataclass(frozen=True)
class Sizes:
    """Numbers of pairs, and of processes that read them."""

    features: int
    batch_sizes: tuple[int, ...]
    workers: tuple[int, ...]
    pairs: int
    pair_batch: int
    picture: int
    """Side in pixels."""
    towers: towers.Sizes
    trainable: tuple[str, ...]
    """Parts of the image tower; on a GPU those of experiments/end_to_end.yaml."""


SIZES = {
    "cuda": Sizes(
        1 << 16,
        (256, 4096),
        (0, 1, 2, 4, 8),
        pairs=8192,
        pair_batch=256,
        picture=320,
        towers=towers.PACKAGED,
        trainable=("image_tower.blocks.[56]", "image_tower.conv_head", "image_tower.bn2"),
    ),
    "cpu": Sizes(
        64,
        (16,),
        (0, 1),
        pairs=24,
        pair_batch=8,
        picture=64,
        towers=towers.TINY,
        trainable=("image_tower.conv_head", "image_tower.bn2"),
    ),
}


def trainer_options(device: Device) -> dict[str, object]:
    """Return the options of a Trainer on the device, those of trainer/gpu.yaml."""
    return {"accelerator": "cpu" if device.rehearsed else "gpu", "devices": 1, "precision": "bf16-mixed"}


def loading(batch: int, workers: int, device: Device, folder: Path) -> Iterator[Measured]:
    """Measure the share of MCMFH's training on features that is spent asking for the next batch."""
    features = folder / "features"
    if not features.exists():
        drawn = random_batch(SIZES[device.kind].features, device=device.kind)
        write_features(features, move_data_to_device(drawn, "cpu"))
    data = FeatureDataModule(str(features), global_batch_size=batch, num_workers=workers)
    spent = train(MCMFH(16, data.image_dim, data.text_dim), data, 1, **trainer_options(device))
    yield waited(spent[NEXT_BATCH][1:], spent[STEP], "MCMFH on features", f"batch {batch:,}, {workers} workers", data)


def waited(waits: list[float], steps: list[float], what: str, setting: str, data: DataModule) -> Measured:
    """Report the share of waiting; the first batch, for which workers start, is left out by the caller.

    Where the share misses its goal, an epoch is read without workers, in the process that is profiled.
    """
    share = sum(waits) / (sum(waits) + sum(steps))
    note, run = "the first batch is left out", partial(read_epoch, data)
    return Measured(
        f"waiting for data, {what}", setting, [share], "of the time", goal="value <= 0.1", note=note, run=run
    )


def read_epoch(data: DataModule) -> None:
    """Read the training batches of an epoch in this process; the data have been trained on."""
    data.num_workers = 0
    deque(data.train_dataloader(), maxlen=0)


def write_pairs(folder: Path, pairs: int, side: int) -> Path:
    """Write pairs of a picture, one of a few, and a text of made-up words."""
    rng = np.random.default_rng(0)
    pictures = []
    for noise in rng.integers(0, 255, (min(64, pairs), side // 8, side // 8), dtype=np.uint8):
        stream = io.BytesIO()
        Image.fromarray(noise).resize((side, side)).save(stream, format="JPEG")
        pictures.append(stream.getvalue())
    words = np.array(towers.make_words(towers.TINY.words))  # the tokenizers know these
    source = {"name": "random", "source": "benchmarks/gpu.py", "licence": "CC0-1.0", "settings": {}}
    writer = PairShardWriter(folder, **source, label_vocabulary=LABELS, normal_label=None, pairs_per_shard=1024)
    with writer:
        for number in range(pairs):
            pair = Pair(
                id=f"pair{number:06d}",
                image=pictures[number % len(pictures)],
                image_format="jpg",
                text=" ".join(rng.choice(words, 40)),
                labels=(LABELS[number % len(LABELS)],),
                group=number,
                date=None,
                source="benchmarks/gpu.py",
                licence="CC0-1.0",
            )
            writer.write("train", pair)
    return folder


def end_to_end(workers: int, device: Device, folder: Path) -> Iterator[Measured]:
    """Train TwoTower and the last stages of EfficientNet-Lite0 on pictures, next to the same step in memory."""
    sizes = SIZES[device.kind]
    encoder = towers.make_two_towers(folder / "towers", sizes.towers)
    pairs = write_pairs(folder / "pairs", sizes.pairs, sizes.picture)
    model = EndToEnd(partial(TwoTower, num_bits=16), encoder, sizes.trainable)
    data = PairDataModule(str(pairs), num_workers=workers, global_batch_size=sizes.pair_batch)
    spent = train(model, data, EPOCHS, **trainer_options(device))
    trained = sizes.pairs // sizes.pair_batch * sizes.pair_batch
    rates = [trained / seconds for seconds in spent[EPOCH]]
    batch = move_data_to_device(next(iter(data.train_dataloader())), device.kind)
    again = EndToEnd(partial(TwoTower, num_bits=16), encoder, sizes.trainable).to(device.kind)

    def loss() -> Tensor:
        with casting("bf16", device):
            return training_loss(again, batch)  # type: ignore[arg-type]  # pairs, as this method takes them

    step = make_step(loss, again.make_optimizer())
    in_memory = [sizes.pair_batch / taken for taken in times(step, device)]
    what = f"one epoch, TwoTower with a trained {sizes.towers.image_model}"
    setting = f"{sizes.pairs:,} pairs, batch {sizes.pair_batch}, bf16, {workers} workers of {os.cpu_count()} cores"
    floor = sorted(in_memory)[len(in_memory) // 2]
    yield Measured(what, setting, rates, "pairs/s", floor, "its steps on a batch in memory", run=step)
    yield waited(spent[NEXT_BATCH][1:], spent[STEP], "pictures decoded on the way", setting, data)


def loading_steps(device: Device, folder: Path) -> Iterator[Step]:
    """List the loading of features by batch size and workers."""
    sizes = SIZES[device.kind]
    for batch in sizes.batch_sizes:
        for workers in sizes.workers:
            yield (
                f"waiting for data, batch {batch:,}, {workers} workers",
                partial(loading, batch, workers, device, folder),
            )


def epoch_steps(device: Device, folder: Path) -> Iterator[Step]:
    """List the epoch, with a worker for each core up to eight."""
    workers = min(8, os.cpu_count() or 1) if not device.rehearsed else 0
    yield "one epoch with a trained tower", partial(end_to_end, workers, device, folder)
