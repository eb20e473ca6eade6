"""Files of a run: its folder, its configuration, the weights it takes, and what it may replace."""

import json
import shlex
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from mcmfh_lightning.errors import CheckpointError, DataError
from mcmfh_lightning.files import sha256_of

_PAGE = 4096
_UNFINISHED = "unfinished.txt"
"""File in the folder of a fit from its first step to its end."""


def checkpoints_of(run_dir: Path) -> Path:
    """Return the folder of the checkpoints of a run."""
    return run_dir / "fit" / "checkpoints"


def check_writable(folder: Path) -> None:
    """Make a folder and try to write there, before hours of work fail for that reason; nothing is left there.

    Raises:
        DataError: If nothing can be written there.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * _PAGE)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written to ({error.strerror}): make room or permit it, or choose another --run-dir"
        ) from error
    finally:
        with suppress(OSError):  # another process has written something there by now
            for place in made:
                place.rmdir()


def check_unused(run_dir: Path, ckpt_path: str | None) -> None:
    """Refuse a ``fit`` that would overwrite the checkpoints of another run.

    Args:
        run_dir: Folder of the run.
        ckpt_path: Checkpoint from which it resumes; None for a new run.

    Raises:
        DataError: If there are checkpoints, and the run does not resume from one of them.
    """
    checkpoints = checkpoints_of(run_dir)
    resumes = ckpt_path in ("last", "hpc") or (
        ckpt_path is not None and run_dir.resolve() in Path(ckpt_path).resolve().parents
    )
    if not resumes and any(checkpoints.glob("*.ckpt")):
        raise DataError(
            f"{checkpoints} holds the checkpoints of an earlier run: pass another --run-dir, delete the folder, or "
            f"resume that run as it began: {_resuming(run_dir / 'fit')}"
        )


def find_checkpoint(run_dir: Path, ckpt_path: str | None, *, fit: bool) -> str | None:
    """Find the file that ``--ckpt-path`` means: ``best`` and ``last`` are those of the run folder, others are paths.

    ``fit`` with ``last`` begins a new run if there is no checkpoint, so that a requeued job can use one command.

    Raises:
        CheckpointError: If there is no such file.
    """
    if ckpt_path not in ("best", "last"):
        elsewhere = ckpt_path is None or ckpt_path == "hpc" or ckpt_path.startswith("registry") or "://" in ckpt_path
        if not elsewhere and not Path(str(ckpt_path)).exists():
            raise CheckpointError(f"{ckpt_path} does not exist: pass a checkpoint that `mcmfh fit` wrote")
        return ckpt_path
    path = checkpoints_of(run_dir) / f"{ckpt_path}.ckpt"
    if path.is_file():
        return str(path)
    if fit and ckpt_path == "last":
        return None
    raise CheckpointError(f"{path} does not exist: pass the --run-dir of the fit, or the path of its checkpoint")


def find_best(run_dir: Path, subcommand: str) -> str:
    """Find the weights of the best epoch, for a command without ``--ckpt-path``.

    Raises:
        CheckpointError: If the run has no such checkpoint.
    """
    best, last = (checkpoints_of(run_dir) / f"{name}.ckpt" for name in ("best", "last"))
    if best.is_file():
        return str(best)
    fix = "--ckpt-path last takes those of the last epoch" if last.is_file() else "pass the --run-dir of a fit"
    raise CheckpointError(f"{subcommand} needs trained weights, and {best} does not exist: {fix}, or --ckpt-path FILE")


def check_results(report: Path, ckpt_path: str, data: Mapping[str, Any], what: str = "results") -> None:
    """Refuse to replace the results of other weights or other data.

    Args:
        report: The JSON file of an earlier ``test`` or ``predict``, which names its weights and data.
        ckpt_path: Weights of this one.
        data: Name, path and ``fingerprint`` of the data of this one.
        what: What would be replaced, for the message.

    Raises:
        DataError: If the results come from other weights or other data, or do not name them.
    """
    earlier = _read_report(report)
    weights, tested = earlier.get("checkpoint") or {}, earlier.get("data") or {}
    path = Path(ckpt_path)
    same_weights = path.is_file() and weights.get("sha256") == sha256_of(path)
    if not same_weights or tested.get("fingerprint") != data["fingerprint"]:
        raise DataError(
            f"{report} holds the {what} of {_named(weights, tested)}; these are of {_named({'path': path}, data)}: "
            f"pass another --run-dir with --ckpt-path {path}, or delete {report.parent}"
        )


def _read_report(path: Path) -> Mapping[str, Any]:
    """Read a report; an unreadable one counts as empty."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _named(weights: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    if not data:
        return "another run, which does not name its weights and data"
    fingerprint = f"{data.get('name')} ({data.get('path')}, fingerprint {data.get('fingerprint')})"
    epoch = f" as it was at epoch {weights['epoch']}" if weights.get("epoch") is not None else ""
    return f"{weights.get('path') or 'weights in memory'}{epoch} on {fingerprint}"


class RunFolder(Callback):
    """Callback that sets the folder of a run; checkpoints without another place go to ``<path>/checkpoints``.

    A fit has the file ``unfinished.txt`` there until its end, also where a signal or an error has cut it: see
    `describe_unfinished`.

    The command line adds it. Without it the logger decides, see `run_folder`.

    Args:
        path: Folder of the run, the same on every process.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set the folder of the checkpoints; Lightning sets up their callbacks after all others."""
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(self.path / "checkpoints")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the fit has not ended."""
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set at run time
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / _UNFINISHED).write_text("This fit still runs, or was cut; --ckpt-path last resumes it.\n")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the note."""
        if trainer.is_global_zero:
            (self.path / _UNFINISHED).unlink(missing_ok=True)


def describe_unfinished(ckpt_path: str | Path | None) -> list[str]:
    """Say in a line that the fit that wrote a checkpoint has not ended; no line if it has, or nothing is known of it.

    Args:
        ckpt_path: The checkpoint, in the folder where the fit wrote it; None for weights in memory.
    """
    fit = Path(ckpt_path or "").parent.parent
    if ckpt_path is None or not (fit / _UNFINISHED).is_file():
        return []
    return [f"the fit of these weights has not ended: it still runs, or was cut; to resume it: {_resuming(fit)}"]


def _resuming(fit: Path) -> str:
    """Write the command that resumes a run with the options that it began with."""
    return shlex.join(["mcmfh", "fit", "--config", str(fit / "config.yaml"), "--ckpt-path", "last"])


def run_folder(trainer: Trainer) -> Path:
    """Return the folder of reports, figures and configuration of a run.

    It is the folder of `RunFolder` if the trainer has that callback, and otherwise that of the first logger, where
    ``ModelCheckpoint`` writes too. With a logger such as ``WandbLogger``, ``Trainer.log_dir`` is shared between runs.

    Args:
        trainer: The trainer. All its processes call this: without `RunFolder` they take the folder of the first one.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set at run time
        if isinstance(callback, RunFolder):
            return callback.path
    logger = trainer.logger
    if logger is None or logger.save_dir is None or isinstance(logger, CSVLogger | TensorBoardLogger):
        return Path(trainer.log_dir or trainer.default_root_dir)
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return Path(trainer.strategy.broadcast(str(Path(logger.save_dir, str(logger.name), version))))


class SaveRunConfig(SaveConfigCallback):
    """Callback that writes ``config.yaml`` into the folder of the run and passes it to ``WandbLogger``.

    Lightning's own callback writes to ``Trainer.log_dir``, which runs share with wandb. The trainer needs `RunFolder`.
    """

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file, over that of an earlier run; Lightning calls this on the first process only."""
        folder = run_folder(trainer)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.config_filename
        self.parser.save(self.config, path, skip_unset=False, overwrite=True, multifile=self.multifile)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(yaml.safe_load(self.parser.dump(self.config)))
