"""Hashers from their checkpoints, without the configuration of their training."""

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mcmfh_lightning.encoders.base import Encoder
from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.hashers.base import Hasher
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY, present_arguments, unlearned_of
from mcmfh_lightning.hashers.registry import list_methods
from mcmfh_lightning.hashers.shared import read_shared

_TOGETHER = "EndToEnd("


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
        path: What ``mcmfh fit`` wrote, or `slim_checkpoint`, or the folder of a shared hasher.

    Raises:
        CheckpointError: If the file is missing, not a checkpoint of this package, or of a hasher that was trained with
            its encoder.
    """
    return build_hasher(read_checkpoint(path), path)


def build_hasher(stored: Mapping[str, Any], path: Path) -> StoredHasher:
    """Build a hasher.

    Args:
        stored: What `read_checkpoint` returns.
        path: Where it was read, for messages.

    Raises:
        CheckpointError: If it is of a hasher that was trained with its encoder, or of another release.
    """
    entry = stored[CHECKPOINT_KEY]
    settings = dict(entry["architecture"])
    name = settings.pop("hasher")
    hasher_class = next((method.hasher for method in list_methods() if method.hasher.__name__ == name), None)
    if hasher_class is None:
        together = name.startswith(_TOGETHER)
        fix = "mcmfh_lightning.load builds it with its encoder" if together else "install the release that wrote it"
        raise CheckpointError(f"{path} holds {name}, which cannot be built from its checkpoint alone: {fix}")
    vocabulary = tuple(entry["label_vocabulary"] or ())
    parameters = signature(hasher_class).parameters
    settings = present_arguments(settings, parameters)
    if "num_labels" in parameters:  # decided by the data, not by the architecture
        settings["num_labels"] = len(vocabulary)
    hasher = hasher_class(**settings)
    hasher.on_load_checkpoint(dict(stored))
    hasher.load_state_dict(stored["state_dict"])
    return StoredHasher(hasher.eval(), entry["encoder"], vocabulary)


def split_encoder(stored: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Split a checkpoint of `mcmfh_lightning.hashers.EndToEnd` into that of its hasher and the weights of its encoder.

    Args:
        stored: What `read_checkpoint` returns, of any hasher.

    Returns:
        The checkpoint of the hasher, and weights by name; none for a hasher that was trained on features.
    """
    entry, state = stored[CHECKPOINT_KEY], stored["state_dict"]
    name = str(entry["architecture"]["hasher"])
    if not name.startswith(_TOGETHER):
        return dict(stored), {}
    parts: dict[str, dict[str, Tensor]] = {"hasher": {}, "encoder": {}}
    for key, tensor in state.items():
        part, _, rest = key.partition(".")
        parts[part][rest] = tensor
    architecture = entry["architecture"] | {"hasher": name.removeprefix(_TOGETHER).removesuffix(")")}
    alone = {CHECKPOINT_KEY: entry | {"architecture": architecture}, "state_dict": parts["hasher"]}
    return {**stored, **alone}, parts["encoder"]


def use_trained(encoder: Encoder, stored: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Give an encoder the weights that were trained with its hasher, if any were.

    Args:
        encoder: The encoder as it was before.
        stored: What `read_checkpoint` returns, of any hasher.
        path: Where it was read, for messages.

    Returns:
        The checkpoint without the weights that training left as they were: those of the encoder are at hand.

    Raises:
        CheckpointError: If they are not of this encoder.
    """
    trained, before = split_encoder(stored)[1], encoder.state_dict()
    unchanged = {f"encoder.{key}" for key, one in trained.items() if key in before and one.equal(before[key])}
    try:
        foreign = encoder.load_state_dict(trained, strict=False).unexpected_keys
    except RuntimeError as error:
        raise CheckpointError(f"{path}: the weights of its encoder do not fit it: copy it again") from error
    if foreign:
        raise CheckpointError(f"{path}: its encoder has no {foreign[0]}: install the release that made it")
    state = stored["state_dict"]
    return {**stored, "state_dict": {key: state[key] for key in state if key not in unchanged}}


def slim_checkpoint(path: Path) -> dict[str, Any]:
    """Read the part of a checkpoint that `load_hasher` needs: weights and description, without optimizers and loops.

    Raises:
        CheckpointError: See `load_hasher`.
    """
    return slimmed(read_checkpoint(path))


def slimmed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Take the part of a checkpoint that `build_hasher` needs."""
    entry = stored[CHECKPOINT_KEY] | {"unlearned": list(unlearned_of(stored))}  # of earlier ones, it is elsewhere
    return {CHECKPOINT_KEY: entry, "state_dict": stored["state_dict"]}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without unpickling anything but tensors and plain values.

    Args:
        path: A file, or the folder of a shared hasher.

    Raises:
        CheckpointError: If it is missing, damaged or not of this package.
    """
    if path.is_dir():
        return read_shared(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; pass one that `mcmfh fit` wrote")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on foreign files, even KeyError
        raise CheckpointError(f"{path} cannot be read as a checkpoint; pass one that `mcmfh fit` wrote") from error
    if not isinstance(stored, dict) or CHECKPOINT_KEY not in stored or "state_dict" not in stored:
        raise CheckpointError(f"{path} was not written by a hasher of this package; pass one that `mcmfh fit` wrote")
    return stored
