"""A runner of declared runs that have no result yet: several at a time, each a process of its own."""

import csv
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from mcmfh_lightning import __version__
from mcmfh_lightning.errors import DataError
from mcmfh_lightning.evaluation.protocols import PROTOCOLS
from mcmfh_lightning.files import atomic_write
from mcmfh_lightning.shards import SPLITS, DatasetInfo
from mcmfh_lightning.shards.folder import ShardFolder
from mcmfh_lightning.sweeps.declared import DeclaredRun, canonical
from mcmfh_lightning.sweeps.result import ALL, KEPT, MONITOR, UNSEEN, Data, QueryValues, Result, dumped, match

_LOG = "log.txt"
_DIGITS = 6


def read_data(runs: Iterable[DeclaredRun]) -> dict[str, Data]:
    """Read the header of each data folder of runs.

    Raises:
        DataError: If a folder is missing or holds no shards.
    """
    found = {}
    for root in dict.fromkeys(run.root for run in runs):
        info = DatasetInfo.load(ShardFolder(root).path)
        encoder = digest = None
        if info.encoder is not None:
            encoder = str(info.encoder.get("name", "unnamed"))
            digest = hashlib.sha256(canonical(dict(info.encoder)).encode()).hexdigest()[:16]
        pairs: dict[str, int] = {split: info.split(split).pairs for split in SPLITS}
        found[root] = Data(info.name, encoder, digest, info.num_labels, pairs)
    return found


def fill(
    runs: Sequence[DeclaredRun], data: Mapping[str, Data], known: Sequence[Result], results: Path, work: Path, jobs: int
) -> list[str]:
    """Run whatever has no result.

    Args:
        runs: Declared runs.
        data: From `read_data`.
        known: The results that there are.
        results: Folder to which each finished run writes its result.
        work: Where runs write. A run begins with an empty folder; its checkpoints are deleted once it has its result.
        jobs: Runs at a time. They share out the cores.

    Returns:
        The runs that failed, each with its log.

    Raises:
        DataError: If the data are not those of the known results.
    """
    todo = [run for run, result in match(runs, known, data)[1] if result is None]
    failed = []
    console = Console(stderr=True)
    pool = ThreadPoolExecutor(jobs)
    futures: dict[Future[None], Path] = {}
    running: set[subprocess.Popen[bytes]] = set()
    try:
        for run in todo:
            target = results / run.name(data[run.root].name, data[run.root].key)
            folder = work / target.stem
            futures[pool.submit(_execute, run, data[run.root], target, folder, jobs, running)] = folder
        title = f"runs, {len(runs) - len(todo)} done before"
        for future in track(as_completed(futures), title, total=len(todo), console=console):
            folder = futures[future]
            try:
                future.result()
            except (DataError, OSError) as error:
                failed.append(f"{folder.name} ({folder / _LOG})")
                with (folder / _LOG).open("a") as stream:
                    stream.write(f"{error}\n")
                console.print(f"{folder.name} failed: {error}", markup=False, soft_wrap=True)
    finally:  # an interrupt lets no other run begin, and ends those that run
        pool.shutdown(wait=False, cancel_futures=True)
        while not all(future.done() for future in futures):
            # The Ctrl-C of a terminal reaches them, too, but Python can lose it while it imports.
            for process in tuple(running):
                process.terminate()
            time.sleep(1)
    return failed


def _execute(
    run: DeclaredRun, data: Data, target: Path, folder: Path, jobs: int, running: set[subprocess.Popen[bytes]]
) -> None:
    """Fit and test in a new folder, and make the result from the files that were written there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    fit, test = folder / "fit", folder / "test"
    fit_seconds = _command(run, folder, jobs, running, "fit")
    num_bits, test_seconds, results, queries = run.declared_bits, None, None, None
    try:
        epochs, best = _of_fit(fit / "metrics.csv", run)
        if not run.is_trial:
            test_seconds = _command(
                run, folder, jobs, running, "test", f"--ckpt_path={fit / 'checkpoints' / 'best.ckpt'}"
            )
            num_bits = json.loads((test / "metrics.json").read_bytes())["num_bits"]
            results, queries = _of_test(test / "ranking.csv"), _of_queries(test / "queries.csv")
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(f"its files cannot be read: {error!r}") from error
    result = Result(
        system=run.system,
        metric=run.metric,
        parameters=run.parameters,
        data=data,
        num_bits=num_bits,
        package=f"mcmfh-lightning {__version__}",
        torch=torch.__version__,
        device=_device(),
        jobs=jobs,
        fit_seconds=fit_seconds,
        test_seconds=test_seconds,
        epochs=epochs,
        best=best,
        results=results,
        queries=queries,
    )
    with atomic_write(target) as stream:
        stream.write(dumped(result).encode())
    shutil.rmtree(fit / "checkpoints", ignore_errors=True)


def _command(
    run: DeclaredRun, folder: Path, jobs: int, running: set[subprocess.Popen[bytes]], subcommand: str, *more: str
) -> float:
    """Run a subcommand of `mcmfh`, among those `running` until it ends, and return the seconds it took."""
    # The cores that this process may use: a batch system lends some of a machine.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quiet = "--trainer.enable_progress_bar=false"
    command = [sys.executable, "-m", "mcmfh_lightning", subcommand, *run.flags(), quiet, *more, f"--run_dir={folder}"]
    start = time.monotonic()
    with (folder / _LOG).open("a") as log:
        log.write(f"$ {shlex.join(command)}\n")
        log.flush()
        with subprocess.Popen(  # noqa: S603  # this interpreter, arguments of the table file
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": str(max(1, cores // jobs))},  # which our compiled kernels follow too
        ) as process:
            running.add(process)
            exit_code = process.wait()
            running.remove(process)
    if exit_code:
        raise DataError(f"{subcommand} ended with exit code {exit_code}")
    return round(time.monotonic() - start, 1)


def _of_fit(path: Path, run: DeclaredRun) -> tuple[int, float | None]:
    """Read the number of epochs and the best value of what is monitored."""
    if not path.is_file():
        raise DataError(f"{path}: was not written by the fit; leave trainer.logger to the config, which logs there")
    rows = _rows(path)
    name = run.metric if run.is_trial else MONITOR
    if not any(name in row for row in rows):
        logged = sorted({key for row in rows for key in row if key.startswith("val/")})
        raise DataError(f"{path}: {name} was not logged; choose one of {', '.join(logged)}")
    values = [value for row in rows if (value := _number(row[name])) is not None]
    chosen = min if run.is_trial and run.goal == "minimize" else max
    return max(int(row["epoch"]) for row in rows) + 1, chosen(values) if values else None


def _of_test(path: Path) -> dict[str, Any]:
    """Read the numbers that tables show, nested as `Result.results` is."""
    results: dict[str, Any] = {}
    for row in _rows(path):
        if all(row[name] in values for name, values in KEPT.items()):
            branch = results
            for name in ("protocol", "database", "queries", "direction", "system"):
                branch = branch.setdefault(row[name], {})
            branch[row["metric"]] = tuple(_number(row[name]) for name in ("value", "low", "high"))
    return results


def _of_queries(path: Path) -> QueryValues:
    """Read the groups, the query subsets and the AP of the test queries."""
    rows = _rows(path)
    values: dict[str, dict[str, list[float | None]]] = {}
    subsets: dict[str, list[int]] = {}
    for name in rows[0]:
        protocol, _, place = name.partition("/")
        database, _, direction = place.partition("/")
        if protocol in PROTOCOLS and database == UNSEEN:
            values.setdefault(protocol, {})[direction] = [_number(row[name]) for row in rows]
        elif not place and name not in ("id", "group", "index", "group_number", ALL):
            subsets[name] = [int(row[name]) for row in rows]
    return QueryValues([int(row["group_number"]) for row in rows], subsets, values)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float | None:
    """Round a number; return None for what is undefined."""
    return round(value, _DIGITS) if text and isfinite(value := float(text)) else None


def _device() -> str:
    """Name the device on which runs train, as the trainer chooses it."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    try:
        models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:  # not on Linux, or hidden
        models = []
    return models[0].strip() if models else platform.machine()
