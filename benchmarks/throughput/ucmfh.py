"""UCMFH: our training step beside the published one."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from mcmfh_lightning.hashers import UCMFH
from mcmfh_lightning.types import FeatureBatch
from throughput.published import (
    BETAS,
    FUSION_LR,
    LR,
    TEMPERATURE,
    WIDTH,
    PublishedUCMFH,
    lean_contrast,
    literal_contrast,
    plain_contrast,
)
from throughput.rows import LEAN, LITERAL, OURS, PLAIN, Row
from throughput.step import random_batch, training_step, update
from throughput.timing import System, seconds

NUM_BITS = 16


def systems(batch: FeatureBatch) -> dict[str, System]:
    """A whole step of each system: forward, backward, Adam."""
    device = batch["image"].device
    found: dict[str, System] = {}
    for name, contrast in ((LITERAL, literal_contrast), (LEAN, lean_contrast), (PLAIN, plain_contrast)):
        network = PublishedUCMFH(NUM_BITS, contrast).to(device)
        optimizer = network.optimizer()
        found[name] = _step(partial(network, batch["image"], batch["text"]), optimizer)
    ours = UCMFH(
        NUM_BITS,
        WIDTH,
        WIDTH,
        d_model=WIDTH,
        temperature=TEMPERATURE,
        fusion_lr_scale=FUSION_LR / LR,
        optimizer=partial(torch.optim.Adam, lr=LR, betas=BETAS),
    ).to(device)
    found[OURS] = _step(partial(training_step(ours), batch), ours.make_optimizer())
    return found


def measure(batches: Sequence[int], device: torch.device, turns: int, steps: int) -> Iterator[Row]:
    """Pairs per second of the systems, at each number of pairs in a batch."""
    for pairs in batches:
        found = seconds(
            systems(random_batch(pairs, WIDTH, WIDTH, device)), device, turns, steps, f"UCMFH, batch {pairs}"
        )
        for name, time in found.items():
            yield Row(
                part="ucmfh",
                system=name,
                device=device.type,
                threads=torch.get_num_threads(),
                batch=pairs,
                experts=0,
                value=round(pairs / time, 1),
                unit="pairs/s",
            )


def _step(loss: Callable[[], torch.Tensor], optimizer: torch.optim.Optimizer) -> System:
    return lambda: update(loss(), optimizer)
