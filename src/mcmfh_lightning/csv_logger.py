"""``metrics.csv`` that a resumed run goes on with."""

import csv
import io
from pathlib import Path

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from mcmfh_lightning.datamodules.shards.files import atomic_write
from mcmfh_lightning.errors import DataError


class ResumableCSVLogger(CSVLogger):
    """`CSVLogger` that loses nothing: rows are on disk as they are logged, and a resumed run adds to them.

    Lightning's own writes every hundredth step, and deletes ``metrics.csv`` when a run begins, resumed or not.

    Args:
        save_dir: Parent folder of the runs.
        name: Name of the experiment, a folder.
        version: Name of the run, a folder below.

    Attributes:
        resume: Whether the run goes on with what is there; to be set before the run begins.
    """

    def __init__(
        self, save_dir: str | Path, name: str | None = "lightning_logs", version: int | str | None = None
    ) -> None:
        super().__init__(save_dir, name=name, version=version, flush_logs_every_n_steps=1)
        self.resume = False

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """What writes the file."""
        if self._experiment is None:
            self._experiment = _GoingOn(self.log_dir) if self.resume else ExperimentWriter(self.log_dir)
        return self._experiment  # type: ignore[return-value]  # typed as its base, which is not public

    @rank_zero_only
    def save(self) -> None:
        """Write the rows logged since.

        Raises:
            DataError: If the file cannot be written.
        """
        try:
            super().save()
        except OSError as error:
            path = Path(self.log_dir, ExperimentWriter.NAME_METRICS_FILE)
            raise DataError(
                f"{path} cannot be written ({error.strerror}): make room or permit it, or choose another --run_dir"
            ) from error


class _GoingOn(ExperimentWriter):
    """Keeps the rows of the steps before the first one that is logged anew."""

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
        """Leave what is there; Lightning deletes it."""

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
