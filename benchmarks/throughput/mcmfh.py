"""MCMFH: a training step beside its matrix products, data loading included and excluded."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch

from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.hashers import MCMFH
from mcmfh_lightning.shards import DatasetInfo, FeatureShardWriter, merge_feature_parts
from mcmfh_lightning.types import FeatureBatch
from throughput.products import RecordProducts, replay
from throughput.rows import LOADING, PRODUCTS, STEP, Row
from throughput.step import NUM_LABELS, on_device, random_batch, training_step, update
from throughput.timing import System, seconds

NUM_BITS = 16
IMAGE_DIM, TEXT_DIM = 1280, 384
"""Of EfficientNet-Lite0 and all-MiniLM-L6-v2."""
PAIRS = 16
"""Of the written collection, in batches."""


def hasher(num_experts: int, device: torch.device) -> MCMFH:
    """The default configuration but for its experts, with the optimiser of its configuration file."""
    torch.manual_seed(0)
    optimizer = partial(torch.optim.AdamW, lr=1e-3, weight_decay=1e-2)
    return MCMFH(NUM_BITS, IMAGE_DIM, TEXT_DIM, num_experts=num_experts, optimizer=optimizer).to(device)


def write_features(folder: Path, batch: FeatureBatch) -> str:
    """Feature shards of some pairs, all of them in the training split."""
    pairs = len(batch["image"])
    ids = {"train": [f"pair{number:06d}" for number in range(pairs)]}
    writer = FeatureShardWriter(folder, rank=0)
    columns = (batch[name].numpy() for name in ("image", "text", "labels", "group", "text_hash"))  # type: ignore[literal-required]
    writer.write("train", ids["train"], *columns)
    writer.close()
    info = DatasetInfo(
        format="mcmfh-features",
        name="random",
        source="benchmarks/training.py",
        licence="CC0",
        settings={},
        label_vocabulary=tuple(f"label {number}" for number in range(NUM_LABELS)),
        normal_label=None,
        splits={},
        encoder={"name": "random numbers"},
        image_dim=IMAGE_DIM,
        text_dim=TEXT_DIM,
    )
    merge_feature_parts(folder, info, 1, expected_ids=ids)
    return str(folder)


def loaded(features: str, pairs: int, device: torch.device) -> Iterator[FeatureBatch]:
    """Batches of `FeatureDataModule` as it trains, epoch after epoch."""
    loader = FeatureDataModule(features, global_batch_size=pairs).train_dataloader()
    while True:
        for batch in loader:
            yield on_device(cast(FeatureBatch, batch), device)


def systems(num_experts: int, batch: FeatureBatch, batches: Iterator[FeatureBatch]) -> dict[str, System]:
    """A step on a batch that is there, one on the next batch that is read, and the first's matrix products."""
    model = hasher(num_experts, batch["image"].device)
    loss, optimizer = training_step(model), model.make_optimizer()
    with RecordProducts() as record:
        update(loss(batch), optimizer)
    return {
        PRODUCTS: replay(record.products),
        STEP: lambda: update(loss(batch), optimizer),
        LOADING: lambda: update(loss(next(batches)), optimizer),
    }


def measure(experts: Sequence[int], pairs: int, device: torch.device, turns: int, steps: int) -> Iterator[Row]:
    """Pairs per second of the systems, at each number of experts."""
    with TemporaryDirectory() as folder:
        features = write_features(
            Path(folder) / "features", random_batch(PAIRS * pairs, IMAGE_DIM, TEXT_DIM, torch.device("cpu"))
        )
        batch = random_batch(pairs, IMAGE_DIM, TEXT_DIM, device)
        for number in experts:
            compared = systems(number, batch, loaded(features, pairs, device))
            found = seconds(compared, device, turns, steps, f"MCMFH, experts {number}")
            for name, time in found.items():
                yield Row(
                    part="mcmfh",
                    system=name,
                    device=device.type,
                    threads=torch.get_num_threads(),
                    batch=pairs,
                    experts=number,
                    value=round(pairs / time, 1),
                    unit="pairs/s",
                )
