"""Folder of a shared hasher: ``model.safetensors`` and ``config.json``, without anything that would be unpickled.

It holds what codes are computed with. What else is in a checkpoint (optimizers, loops, the hash of the groups that were
trained on) stays at home.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mcmfh_lightning.errors import CheckpointError
from mcmfh_lightning.files import atomic_write, write_json
from mcmfh_lightning.hashers.checkpoints import CHECKPOINT_KEY
from mcmfh_lightning.searches import SEARCHES
from mcmfh_lightning.trainer.checkpoint_io import weights_sha256

CONFIG_FILE, WEIGHTS_FILE, CARD_FILE = "config.json", "model.safetensors", "README.md"
"""Names that the model hub gives to such files."""
FORMAT, FORMAT_VERSION = "mcmfh-hasher", 1
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_PLAIN = (str, int, float, type(None))
_ENTRY: Mapping[str, type | tuple[type, ...]] = {
    "format_version": int,
    "package_version": str,
    "architecture": dict,
    "num_bits": int,
    "encoder": dict,
    "label_vocabulary": (list, type(None)),
    "unlearned": list,
}
"""What is shared of our own entry of a checkpoint, with the types of its values."""


def write_shared(
    folder: Path,
    stored: Mapping[str, Any],
    encoder_spec: Mapping[str, Any] | None,
    value_range: tuple[float, float] | None,
) -> None:
    """Write a hasher into a folder; equal hashers make equal files.

    Args:
        folder: The folder, which exists.
        stored: Our entry of a checkpoint and its weights, as of `mcmfh_lightning.hashers.stored.slim_checkpoint`.
        encoder_spec: How to build the encoder, if another machine can.
        value_range: Values of deep pictures that become black and white.
    """
    entry, state = stored[CHECKPOINT_KEY], stored["state_dict"]
    # Copies: safetensors refuses tensors that share memory.
    content = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()})
    with atomic_write(folder / WEIGHTS_FILE) as stream:
        stream.write(content)
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "weights_sha256": weights_sha256(entry["architecture"], state),
        CHECKPOINT_KEY: {name: entry[name] for name in _ENTRY},
        "encoder_spec": encoder_spec,
        "value_range": value_range,
    }
    write_json(folder / CONFIG_FILE, config)  # last: it marks a whole folder


def is_shared(folder: Path) -> bool:
    """Check whether a folder looks like one that `write_shared` or someone else with a model wrote."""
    return any((folder / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE, "pytorch_model.bin"))


def read_shared(folder: Path) -> dict[str, Any]:
    """Read what `write_shared` wrote, whoever had it meanwhile.

    Returns:
        Our entry of a checkpoint, ``state_dict``, ``encoder_spec`` and ``value_range``.

    Raises:
        CheckpointError: If a file is missing or damaged, the weights are not those of ``config.json``, or the folder is
            of something else.
    """
    config = _read_config(folder)
    entry, state = _checked_entry(folder, config), _read_weights(folder)
    if config.get("weights_sha256") != weights_sha256(entry["architecture"], state):
        raise CheckpointError(
            f"{folder}: {WEIGHTS_FILE} holds other weights than {CONFIG_FILE} names: copy or download both again"
        )
    return {
        CHECKPOINT_KEY: entry,
        "state_dict": state,
        "encoder_spec": config.get("encoder_spec"),
        "value_range": config.get("value_range"),
    }


def _read_config(folder: Path) -> dict[str, Any]:
    _check_files(folder)
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): copy or download it again") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not of a hasher of this package: pass a folder that save_pretrained wrote")
    if config.get("format_version") != FORMAT_VERSION:
        found = config.get("format_version")
        raise CheckpointError(
            f"{path}: format_version {found!r}, this release reads {FORMAT_VERSION}: install the release that wrote it"
        )
    return config


def _check_files(folder: Path) -> None:
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]
    if not missing:
        return
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLES)
    if WEIGHTS_FILE in missing and pickles:
        raise CheckpointError(
            f"{folder} holds {pickles[0]} and no {WEIGHTS_FILE}; a pickle is never read: share the model again with "
            "save_pretrained"
        )
    raise CheckpointError(f"{folder} holds no shared hasher ({missing[0]} is missing): copy or download it again")


def _checked_entry(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Check our entry: its names, their types, and plain values inside."""
    entry = config.get(CHECKPOINT_KEY)
    entry = entry if isinstance(entry, dict) else {}
    odd = [name for name, kind in _ENTRY.items() if not isinstance(entry.get(name), kind)]
    odd += [name for name in entry if name not in _ENTRY]
    if not odd:
        settings, words = entry["architecture"], entry["label_vocabulary"] or []
        if not isinstance(settings.get("hasher"), str) or not all(isinstance(one, _PLAIN) for one in settings.values()):
            odd.append("architecture")
        if not all(isinstance(word, str) for word in words):
            odd.append("label_vocabulary")
        if not set(map(str, entry["unlearned"])) <= SEARCHES.keys():
            odd.append("unlearned")
    if odd:
        raise CheckpointError(
            f"{folder / CONFIG_FILE} is damaged ({CHECKPOINT_KEY}: {', '.join(odd)}): copy or download it again"
        )
    return entry


def _read_weights(folder: Path) -> dict[str, Tensor]:
    try:
        return load((folder / WEIGHTS_FILE).read_bytes())
    except (SafetensorError, ValueError, KeyError) as error:  # the last for a type that torch does not have
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE} is damaged ({' '.join(str(error).split())}): copy or download it again"
        ) from error
