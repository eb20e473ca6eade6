"""Hashers from their checkpoints, without the configuration of their training."""

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY, present_arguments, unlearned_of
from mcmfh_lightning.hashers.registry import list_methods


class StoredHasher(NamedTuple):
    """Trained hasher, with the identity of its training data.

    Attributes:
        hasher: Hasher on the CPU, in evaluation mode.
        encoder: Identity of the encoder of the features that it was trained on.
        label_vocabulary: Labels of the data that it was trained on; empty if they had none.
    """

    hasher: Hasher
    encoder: Mapping[str, Any] | None
    label_vocabulary: tuple[str, ...]


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
    hasher_class = next((method.hasher for method in list_methods() if method.hasher.__name__ == name), None)
    if hasher_class is None:
        fix = "fit a hasher on features" if name.startswith("EndToEnd(") else "install the release that wrote it"
        raise CheckpointError(f"{path} holds {name}, which cannot be built from its checkpoint alone: {fix}")
    vocabulary = tuple(entry["label_vocabulary"] or ())
    parameters = signature(hasher_class).parameters
    settings = present_arguments(settings, parameters)
    if "num_labels" in parameters:  # decided by the data, not by the architecture
        settings["num_labels"] = len(vocabulary)
    hasher = hasher_class(**settings)
    hasher.on_load_checkpoint(stored)
    hasher.load_state_dict(stored["state_dict"])
    return StoredHasher(hasher.eval(), entry["encoder"], vocabulary)


def slim_checkpoint(path: Path) -> dict[str, Any]:
    """Read the part of a checkpoint that `load_hasher` needs: weights and description, without optimizers and loops.

    Raises:
        CheckpointError: See `load_hasher`.
    """
    stored = read_checkpoint(path)
    entry = stored[CHECKPOINT_KEY] | {"unlearned": list(unlearned_of(stored))}  # of earlier ones, it is elsewhere
    return {CHECKPOINT_KEY: entry, "state_dict": stored["state_dict"]}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without unpickling anything but tensors and plain values.

    Raises:
        CheckpointError: If it is missing, damaged or not of this package.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; pass one that `mcmfh fit` wrote")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on foreign files, even KeyError
        raise CheckpointError(f"{path} cannot be read as a checkpoint; pass one that `mcmfh fit` wrote") from error
    if not isinstance(stored, dict) or CHECKPOINT_KEY not in stored or "state_dict" not in stored:
        raise CheckpointError(f"{path} was not written by a hasher of this package; pass one that `mcmfh fit` wrote")
    return stored
