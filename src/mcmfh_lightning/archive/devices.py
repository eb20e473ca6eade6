"""Devices for encoders: needs torch and nothing else, so that a wrong name is refused, and a port opened, at once."""

import torch

from mcmfh_lightning.errors import ConfigError


def check_device(name: str) -> None:
    """Refuse a device that torch does not know, or does not have here.

    Args:
        name: Name of torch's: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        ConfigError: If nothing can be computed there.
    """
    try:
        torch.zeros(1, device=name).cpu()  # `meta` computes nothing
    except (RuntimeError, AssertionError, ImportError) as error:  # the others if torch was built without it
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"--device {name} cannot be used here ({reason}): leave it out for cpu") from error
