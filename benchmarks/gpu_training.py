"""Training steps on a GPU, next to their own matrix products: batch sizes, precisions, compiled or not."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import NamedTuple

from gpu_device import Device, casting, computing_in, times
from gpu_sections import Measured, Step
from matrix_products import RecordProducts, replay
from torch import Tensor
from training import SETTLED
from training_systems import (
    IMAGE_DIM,
    NUM_BITS,
    TEXT_DIM,
    compile_layers,
    make_step,
    random_batch,
    training_loss,
)

from mcmfh_lightning.hashers import MCMFH, UCMFH, TwoTower
from mcmfh_lightning.hashers.base import Hasher

METHODS: dict[str, Callable[..., Hasher]] = {"MCMFH": MCMFH, "TwoTower": TwoTower, "UCMFH": UCMFH}
SIZES = {"cuda": {}, "cpu": {"d_model": 32}}
"""What the methods are made with; on a GPU that is their default configuration."""
BATCHES = {"cuda": (256, 1024, 4096, 16384), "cpu": (32,)}
COMPILED_BATCHES = {"cuda": (4096, 256), "cpu": (32,)}
BACKENDS = {"cuda": "inductor", "cpu": "eager"}
"""Compilers; the rehearsal traces, and compiles nothing."""


class Setting(NamedTuple):
    """What is trained, and how."""

    method: str
    batch: int
    precision: str
    backend: str = ""

    def __str__(self) -> str:
        """Say how, without what."""
        compiled = f", compiled ({self.backend})" if self.backend else ""
        return f"batch {self.batch:,}, {self.precision}{compiled}"


def measure_steps(setting: Setting, device: Device) -> Iterator[Measured]:
    """Time the steps of a method, and its recorded matrix products alone in the same precision."""
    model = METHODS[setting.method](NUM_BITS, IMAGE_DIM, TEXT_DIM, **SIZES[device.kind]).to(device.kind)
    batch = random_batch(setting.batch, device=device.kind)

    def loss() -> Tensor:
        with casting(setting.precision, device):
            return training_loss(model, batch)

    step = make_step(loss, model.make_optimizer())
    # A profile takes seconds; those of other sizes and precisions would say much the same.
    profiled = setting.precision == "bf16" and setting.batch in COMPILED_BATCHES[device.kind]
    with computing_in(setting.precision):
        step()  # makes the state of the optimizer
        with RecordProducts() as recorded:
            step()
        floor = median(times(replay(recorded.products), device))
        if setting.backend:
            compile_layers(model, setting.backend)
            for _ in range(SETTLED):
                step()
        rates = [1 / taken for taken in times(step, device)]
        yield Measured(
            *(setting.method, str(setting), rates, "steps/s", 1 / floor, "its matrix products alone"),
            goal="share >= 0.4",
            run=step if profiled else None,
        )


def steps(device: Device, folder: Path) -> Iterator[Step]:
    """List the settings: bf16 in all sizes, compiled ones, and then the other precisions."""
    backend = BACKENDS[device.kind]
    settings = [Setting(method, batch, "bf16") for batch, method in product(BATCHES[device.kind], METHODS)]
    settings += [
        Setting(method, batch, "bf16", backend) for batch, method in product(COMPILED_BATCHES[device.kind], METHODS)
    ]
    settings += [
        Setting(method, batch, precision)
        for precision, batch, method in product(("TF32", "float32"), BATCHES[device.kind], METHODS)
    ]
    if not device.rehearsed:
        settings += [
            Setting(method, COMPILED_BATCHES[device.kind][0], precision, backend)
            for precision, method in product(("TF32", "float32"), METHODS)
        ]
    for setting in settings:
        yield f"{setting.method}, {setting}", partial(measure_steps, setting, device)
