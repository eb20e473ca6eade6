"""Descriptions of encoders: which class of this package to build, and with which arguments."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from mcmfh_lightning import encoders
from mcmfh_lightning.encoders.base import Encoder
from mcmfh_lightning.errors import CheckpointError, ConfigError
from mcmfh_lightning.shards.info import encoder_name

_MODULE = encoders.__name__
TOWER_FILE = "image_tower.safetensors"
"""Weights of an image tower that are shared with a hasher, in its folder."""


def build_encoder(spec: Mapping[str, Any], identity: Mapping[str, Any]) -> Encoder:
    """Build an encoder of this package and of no other: a file from elsewhere must not run code.

    Args:
        spec: ``class_path`` and ``init_args``, as in ``lightning_configs/model/encoder_offline.yaml``.
        identity: Identity that it must have.

    Raises:
        ConfigError: If it names another class, or the class cannot be built with these arguments.
        CheckpointError: If another encoder is built.
    """
    path = spec.get("class_path")
    module, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    found = getattr(encoders, name) if module == _MODULE and name in encoders.__all__ else None
    if not isinstance(found, type) or not issubclass(found, Encoder) or found is Encoder:
        raise ConfigError(f"encoder {path!r} is none of {_MODULE}: name one of its classes in --encoder FILE")
    arguments = spec.get("init_args") or {}
    try:
        encoder = found(**arguments)
    except (TypeError, ValueError, AttributeError) as error:  # the last where an argument is of another type
        raise ConfigError(f"the encoder {name} cannot be built ({error}): correct --encoder FILE") from error
    check_identity(encoder, identity)
    return encoder


def check_identity(encoder: Encoder, identity: Mapping[str, Any]) -> None:
    """Refuse an encoder that is not the one of a hasher.

    Raises:
        CheckpointError: If it has another identity; the message names both.
    """
    # Identities are plain JSON; tuples and the like would differ from what was read.
    built = json.loads(json.dumps(encoder.identity))
    if built != identity:
        raise CheckpointError(
            f"the codes are of the encoder {encoder_name(identity, built)}, this one is "
            f"{encoder_name(built, identity)}: pass a description of the former (--encoder FILE; in Python encoder=)"
        )


def read_encoder_spec(path: Path | None) -> dict[str, Any]:
    """Read how to build an encoder; without a file, the two towers of the package index.

    Raises:
        ConfigError: If the file is missing or not such a description.
    """
    source = files("mcmfh_lightning.lightning_configs") / "model/encoder_offline.yaml" if path is None else path
    try:
        content = yaml.safe_load(source.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; --encoder needs one like model/encoder_offline.yaml") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not {"class_path"} <= content.keys() <= {"class_path", "init_args"}:
        raise ConfigError(
            f"{path}: class_path and init_args of an encoder are expected; see model/encoder_offline.yaml"
        )
    return content


def portable_spec(spec: Mapping[str, Any]) -> tuple[dict[str, Any] | None, Path | None]:
    """Make a description that another machine can use.

    Args:
        spec: What `read_encoder_spec` returns.

    Returns:
        The description, and the file of a tuned image tower that must be shared with it as `TOWER_FILE`, if there is
        one. No description if it names another file or folder of this machine: no path is shared.
    """
    arguments, tower = dict(spec.get("init_args") or {}), None
    weights = str(arguments.get("image_weights"))
    if weights.endswith(".safetensors") and not weights.startswith(_PACKAGE):
        arguments["image_weights"], tower = TOWER_FILE, Path(weights).expanduser()
    if _local_arguments(arguments):
        return None, None
    return {"class_path": spec["class_path"], "init_args": arguments}, tower


def placed_spec(spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Read the description of a shared folder, which may name no file but `TOWER_FILE` in that folder.

    Args:
        spec: What `portable_spec` made, or whatever is in its place.
        folder: Shared folder.

    Raises:
        CheckpointError: If it names another file or folder.
    """
    arguments = spec.get("init_args") or {}
    if not isinstance(arguments, dict) or (local := _local_arguments(arguments)):
        named = "init_args" if not isinstance(arguments, dict) else ", ".join(local)
        raise CheckpointError(
            f"{folder}: {named} of its encoder may name a package or a model of the hub, and no file of this machine: "
            "pass the description of the encoder (in Python encoder=)"
        )
    placed = {"image_weights": str(folder / TOWER_FILE)} if arguments.get("image_weights") == TOWER_FILE else {}
    return {"class_path": spec.get("class_path"), "init_args": arguments | placed}


_PACKAGE = "package:"


def _local_arguments(arguments: Mapping[str, Any]) -> list[str]:
    """Name the arguments that are files or folders of this machine."""
    found = []
    for name, value in arguments.items():
        text = str(value)
        if name in ("image_weights", "text_model"):
            is_local = not text.startswith(_PACKAGE) and text != TOWER_FILE
        else:  # `model` and `pretrained` of open_clip: names, or places
            is_local = isinstance(value, str) and text.startswith(("local-dir:", "/", "~", "."))
            is_local = is_local or (name == "pretrained" and value is not None and Path(text).exists())
        if is_local:
            found.append(name)
    return found
