"""What the files of a run allow: where it may write, which weights it takes, and what it may replace."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcmfh_lightning.datamodules.shards.files import sha256_of
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


def find_best(run_dir: Path, subcommand: str) -> str:
    """Find the weights for a command that was not given any: those of the run's best epoch.

    Raises:
        CheckpointError: If there are none.
    """
    best, last = (checkpoints_of(run_dir) / f"{name}.ckpt" for name in ("best", "last"))
    if best.is_file():
        return str(best)
    fix = "--ckpt_path last takes those of the last epoch" if last.is_file() else "pass the --run_dir of a fit"
    raise CheckpointError(f"{subcommand} needs trained weights, and {best} does not exist: {fix}, or --ckpt_path FILE")


def check_results(report: Path, ckpt_path: str, data: Mapping[str, Any]) -> None:
    """Refuse a test that would replace the results of another one.

    Args:
        report: The ``metrics.json`` of an earlier test.
        ckpt_path: Weights of the test.
        data: What names the data of the test, with a ``fingerprint``.

    Raises:
        DataError: If the results are of other weights or other data, or do not say of which.
    """
    earlier = _read_report(report)
    weights, tested = earlier.get("checkpoint") or {}, earlier.get("data") or {}
    path = Path(ckpt_path)
    same_weights = path.is_file() and weights.get("sha256") == sha256_of(path)
    if not same_weights or tested.get("fingerprint") != data["fingerprint"]:
        raise DataError(
            f"{report} holds the results of {_named(weights, tested)}; this test is of {_named({'path': path}, data)}: "
            f"pass another --run_dir with --ckpt_path {path}, or delete {report.parent}"
        )


def _read_report(path: Path) -> Mapping[str, Any]:
    """Read a report; one that cannot be read says nothing of what it is of."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _named(weights: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    if not data:
        return "another test, which does not name its weights and data"
    fingerprint = f"{data.get('name')} ({data.get('path')}, fingerprint {data.get('fingerprint')})"
    epoch = f" as it was at epoch {weights['epoch']}" if weights.get("epoch") is not None else ""
    return f"{weights.get('path') or 'weights in memory'}{epoch} on {fingerprint}"
