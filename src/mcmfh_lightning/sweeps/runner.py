"""Runs what has no result yet, several runs at a time, each a process of its own."""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mcmfh_lightning.bench.tables.agreement import check_agreement, data_of_folders
from mcmfh_lightning.bench.tables.declared import DeclaredRun, is_trial
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.files import atomic_write
from mcmfh_lightning.shards import SPLITS, DatasetInfo
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.sweeps.result import Data, Effort, Result, collect, dumped
from mcmfh_lightning.sweeps.sweep_file import canonical

LOG = "log.txt"


class _Job(NamedTuple):
    run: DeclaredRun
    data: Data
    target: Path
    folder: Path


class RunFailedError(Exception):
    """A command ended with an error; what it said is in the log."""


def read_data(runs: Iterable[DeclaredRun]) -> dict[str, Data]:
    """What lies in the data folders of runs, by folder.

    Raises:
        DataError: A folder is missing or holds no shards.
    """
    return {root: _data(root) for root in dict.fromkeys(run.root for run in runs)}


def fill(
    runs: Sequence[DeclaredRun],
    data: Mapping[str, Data],
    known: Sequence[Result],
    results: Path,
    work: Path,
    jobs: int,
) -> list[str]:
    """Run whatever has no result.

    Args:
        runs: Declared runs.
        data: From `read_data`.
        known: The results that are there.
        results: Where results are kept.
        work: Where runs write. A run begins with an empty folder; its checkpoints are deleted once it has its result.
        jobs: Runs at a time. They share out the cores.

    Returns:
        The runs that failed, each with its log.

    Raises:
        DataError: The data are not those of the results that are there.
    """
    keys = {one.key for one in data_of_folders(data, known, data).values()}
    check_agreement([result for result in known if result.data.key in keys], data)
    todo = []
    for run in runs:
        name = run.file_name(data[run.root].name, data[run.root].key)
        if not (results / name).exists():
            todo.append(_Job(run, data[run.root], results / name, work / name.removesuffix(".json")))
    failed = []
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    pool = ThreadPoolExecutor(jobs)
    try:
        with bar:
            task = bar.add_task(f"runs, {len(runs) - len(todo)} done before", total=len(todo))
            futures = {pool.submit(_execute, job, jobs): job for job in todo}
            for future in as_completed(futures):
                job = futures[future]
                try:
                    future.result()
                except (RunFailedError, DataError, OSError) as error:
                    failed.append(f"{job.target.stem} ({job.folder / LOG})")
                    with (job.folder / LOG).open("a") as log:
                        log.write(f"{error}\n")
                    bar.console.print(f"{job.target.stem} failed: {error}", markup=False, soft_wrap=True)
                bar.advance(task)
    finally:  # an interrupt lets no other run begin
        pool.shutdown(cancel_futures=True)
    return failed


def _execute(job: _Job, jobs: int) -> None:
    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    fit_seconds = _command(job, jobs, "fit")
    test_seconds = None
    if not is_trial(job.run.metric):
        best = job.folder / "fit" / "checkpoints" / "best.ckpt"
        test_seconds = _command(job, jobs, "test", f"--ckpt_path={best}")
    try:
        result = collect(job.run, job.data, job.folder, Effort(_device(), jobs, fit_seconds, test_seconds))
    except (KeyError, IndexError, ValueError) as error:
        raise RunFailedError(f"what it wrote cannot be read: {error!r}") from error
    with atomic_write(job.target) as stream:
        stream.write(dumped(result))
    shutil.rmtree(job.folder / "fit" / "checkpoints", ignore_errors=True)


def _command(job: _Job, jobs: int, subcommand: str, *more: str) -> float:
    """Run a subcommand of `mcmfh`; returns the seconds it took."""
    threads = str(max(1, _cores() // jobs))
    quiet = "--trainer.enable_progress_bar=false"
    command = [sys.executable, "-m", "mcmfh_lightning", subcommand, *job.run.flags(), quiet, *more]
    command.append(f"--run_dir={job.folder}")
    start = time.monotonic()
    with (job.folder / LOG).open("a") as log:
        log.write(f"$ {shlex.join(command)}\n")
        log.flush()
        done = subprocess.run(  # noqa: S603  # this interpreter, arguments of the table file
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": threads},  # which our compiled kernels follow too
            check=False,
        )
    if done.returncode:
        raise RunFailedError(f"{subcommand} ended with exit code {done.returncode}")
    return time.monotonic() - start


def _cores() -> int:
    """Those that this process may use: a batch system lends some of a machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _data(root: str) -> Data:
    info = DatasetInfo.load(ShardFolder(root).path)
    encoder = info.encoder
    return Data(
        name=info.name,
        encoder=None if encoder is None else str(encoder.get("name", "unnamed")),
        encoder_digest=None if encoder is None else hashlib.sha256(canonical(dict(encoder)).encode()).hexdigest()[:16],
        num_labels=info.num_labels,
        pairs={split: info.split(split).pairs for split in SPLITS},
    )


def _device() -> str:
    """Where runs train, which leave the choice to the trainer."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    try:
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        return models[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return platform.machine()
