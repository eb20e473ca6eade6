"""MCMFH with its layers compiled: where their graphs break, and what a step then takes."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from lightning.pytorch import Trainer
from rich.progress import track
from torch._dynamo.exc import TorchDynamoException
from torch._dynamo.utils import counters

from mcmfh_lightning.callbacks import CompileLayers
from mcmfh_lightning.hashers import MCMFH
from mcmfh_lightning.types import FeatureBatch
from throughput.mcmfh import IMAGE_DIM, TEXT_DIM, hasher
from throughput.rows import BREAKS, COMPILED, STEP, Row
from throughput.step import random_batch, training_step, update
from throughput.timing import System, seconds

SETTLED = 10
"""Steps before the timed ones: the experts' shares of the tokens move, for which dynamo compiles again."""


def compile_layers(model: MCMFH, backend: str) -> MCMFH:
    """Do what the callback does when training begins."""
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    CompileLayers(backend).on_fit_start(trainer, model)
    return model


def graph_breaks(run: Callable[[], object]) -> int:
    """How often Python comes between the graphs of what runs for the first time; with any backend."""
    torch._dynamo.reset()
    counters.clear()
    run()
    return sum(counters["graph_break"].values())


def measure(num_experts: int, pairs: int, device: torch.device, turns: int, steps: int) -> Iterator[Row]:
    """Graph breaks, and pairs per second with and without compilation; only the breaks without a compiler."""
    batch = random_batch(pairs, IMAGE_DIM, TEXT_DIM, device)
    row = partial(
        Row, part="compile", device=device.type, threads=torch.get_num_threads(), batch=pairs, experts=num_experts
    )
    traced = training_step(compile_layers(hasher(num_experts, device), "eager"))
    yield row(system=BREAKS, value=graph_breaks(lambda: traced(batch)), unit="count")
    compared = {
        STEP: _step(hasher(num_experts, device), batch),
        COMPILED: _step(compile_layers(hasher(num_experts, device), "inductor"), batch),
    }
    try:
        for _ in track(range(SETTLED), description="MCMFH, compiling"):
            compared[COMPILED]()
    except TorchDynamoException as error:  # what comes of a machine without a compiler
        print(f"torch.compile: not measured, {type(error).__name__}")
        return
    for name, time in seconds(compared, device, turns, steps, "MCMFH, compiled").items():
        yield row(system=name, value=round(pairs / time, 1), unit="pairs/s")


def _step(model: MCMFH, batch: FeatureBatch) -> System:
    loss, optimizer = training_step(model), model.make_optimizer()
    return lambda: update(loss(batch), optimizer)
