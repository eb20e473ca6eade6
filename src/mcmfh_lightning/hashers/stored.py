"""A hasher as its checkpoint describes it, without the configuration that it was trained with.

Which weights are these: a hash that an archive and a report of a test both write.
"""

import hashlib
import json
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch

from mcmfh_lightning import hashers
from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.hashers.base import CHECKPOINT_KEY, Hasher


class StoredHasher(NamedTuple):
    """A trained hasher and what its checkpoint says of it."""

    hasher: Hasher
    """On the CPU, in evaluation mode."""
    encoder: Mapping[str, Any] | None
    """Identity of the encoder of the features that it was trained on."""
    label_vocabulary: tuple[str, ...]
    """Labels of the data that it was trained on; empty if they had none."""


def load_hasher(path: Path) -> StoredHasher:
    """Build the hasher that a checkpoint holds.

    Args:
        path: What ``mcmfh fit`` wrote, or `slim_checkpoint`.

    Raises:
        CheckpointError: If the file is missing, not a checkpoint of this package, or of a hasher that was trained with
            its encoder.
    """
    stored = read_checkpoint(path)
    entry = stored[CHECKPOINT_KEY]
    settings = dict(entry["architecture"])
    name = settings.pop("hasher")
    method = getattr(hashers, name, None) if name in hashers.__all__ else None
    if method is None:
        mend = "fit a hasher on features" if name.startswith("EndToEnd(") else "install the release that wrote it"
        raise CheckpointError(f"{path} holds {name}, which cannot be built from its checkpoint alone: {mend}")
    vocabulary = tuple(entry["label_vocabulary"] or ())
    if "num_labels" in signature(method).parameters:  # those of the training data; no part of an architecture
        settings["num_labels"] = len(vocabulary)
    hasher: Hasher = method(**settings)
    hasher.on_load_checkpoint(stored)
    hasher.load_state_dict(stored["state_dict"])
    return StoredHasher(hasher.eval(), entry["encoder"], vocabulary)


def slim_checkpoint(path: Path) -> dict[str, Any]:
    """What `load_hasher` needs of a checkpoint: weights and description, no state of optimisers and loops.

    Raises:
        CheckpointError: As `load_hasher`.
    """
    stored = read_checkpoint(path)
    return {CHECKPOINT_KEY: stored[CHECKPOINT_KEY], "state_dict": stored["state_dict"]}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without unpickling anything but tensors and plain values.

    Raises:
        CheckpointError: If it is missing, damaged or not of this package.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; pass one that `mcmfh fit` wrote")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint; pass one that `mcmfh fit` wrote") from error
    if not isinstance(stored, dict) or CHECKPOINT_KEY not in stored or "state_dict" not in stored:
        raise CheckpointError(f"{path} was not written by a hasher of this package; pass one that `mcmfh fit` wrote")
    return stored


def weights_sha256(architecture: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Hash weights by name, whatever the layout of the file that they came from.

    Args:
        architecture: What decides the shape of the model; plain JSON.
        state: Tensors by name, on any device.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
