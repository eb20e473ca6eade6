"""The systems whose training steps are timed, each a function that makes a step."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import published_ucmfh as published
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Trainer
from matrix_products import RecordProducts, replay
from measurements import QUIET, seconds_each
from torch import Tensor, nn
from torch._dynamo.utils import counters

from mcmfh_lightning.callbacks import CompileLayers
from mcmfh_lightning.datamodules import FeatureDataModule
from mcmfh_lightning.hashers import MCMFH, UCMFH
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.layers import MixtureOfExperts
from mcmfh_lightning.metrics.functional import pack_bits
from mcmfh_lightning.shards import DatasetInfo, FeatureShardWriter, merge_feature_parts
from mcmfh_lightning.types import FeatureBatch

OURS, LITERAL, LEAN, PLAIN = "ours", "(a) literal", "(b) literal, one tensor", "(c) plain cross entropy"
CONTRASTS = {LITERAL: published.literal_contrast, LEAN: published.lean_contrast, PLAIN: published.plain_contrast}
PRODUCTS, STEP, LOADING = "(d) matrix products alone", "a step", "a step, data loading included"
COMPILED, BREAKS = "a step, layers compiled", "graph breaks"
MIXTURE, DENSE = "mixture of experts", "(e) plain MLP"

NUM_BITS = 16
IMAGE_DIM, TEXT_DIM = 1280, 384  # embedding widths of EfficientNet-Lite0 and all-MiniLM-L6-v2
NUM_LABELS = 120  # as many as Open-i has, each on 5 % of the pairs
D_MODEL, HIDDEN = 256, 512  # widths of the mixture of experts in MCMFH

System = Callable[[], object]
Systems = Mapping[tuple[str, int], System]
"""Functions that make a step, by name and number of experts; 0 where there are none."""


def seconds_a_step(step: System, steps: int, device: str) -> float:
    """Time a step: one untimed, so that it does not pay for what another system left in the caches, then the mean."""
    step()
    return seconds_each(step, steps, device)


def random_batch(pairs: int, image_dim: int = IMAGE_DIM, text_dim: int = TEXT_DIM, device: str = "cpu") -> FeatureBatch:
    """Draw embeddings and label sets from seed 0; every pair is a group of its own."""
    draw = {"generator": torch.Generator(device).manual_seed(0), "device": device}
    number = torch.arange(pairs, device=device)
    return {
        "image": torch.randn(pairs, image_dim, **draw),
        "text": torch.randn(pairs, text_dim, **draw),
        "present": torch.ones(pairs, 2, dtype=torch.bool, device=device),
        "labels": pack_bits(torch.rand(pairs, NUM_LABELS, **draw) < 0.05),
        "group": number,
        "text_hash": number + 1,
        "index": number,
    }


def training_loss(hasher: Hasher, batch: FeatureBatch) -> Tensor:
    """Compute the loss of a batch by ``training_step`` without a trainer, which logs nothing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*self.log.*")
        return hasher.training_step(batch, 0)


def make_step(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> System:
    """Make a function that makes a step: forward, backward and optimizer, gradients set to None as Lightning does."""

    def step() -> None:
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def step_of(hasher: Hasher, batch: FeatureBatch) -> System:
    """Make a step of a hasher that is always on the same batch."""
    return make_step(partial(training_loss, hasher, batch), hasher.make_optimizer())


def ucmfh_systems(batch: FeatureBatch) -> Systems:
    """Make the steps of our UCMFH and of the published one in three writings."""
    device = batch["image"].device
    systems: dict[tuple[str, int], System] = {}
    for name, contrast in CONTRASTS.items():
        network = published.PublishedUCMFH(NUM_BITS, contrast).to(device)
        systems[name, 0] = make_step(partial(network, batch["image"], batch["text"]), network.optimizer())
    width, fusion_lr_scale = published.WIDTH, published.FUSION_LR / published.LR
    adam = partial(torch.optim.Adam, lr=published.LR, betas=published.BETAS)
    same = {"temperature": published.TEMPERATURE, "fusion_lr_scale": fusion_lr_scale, "optimizer": adam}
    ours = UCMFH(NUM_BITS, width, width, d_model=width, **same).to(device)
    return systems | {(OURS, 0): step_of(ours, batch)}


def mcmfh(num_experts: int, device: torch.device | str) -> MCMFH:
    """Make MCMFH in its default configuration but for its experts, with the optimizer of its configuration file."""
    torch.manual_seed(0)
    optimizer = partial(torch.optim.AdamW, lr=1e-3, weight_decay=1e-2)
    return MCMFH(NUM_BITS, IMAGE_DIM, TEXT_DIM, num_experts=num_experts, optimizer=optimizer).to(device)


def mcmfh_systems(num_experts: int, batch: FeatureBatch, batches: Iterator[FeatureBatch]) -> Systems:
    """Make a step on a batch in memory, one on the next batch that is read, and the matrix products of the first."""
    model = mcmfh(num_experts, batch["image"].device)
    step = step_of(model, batch)
    with RecordProducts() as recorded:
        step()
    return {
        (PRODUCTS, num_experts): replay(recorded.products),
        (STEP, num_experts): step,
        (LOADING, num_experts): make_step(lambda: training_loss(model, next(batches)), model.make_optimizer()),
    }


def write_features(folder: Path, batch: FeatureBatch) -> None:
    """Write feature shards of some pairs, all of them in the training split."""
    ids = {"train": [f"pair{number:06d}" for number in range(len(batch["image"]))]}
    writer = FeatureShardWriter(folder, rank=0)
    columns = (batch[name].numpy() for name in ("image", "text", "labels", "group", "text_hash"))  # type: ignore[literal-required]  # names of the batch
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


def read_batches(features: Path, pairs: int, device: str) -> Iterator[FeatureBatch]:
    """Read batches by `FeatureDataModule` as it trains, epoch after epoch."""
    loader = FeatureDataModule(str(features), global_batch_size=pairs).train_dataloader()
    while True:
        for batch in loader:
            yield move_data_to_device(batch, device)


def compile_layers(model: Hasher, backend: str) -> Hasher:
    """Do what the callback does when training begins."""
    CompileLayers(backend).on_fit_start(Trainer(**QUIET), model)
    return model


def graph_breaks(run: Callable[[], object]) -> int:
    """Count how often Python comes between the graphs of what runs for the first time, with any backend."""
    torch._dynamo.reset()
    counters.clear()
    run()
    return sum(counters["graph_break"].values())


def compiled_systems(num_experts: int, batch: FeatureBatch) -> Systems:
    """Make a step without and with compiled layers."""
    device = batch["image"].device
    models = {STEP: mcmfh(num_experts, device), COMPILED: compile_layers(mcmfh(num_experts, device), "inductor")}
    return {(name, num_experts): step_of(model, batch) for name, model in models.items()}


def expert_systems(experts: Sequence[int], tokens: int, device: str) -> Systems:
    """Make forward and backward passes of the plain MLP and of each mixture, gradients of the tokens included."""
    torch.manual_seed(0)
    inputs = torch.randn(tokens, D_MODEL, device=device, requires_grad=True)
    gradient = torch.randn(tokens, D_MODEL, device=device)

    def run(layer: nn.Module) -> None:
        layer.zero_grad()
        inputs.grad = None
        output = layer(inputs)
        (output if isinstance(output, Tensor) else output[0]).backward(gradient)  # a mixture also returns its routing

    dense = nn.Sequential(nn.Linear(D_MODEL, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, D_MODEL))
    layers: dict[tuple[str, int], nn.Module] = {(DENSE, 1): dense}
    layers |= {(MIXTURE, number): MixtureOfExperts(D_MODEL, HIDDEN, number, top_k=1) for number in experts}
    return {system: partial(run, layer.to(device)) for system, layer in layers.items()}
