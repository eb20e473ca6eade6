"""The wandb logger of the command line: settings that a config can hold, and nothing of the host's folders."""

import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger

_ABSOLUTE = re.compile(r"(?:file://|(?<![^\s:='\"(\[]))/(?!/)(?:[^/\s'\",)\]]*/)*")
"""The folders of an absolute path: what comes before its last part. ``s3://`` and ``https://`` are none."""


class PrivateWandbLogger(WandbLogger):
    """Lightning's WandbLogger with wandb's settings as a plain mapping, which the saved configuration can hold.

    Absolute paths in configurations and hyper-parameters are logged by their last part only: folders often name
    people, projects and machines.

    Args:
        settings: Arguments of ``wandb.Settings``; ``logger/wandb.yaml`` has those that keep private what is.
        **kwargs: Arguments of Lightning's WandbLogger.
    """

    def __init__(self, settings: dict[str, str | bool | int | float], **kwargs: Any) -> None:  # noqa: ANN401  # Lightning's arguments
        super().__init__(settings=settings, **kwargs)

    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Log to the run's config."""
        plain = vars(params) if isinstance(params, Namespace) else params
        super().log_hyperparams(without_folders(plain))


def without_folders(value: Any) -> Any:  # noqa: ANN401  # any plain value
    """Leave of each absolute path in a nested value its last part.

    Example:
        >>> without_folders({"root": "/home/ann/openi/features", "url": "s3://bucket/key", "lr": 0.1})
        {'root': 'features', 'url': 's3://bucket/key', 'lr': 0.1}
    """
    if isinstance(value, Mapping):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [without_folders(item) for item in value]
    if isinstance(value, str | Path):
        return _ABSOLUTE.sub("", str(value))
    return value
