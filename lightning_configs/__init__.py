"""Configs of ``mcmfh``, installed as ``mcmfh_lightning.lightning_configs``, and how they are found."""

from collections.abc import Sequence
from pathlib import Path

if __name__ != "mcmfh_lightning.lightning_configs":
    # From a clone, the bare name would import a second copy of every class.
    raise ImportError("import mcmfh_lightning.lightning_configs instead: this folder is installed under that name")

from mcmfh_lightning.lightning_configs.compose import compose_experiments, shipped  # after the refusal above


def find_config(name: str) -> str:
    """Return ``name`` if such a file exists, else the config of that name shipped with the package.

    ``experiments/hash.yaml`` thus means the same from a clone and from an empty folder.
    """
    return name if Path(name).exists() else shipped(name) or name


def find_configs(args: Sequence[str]) -> list[str]:
    """Apply `find_config` to every command-line argument that names a YAML file.

    Experiments without a file are composed first, see `compose_experiments`.
    """
    found = []
    for arg in compose_experiments(args):
        flag, equals, value = arg.rpartition("=")
        found.append(flag + equals + find_config(value) if value.endswith(".yaml") else arg)
    return found
