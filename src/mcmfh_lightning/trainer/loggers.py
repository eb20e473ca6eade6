"""Loggers: wandb without the folders of the host, and a ``metrics.csv`` that a resumed run continues."""

import csv
import io
import re
from argparse import Namespace
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from mcmfh_lightning.errors import ConfigError, DataError
from mcmfh_lightning.files import atomic_write

_ABSOLUTE = re.compile(r"(?:file://|(?<![^\s:='\"(\[]))/(?!/)(?:[^/\s'\",)\]]*/)*")
"""The folders of an absolute path: what comes before its last part. Addresses such as ``s3://`` do not match."""


_NOT_INSTALLED = (
    "--trainer.logger needs the package {0}, which is not installed: pip install 'mcmfh-lightning[{0}]', or choose "
    "logger/csv.yaml"
)


def place_logs(loggers: Any, run_dir: str, subcommand: str) -> None:  # noqa: ANN401  # a part of a configuration
    """Send the logs of known loggers to ``<run_dir>/<subcommand>``, whatever folder their config names.

    Args:
        loggers: ``trainer.logger`` of a configuration, which is changed in place.
        run_dir: Folder of the run.
        subcommand: ``fit``, for example.

    Raises:
        ConfigError: If the package of a logger is not installed.
    """
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        if "class_path" not in (logger or ()):  # True, False or None
            continue
        kind = resolve_name(logger["class_path"])
        if issubclass(kind, CSVLogger | TensorBoardLogger):
            for name, value in (("save_dir", run_dir), ("name", ""), ("version", subcommand)):
                logger["init_args"][name] = value
        if issubclass(kind, WandbLogger):
            logger["init_args"]["save_dir"] = str(Path(run_dir, subcommand))
            if find_spec("wandb") is None:
                raise ConfigError(_NOT_INSTALLED.format("wandb"))
        if issubclass(kind, TensorBoardLogger) and not (find_spec("tensorboard") or find_spec("tensorboardX")):
            raise ConfigError(_NOT_INSTALLED.format("tensorboard"))


class PrivateWandbLogger(WandbLogger):
    """Lightning's WandbLogger with wandb's settings as a plain mapping, which fits into a saved configuration.

    Absolute paths in configurations and hyper-parameters are logged by their last part only: folders often name
    people, projects and machines.

    Args:
        settings: Arguments of ``wandb.Settings``; ``logger/wandb.yaml`` has those that protect privacy.
        **kwargs: Arguments of Lightning's WandbLogger.
    """

    def __init__(self, settings: dict[str, str | bool | int | float], **kwargs: Any) -> None:  # noqa: ANN401  # Lightning's arguments
        super().__init__(settings=settings, **kwargs)

    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Log hyper-parameters to the config of the run."""
        plain = vars(params) if isinstance(params, Namespace) else params
        super().log_hyperparams(without_folders(plain))


def without_folders(value: Any) -> Any:  # noqa: ANN401  # any plain value
    """Shorten each absolute path in a nested value to its last part.

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


class ResumableCSVLogger(CSVLogger):
    """`CSVLogger` that writes each row at once, and to whose file a resumed run adds rows.

    Lightning's own writes every hundredth step, and deletes ``metrics.csv`` when a run begins, resumed or not.

    Args:
        save_dir: Parent folder of the runs.
        name: Name of the experiment, a folder.
        version: Name of the run, a folder below.

    Attributes:
        resume: Whether the run continues the existing file; set it before the run begins.
    """

    def __init__(
        self, save_dir: str | Path, name: str | None = "lightning_logs", version: int | str | None = None
    ) -> None:
        super().__init__(save_dir, name=name, version=version, flush_logs_every_n_steps=1)
        self.resume = False

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """Return the writer of the file."""
        if self._experiment is None:
            self._experiment = _ResumedWriter(self.log_dir) if self.resume else ExperimentWriter(self.log_dir)
        return self._experiment  # type: ignore[return-value]  # typed as its base, which is not public

    @rank_zero_only
    def save(self) -> None:
        """Write the rows that were logged since the last call.

        Raises:
            DataError: If the file cannot be written.
        """
        try:
            super().save()
        except OSError as error:
            path = Path(self.log_dir, ExperimentWriter.NAME_METRICS_FILE)
            raise DataError(
                f"{path} cannot be written ({error.strerror}): make room or permit it, or choose another --run-dir"
            ) from error


class _ResumedWriter(ExperimentWriter):
    """Writer that keeps the rows of the steps before the first one that is logged again."""

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        self._began = False

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        """Record a row."""
        if not self._began and step is not None:
            self._began = True
            self._forget_from(step)
        super().log_metrics(metrics_dict, step)

    def _check_log_dir_exists(self) -> None:
        """Keep the existing file; Lightning deletes it."""

    def _forget_from(self, step: int) -> None:
        # What was logged after the checkpoint is logged again, in the same order: the first row marks the place.
        path = Path(self.metrics_file_path)
        if not path.is_file():
            return
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            # A full disk may have cut the last row short.
            rows = [row for row in reader if None not in row.values() and int(row["step"]) < step]
            self.metrics_keys = list(reader.fieldnames or [])
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=self.metrics_keys)
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(path) as stream:
            stream.write(text.getvalue().encode())
