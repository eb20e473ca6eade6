"""Where encoder and hasher run."""

import torch

from mcmfh_lightning.errors import ConfigError


def check_device(name: str) -> None:
    """Refuse a device that torch does not know, or does not have here.

    Args:
        name: As torch names it: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        ConfigError: If nothing can be computed there.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # the latter if torch was built without it
        told = str(error).strip().partition("\n")[0]
        raise ConfigError(f"--device {name} cannot be used here ({told}): leave it out for cpu") from error
