"""Batches to train on, and what a training step is."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.metrics.functional import pack_bits
from mcmfh_lightning.types import FeatureBatch

NUM_LABELS = 120
"""As many as Open-i has, each on 5 % of the pairs."""


def random_batch(pairs: int, image_dim: int, text_dim: int, device: torch.device) -> FeatureBatch:
    """Embeddings and label sets drawn from seed 0; every pair is a group of its own."""
    generator = torch.Generator().manual_seed(0)
    number = torch.arange(pairs)
    batch: FeatureBatch = {
        "image": torch.randn(pairs, image_dim, generator=generator),
        "text": torch.randn(pairs, text_dim, generator=generator),
        "present": torch.ones(pairs, 2, dtype=torch.bool),
        "labels": pack_bits(torch.rand(pairs, NUM_LABELS, generator=generator) < 0.05),
        "group": number,
        "text_hash": number + 1,
        "index": number,
    }
    return on_device(batch, device)


def on_device(batch: FeatureBatch, device: torch.device) -> FeatureBatch:
    """A batch whose tensors lie on a device."""
    moved: FeatureBatch = {name: tensor.to(device) for name, tensor in batch.items()}  # type: ignore[assignment, attr-defined]
    return moved


def training_step(hasher: Hasher) -> Callable[[FeatureBatch], Tensor]:
    """What training computes of a batch: ``training_step`` without a trainer, which logs nothing."""

    def loss(batch: FeatureBatch) -> Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*self.log.*")
            return hasher.training_step(batch, 0)

    return loss


def update(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Backward pass and optimiser, gradients forgotten as Lightning does it."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
