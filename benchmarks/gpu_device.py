"""The device that is measured: its name, driver, clock and rates, and the time that functions take on it."""

import cProfile
import io
import pstats
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from threading import Thread
from typing import Self

import torch
from measurements import processors, seconds_each
from torch.profiler import ProfilerActivity, profile

TURNS = 5
ENOUGH = 20
"""Seconds after which no further turn begins."""
PRECISIONS = {"float32": "highest", "TF32": "high", "bf16": "highest"}
"""Precision of float32 products, as torch names it; bf16 is that of autocast, as in Lightning's ``bf16-mixed``."""


@dataclass(frozen=True)
class Device:
    """A GPU, or the CPU of a machine without one, on which the command is rehearsed at small sizes."""

    kind: str
    name: str
    driver: str

    @classmethod
    def find(cls) -> Self:
        """Take the first GPU, or the CPU."""
        if not torch.cuda.is_available():
            return cls("cpu", next(iter(processors("model name")), "CPU"), "none")
        return cls("cuda", torch.cuda.get_device_name(), _nvidia_smi("driver_version") or "unknown")

    @property
    def rehearsed(self) -> bool:
        """Whether this is a CPU, so that sizes are small and no goal counts."""
        return self.kind == "cpu"


def _query(fields: str, *more: str) -> list[str] | None:
    """Build the command that asks the driver about this process's GPU; None without its program."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    uuid = torch.cuda.get_device_properties(0).uuid
    return [program, f"--query-gpu={fields}", "--format=csv,noheader,nounits", f"--id=GPU-{uuid}", *more]


def _nvidia_smi(field: str) -> str:
    command = _query(field)
    if command is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.strip()  # noqa: S603  # the driver's own program


class Clock:
    """The clock of the device in MHz, which ``nvidia-smi`` writes twice a second while something is measured.

    Args:
        device: The device; the clock of a CPU is read when it is asked for.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._readings: list[float] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = None if self._device.rehearsed else _query("clocks.sm", "--loop-ms=500")
        if command:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  # as above
            Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        if self._process and self._process.stdout:
            for line in self._process.stdout:
                if line.strip().isdigit():
                    self._readings.append(float(line))

    def megahertz(self) -> str:
        """Return the median since it was last asked for, or the last reading; empty if nothing reports it."""
        readings = [float(value) for value in processors("cpu MHz")] if self._device.rehearsed else self._readings
        value = f"{median(readings):.0f}" if readings else ""
        self._readings = self._readings[-1:]
        return value


def times(run: Callable[[], object], device: Device) -> list[float]:
    """Time a function, after two runs that compile and warm up; a quick one runs several times in a turn.

    Args:
        run: The function.
        device: Where it runs.

    Returns:
        Mean seconds of a run, for each turn.
    """
    run()
    turns, turn = (3, 0.02) if device.rehearsed else (TURNS, 0.1)
    runs = max(1, round(turn / max(seconds_each(run, 1, device.kind), 1e-6)))
    found: list[float] = []
    while len(found) < turns and sum(found) * runs < ENOUGH:
        found.append(seconds_each(run, runs, device.kind))
    return found


def casting(precision: str, device: Device) -> torch.autocast:
    """Make the context of a forward pass: it casts to bf16 where that is asked for."""
    return torch.autocast(device.kind, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Multiply float32 matrices, and convolve, in one of the `PRECISIONS`."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[precision])
    convolutions = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = precision == "TF32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = convolutions


def product_rates(precision: str, device: Device) -> list[float]:
    """Measure the operations a second of one large matrix product, which no model exceeds."""
    size = 256 if device.rehearsed else 8192
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    # Zeros would draw less power, at a higher clock than a model has.
    first, second = (torch.randn(size, size, device=device.kind, dtype=dtype) for _ in range(2))
    result = torch.empty_like(first)
    with computing_in(precision):
        return [2 * size**3 / time for time in times(lambda: torch.mm(first, second, out=result), device)]


def copy_rates(device: Device) -> list[float]:
    """Measure the bytes a second of a large copy on the device, those read and those written."""
    source = torch.ones(1 << (22 if device.rehearsed else 30), dtype=torch.uint8, device=device.kind)
    target = torch.empty_like(source)
    return [2 * len(source) / time for time in times(lambda: target.copy_(source), device)]


def where_time_goes(run: Callable[[], object], device: Device) -> str:
    """Profile one run: the operators and kernels that take most of it, and the Python functions."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (not device.rehearsed)
    run()
    with profile(activities=activities) as found:
        run()
        if not device.rehearsed:
            torch.cuda.synchronize()
    order = "self_cpu_time_total" if device.rehearsed else "self_device_time_total"
    operators: str = found.key_averages().table(sort_by=order, row_limit=15, max_name_column_width=70)
    functions = io.StringIO()
    with cProfile.Profile() as python:
        run()
    pstats.Stats(python, stream=functions).sort_stats("tottime").print_stats(15)
    return operators + functions.getvalue()
