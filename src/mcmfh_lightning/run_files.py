"""What the files of a run allow: where it may write, and what it may go on from."""

import tempfile
from pathlib import Path

from mcmfh_lightning.errors import CheckpointError, DataError

_PAGE = 4096


def checkpoints_of(run_dir: Path) -> Path:
    """The folder of a run's checkpoints."""
    return run_dir / "fit" / "checkpoints"


def check_writable(folder: Path) -> None:
    """Make a folder and try to write there, before hours of work find out that they cannot.

    Raises:
        DataError: If nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * _PAGE)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written to ({error.strerror}): make room or permit it, or choose another --run_dir"
        ) from error


def check_unused(run_dir: Path, ckpt_path: str | None) -> None:
    """Refuse a ``fit`` that would overwrite the checkpoints of another run.

    Args:
        run_dir: Where the run writes.
        ckpt_path: What it resumes from, None for a new run.

    Raises:
        DataError: If there are checkpoints, and the run does not go on from one of them.
    """
    checkpoints = checkpoints_of(run_dir)
    goes_on = ckpt_path in ("last", "hpc") or (
        ckpt_path is not None and run_dir.resolve() in Path(ckpt_path).resolve().parents
    )
    if not goes_on and any(checkpoints.glob("*.ckpt")):
        raise DataError(
            f"{checkpoints} holds the checkpoints of an earlier run: pass another --run_dir, "
            f"--ckpt_path {checkpoints / 'last.ckpt'} to resume it, or delete the folder."
        )


def find_checkpoint(run_dir: Path, ckpt_path: str | None, *, fit: bool) -> str | None:
    """Say which file ``--ckpt_path`` means: ``best`` and ``last`` are those of the run folder, others are paths.

    ``fit`` with ``last`` begins a new run where there is none, so that one command serves a job that is requeued.

    Raises:
        CheckpointError: If there is no such file.
    """
    if ckpt_path not in ("best", "last"):
        return ckpt_path
    path = checkpoints_of(run_dir) / f"{ckpt_path}.ckpt"
    if path.is_file():
        return str(path)
    if fit and ckpt_path == "last":
        return None
    raise CheckpointError(f"{path} does not exist: pass the --run_dir of the fit, or the path of its checkpoint")
