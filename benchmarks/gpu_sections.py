"""Sections of ``benchmarks/gpu.py``: what each measures becomes rows of a file, one by one, and so do its errors."""

import csv
import importlib
import logging
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import ge, le
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from gpu_device import Clock, Device, where_time_goes

COLUMNS = (
    *("section", "what", "setting", "value", "low", "high", "turns", "unit", "floor", "floor_of", "share", "goal"),
    *("note", "error", "device", "driver", "torch", "clock_mhz", "run"),
)
"""Columns of the file. ``value`` is a median, ``low`` and ``high`` are the extremes of the turns; ``share`` is that of
the floor which is reached; ``run`` is when the command was started."""
TIME_WAS_UP = "not measured: the time was up"
FAILED = 3
"""Exit code of a section whose errors are rows; Python ends with 1 for others."""
ROWS, PROFILES = "gpu.csv", "profiles.txt"
"""Files in the folder of the results."""


class Measured(NamedTuple):
    """Something that was measured, next to a floor."""

    what: str
    setting: str
    values: Sequence[float]
    """One a turn, in ``unit``: seconds, or something a second."""
    unit: str
    floor: float | None = None
    """What cannot be exceeded, in the same unit."""
    floor_of: str = ""
    goal: str = ""
    """A condition such as ``share >= 0.4`` or ``value <= 1``."""
    note: str = ""
    run: Callable[[], object] | None = None
    """What to profile if the goal is missed."""

    @property
    def value(self) -> float:
        """Median of the turns."""
        return median(self.values)

    @property
    def share(self) -> float | None:
        """Share of the floor that is reached."""
        if self.floor is None:
            return None
        return self.value / self.floor if self.unit.endswith("/s") else self.floor / self.value

    @property
    def missed(self) -> bool:
        """Whether there is a goal that was not reached."""
        if not self.goal:
            return False
        name, sign, number = self.goal.split()
        reached: bool = {">=": ge, "<=": le}[sign](getattr(self, name), float(number))
        return not reached


Step = tuple[str, Callable[[], Iterable[Measured]]]
"""A name and a function that measures something; a section takes its steps in the order of their importance."""


MakeSteps = Callable[[Device, Path], Iterable[Step]]
"""Function that lists the steps of a section, and measures nothing yet; the folder is deleted at the end."""


class Rows:
    """File to which rows are appended, each written at once.

    Args:
        out: Folder of the results.
        section: Name of the section.
        started: When the command was started.
        facts: Entries of the device in every row.
    """

    def __init__(self, out: Path, section: str, started: str, **facts: str) -> None:
        self._path, self._first = out / ROWS, {"section": section}
        self._last = {**facts, "torch": torch.__version__, "run": started}

    def add(self, **entries: object) -> None:
        """Append a row."""
        new = not self._path.exists()
        with self._path.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow({**self._first, **entries, **self._last})

    def add_measured(self, found: Measured, device: Device, clock: str) -> None:
        """Append what was measured. No goal counts in a rehearsal."""
        numbers = {"value": found.value, "low": min(found.values), "high": max(found.values)}
        numbers |= {"floor": found.floor, "share": found.share}  # type: ignore[dict-item]  # both may be None
        words = {"what": found.what, "setting": found.setting, "unit": found.unit, "floor_of": found.floor_of}
        shown = {name: "" if value is None else f"{value:.6g}" for name, value in numbers.items()}
        goal = "" if device.rehearsed else found.goal
        self.add(**words, **shown, turns=len(found.values), goal=goal, note=found.note, clock_mhz=clock)

    def add_error(self, what: str, error: BaseException) -> None:
        """Append the first line of an error; all of it is printed."""
        traceback.print_exception(error)
        first = next(iter(str(error).splitlines()), "")
        self.add(what=what, error=f"{type(error).__name__}: {first}"[:300])


def measure(section: str, steps: str, until: float, out: Path, started: str) -> int:
    """Take the steps of a section until its time is up.

    Args:
        section: Name of the section.
        steps: Where its `MakeSteps` is, as ``module:function``.
        until: When no further step begins, as `time.time` counts.
        out: Folder of the results.
        started: When the command was started.

    Returns:
        The number of errors, each of which is a row.
    """
    device = Device.find()
    rows = Rows(out, section, started, device=device.name, driver=device.driver)
    errors = 0
    with Clock(device) as clock, TemporaryDirectory() as folder:
        try:
            module, _, function = steps.partition(":")
            make: MakeSteps = getattr(importlib.import_module(module), function)
            listed = list(make(device, Path(folder)))
            quiet()
        except Exception as error:  # a missing package too is a row, and the next section follows
            rows.add_error("all", error)
            return 1
        for name, step in listed:
            if time.time() >= until:
                rows.add(what=name, note=TIME_WAS_UP)
                continue
            clock.megahertz()  # forgets what was before
            try:
                torch.cuda.empty_cache()  # of the step before; does nothing on a CPU
                for found in step():
                    rows.add_measured(found, device, clock.megahertz())
                    if found.missed and found.run is not None:
                        write_profile(out, f"{section}: {found.what}, {found.setting}", found.run, device)
            except Exception as error:  # whatever fails, the next step is measured
                rows.add_error(name, error)
                errors += 1
    return errors


def write_profile(out: Path, title: str, run: Callable[[], object], device: Device) -> None:
    """Profile something whose goal was missed, and append that."""
    with (out / PROFILES).open("a") as stream:
        stream.write(f"== {title}\n{where_time_goes(run, device)}\n")


def quiet() -> None:
    """Hide advice about trainers and loaders, of which the benchmark tries all settings; once Lightning is imported."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for advice in (".*does not have many workers", "The number of training batches", ".*self.log"):
        warnings.filterwarnings("ignore", message=advice)


def child(arguments: Mapping[str, object]) -> None:
    """Measure a section in a process of its own, so that a fault of the device costs only the rest of this section.

    Raises:
        SystemExit: If there were errors, with the code `FAILED`.
    """
    os.setsid()  # what it starts, workers and pytest, can be stopped with it
    raise SystemExit(FAILED if measure(**arguments) else 0)  # type: ignore[arg-type]  # as `measure` takes them
